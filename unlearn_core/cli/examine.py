"""Commands that examine a run: evaluate, attack, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearn_core.cli.flags import DEMO, Model, ModelFlags, load_model
from unlearn_core.cli.output import print_table, share, watched

if TYPE_CHECKING:
    from unlearn_core.evaluation.progress import Job
    from unlearn_core.evaluation.suite import Suite
    from unlearn_core.evaluation.table import Spread, Table
    from unlearn_core.examination import Examination
    from unlearn_core.runs import Run
    from unlearn_core.vlm import VLM

Level = Literal["quick", "standard", "thorough"]
SuiteKind = Literal["request", "demo"]


def evaluate(
    run: Path,
    /,
    beside: tuple[Path, ...] = (),
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    seeds: int = 1,
    json: bool = False,
) -> Any:
    """Ask the model before and after a run a whole suite of questions, and print the table. Goes on where it was stopped.

    Args:
        run: folder of a run that is done.
        beside: folders of other runs on the same people and model, such as baselines, for the same table.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        seeds: so many suites, each drawn with the next seed; numbers are then means with their deviations.
        json: print everything as JSON instead of a table.
    """
    from unlearn_core.evaluation.report import plain
    from unlearn_core.evaluation.table import over_seeds

    at_hand = _at_hand(run, beside, model, retain_only)
    tables = [watched(at_hand.table(suite, at)) for at in range(seed, seed + seeds)]
    by_model = {s.model: [t.summary(s.model) for t in tables] for s in tables[0].summaries}
    found = {label: over_seeds(summaries) for label, summaries in by_model.items()}
    if json:
        return plain(tables[0]) if seeds == 1 else {"seeds": plain(found), "tables": plain(tables)}
    _print_short(found)
    _print_answers(tables)
    return None


def attack(
    run: Path,
    /,
    attacks: tuple[str, ...] = (),
    budget: Level = "standard",
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Try to get back what a run made the model forget, and print what came of it and what was not tried.

    Each result is kept in the run's folder as soon as it is there, for the page and for reports.

    Args:
        run: folder of a run that is done.
        attacks: names of attacks; none for all of them.
        budget: how much each may do: a quick look takes a tenth of the time and shows little.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print everything as JSON instead of tables.
    """
    from unlearn_core.evaluation.attacks import ATTACKS, budgets_of
    from unlearn_core.evaluation.report import plain

    under = _at_hand(run, (), model, retain_only).examination(suite, seed)
    found = watched(under.attack(attacks or tuple(ATTACKS), budgets_of(budget, seed), seed))
    if json:
        return plain(found)
    print_table("Attacks", ("attack", "verdict"), [(r.title, r.verdict) for r in found.results])
    print_table("Not run", ("attack", "why"), [(n.title, n.why) for n in found.not_run])
    return None


def report(
    run: Path,
    /,
    out: Path = Path("report.html"),
    mask: bool = False,
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Write a report of a run as one page that opens offline, and the same as JSON beside it.

    Args:
        run: folder of a run that is done.
        out: the page to write.
        mask: cover the names of those to forget, and the true answers about them.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print the report as JSON too.
    """
    from unlearn_core.data.strict_json import to_json
    from unlearn_core.evaluation.report import to_html
    from unlearn_core.runs.files import write_file

    data = watched(_at_hand(run, (), model, retain_only).examination(suite, seed).report(mask, seed))
    write_file(out, to_html(data).encode())
    write_file(out.with_suffix(".json"), to_json(data))
    return data if json else {"page": str(out), "data": str(out.with_suffix(".json"))}


# -- what is examined ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _AtHand:
    """A run, others on the same people, and the models they are measured with."""

    run: Run
    beside: tuple[Run, ...]
    vlm: VLM
    gold: VLM | None

    def examination(self, kind: SuiteKind, seed: int, run: Run | None = None) -> Examination:
        from unlearn_core.examination import Examination, of_run

        return Examination(of_run(run or self.run), self.vlm, self._suite(kind, seed), self.gold)

    def table(self, kind: SuiteKind, seed: int) -> Job[Table]:
        from unlearn_core.examination import side_by_side

        others = {_label(run, self.beside): self.examination(kind, seed, run) for run in self.beside}
        return side_by_side(self.examination(kind, seed), others, seed)

    def _suite(self, kind: SuiteKind, seed: int) -> Suite:
        from unlearn_core.evaluation.suite import suite_of

        request = self.run.request()
        if kind == "request":
            return suite_of(request, self.vlm, seed=seed)
        from unlearn_core.demo.suite import demo_suite

        return demo_suite(request, seed=seed)


def _label(run: Run, among: Sequence[Run]) -> str:
    """The method, and the run where several are of the same."""
    alone = [r.info.method for r in among].count(run.info.method) == 1
    return run.info.method if alone else f"{run.info.method} {run.id}"


def _at_hand(run: Path, beside: Sequence[Path], model: ModelFlags, retain_only: str) -> _AtHand:
    from unlearn_core.vlm import VLM
    from unlearn_core.vlm.errors import BadRequest

    main, *others = (_run(folder) for folder in (run, *beside))
    for other in others:
        if set(other.info.subjects) != set(main.info.subjects):
            raise BadRequest(f"Run {other.id} is about other people, so its numbers say nothing beside these.")
    vlm = load_model(model if model.model else replace(model, model=main.info.model), None)
    return _AtHand(main, tuple(others), vlm, VLM.load(retain_only) if retain_only else None)


def _run(folder: Path) -> Run:
    from unlearn_core.runs import Workspace

    at = folder.resolve()
    return Workspace(at.parent).run(at.name)


# -- tables -------------------------------------------------------------------------------------------------------------


def _print_short(found: dict[str, dict[str, Spread]]) -> None:
    def said(numbers: dict[str, Spread], name: str) -> str:
        spread = numbers.get(name)
        more = "" if spread is None or spread.std is None else f" ± {share(spread.std)}"
        return share(None if spread is None else spread.mean) + more

    print_table(
        "In short",
        ("model", "still answered of what was to go", "kept", "both"),
        [(label, *(said(numbers, n) for n in ("leaked", "kept", "overall"))) for label, numbers in found.items()],
    )


def _print_answers(tables: Sequence[Table]) -> None:
    for at, found in enumerate(tables):
        answers = [(r, r.measures.get("answered")) for r in found.rows]
        print_table(
            "Answered with the truth" + (f", suite {at + 1}" if len(tables) > 1 else ""),
            ("model", "split", "questions", "not known before", "share"),
            [(r.model, r.split.value, str(r.count), str(r.unknown), share(a and a.value)) for r, a in answers],
        )
