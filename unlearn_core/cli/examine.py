"""Commands that examine a run: evaluate, attack, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearn_core.cli.flags import DEMO, Model, ModelFlags, load_model
from unlearn_core.cli.output import print_table, share, watched

if TYPE_CHECKING:
    from unlearn_core.examination import Examination

SuiteKind = Literal["request", "demo"]


def evaluate(
    run: Path,
    /,
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Ask the model before and after a run a whole suite of questions, and print the table. Goes on where it was stopped.

    Args:
        run: folder of a run that is done.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print everything as JSON instead of a table.
    """
    from unlearn_core.evaluation.report import plain

    found = watched(_examination(run, model, retain_only, suite, seed).table(seed))
    if json:
        return plain(found)
    print_table(
        "In short",
        ("model", "still answered of what was to go", "kept", "both"),
        [(s.model, share(s.leaked.value), share(s.kept and s.kept.value), share(s.overall)) for s in found.summaries],
    )
    answers = [(r.model, r.split.value, r, r.measures.get("answered")) for r in found.rows]
    print_table(
        "Answered with the truth",
        ("model", "split", "questions", "not known before", "share"),
        [(m, s, str(r.count), str(r.unknown), share(a and a.value)) for m, s, r, a in answers],
    )
    return None


def attack(
    run: Path,
    /,
    attacks: tuple[str, ...] = (),
    model: Model = DEMO,
    retain_only: str = "",
    suite: SuiteKind = "request",
    seed: int = 0,
    json: bool = False,
) -> Any:
    """Try to get back what a run made the model forget, and print what came of it and what was not tried.

    Args:
        run: folder of a run that is done.
        attacks: names of attacks; none for all of them.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        suite: made of the run's request, or of the demo world for runs on its people.
        seed: of what is drawn at random.
        json: print everything as JSON instead of tables.
    """
    from unlearn_core.evaluation.attacks import ATTACKS
    from unlearn_core.evaluation.report import plain

    under = _examination(run, model, retain_only, suite, seed)
    found = watched(under.attack(attacks or tuple(ATTACKS), seed=seed))
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

    data = watched(_examination(run, model, retain_only, suite, seed).report(mask, seed))
    write_file(out, to_html(data).encode())
    write_file(out.with_suffix(".json"), to_json(data))
    return data if json else {"page": str(out), "data": str(out.with_suffix(".json"))}


def _examination(run: Path, model: ModelFlags, retain_only: str, suite: SuiteKind, seed: int) -> Examination:
    from unlearn_core.evaluation.suite import suite_of
    from unlearn_core.examination import Examination
    from unlearn_core.runs import Workspace
    from unlearn_core.vlm import VLM

    folder = run.resolve()
    found = Workspace(folder.parent).run(folder.name)
    vlm = load_model(model if model.model else replace(model, model=found.info.model), None)
    request = found.request()
    if suite == "demo":
        from unlearn_core.demo.suite import demo_suite

        asked = demo_suite(request, seed=seed)
    else:
        asked = suite_of(request, vlm, seed=seed)
    return Examination(found, vlm, asked, VLM.load(retain_only) if retain_only else None)
