"""Results set side by side on one suite: the model before, one or several results, and a retain-only model if there is one.

    <run>/evaluation/<suite>/  before-<model>.jsonl  after-<model>.jsonl  retain-only-<model>.jsonl
    <run>/evaluation/standing.json

What a model said is kept in the folder of the run, as an examination keeps it, so that nothing is asked twice. The standing is
the run in two numbers, for a chart of all runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from unlearn_core.bundle import fingerprint
from unlearn_core.data.strict_json import to_json
from unlearn_core.evaluation.evaluate import Evaluation, evaluate
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.suite import Suite
from unlearn_core.evaluation.table import Summary, Table, table
from unlearn_core.runs.files import storing, write_file
from unlearn_core.runs.run import Run, read_json, reading
from unlearn_core.vlm import VLM

BEFORE, RETAIN_ONLY = "before", "retain-only"
_FOLDER, _STANDING = "evaluation", "standing.json"


@dataclass(frozen=True, eq=False)
class Result:
    """What a method made of a model.

    Args:
        name: what a table calls it.
        run: whose folder keeps what the model says; None for a bundle, which has none.
    """

    name: str
    vlm: VLM
    run: Run | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Evaluations of one suite: before, each result, and retain-only last where there is one; and their table."""

    suite: Suite
    evaluations: tuple[Evaluation, ...]
    table: Table

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(e.model for e in self.evaluations)


def set_side_by_side(
    before: VLM, results: Sequence[Result], suite: Suite, gold: VLM | None = None, seed: int = 0
) -> Job[Comparison]:
    """Ask every model the whole suite, but for what a run's folder holds already, and note the standing of the runs whose
    request the suite is about.

    Args:
        results: at least one; the first one's folder also keeps what the models before and retain-only say.
        gold: a model that was never taught what is to be forgotten.

    Raises:
        NothingToMeasure: the model before knew nothing of what is to be forgotten.
        RecordsDamaged, StorageFailed, NotFinite: as for `evaluate`.
    """
    home = results[0].run
    asked = [(BEFORE, BEFORE, before, home), *((r.name, "after", r.vlm, r.run) for r in results)]
    if gold is not None:
        asked.append((RETAIN_ONLY, RETAIN_ONLY, gold, home))
    found: list[Evaluation] = []
    each = len(suite.probes)
    yield Progress("Asking", 0, len(asked) * each)
    for i, (name, file, vlm, run) in enumerate(asked):
        path = None if run is None else _records(run, suite, file, vlm)
        job = evaluate(vlm, suite, name, path)
        try:
            while True:
                part = next(job)
                yield Progress(part.phase, i * each + part.done, len(asked) * each)
        except StopIteration as end:
            found.append(end.value)
    last = found.pop() if gold is not None else None
    done = table(found[0], found[1:], last, seed)
    _note(results, suite, done)
    return Comparison(suite, (*found, *([] if last is None else [last])), done)


def _records(run: Run, suite: Suite, name: str, vlm: VLM) -> Path:
    folder = run.folder / _FOLDER / suite.digest()[:16]
    with storing():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{name}-{fingerprint(vlm)[:12]}.jsonl"


# -- standing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """A share 0..1 with the ends of its interval, which are None where there is none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Standing:
    """A run in two numbers, as its last comparison found them.

    Args:
        leaked: of what is to be forgotten, the share still answered; lower is better.
        kept: of what must stay, the share still answered (harmonic mean over splits); None where nothing was asked.
        questions: how many the comparison asked.
    """

    leaked: Share
    kept: Share | None
    questions: int


def standing_of(summary: Summary, questions: int) -> Standing:
    """What a table says of one model."""
    return Standing(_share(summary.leaked), None if summary.kept is None else _share(summary.kept), questions)


def _share(measured: Measured) -> Share:
    return Share(measured.value, measured.low, measured.high)


def standing(run: Run) -> Standing | None:
    """None for a run that was never compared. Raises RunDamaged."""
    path = run.folder / _FOLDER / _STANDING
    if not path.exists():
        return None
    with reading(run.folder):
        found = read_json(path)
        kept = found["kept"]
        return Standing(Share(**found["leaked"]), None if kept is None else Share(**kept), int(found["questions"]))


def _note(results: Sequence[Result], suite: Suite, found: Table) -> None:
    by_name = {summary.model: summary for summary in found.summaries}
    for result in results:
        if result.run is not None and set(result.run.info.subjects) == set(suite.subjects):
            now = standing_of(by_name[result.name], len(suite.probes))
            write_file(result.run.folder / _FOLDER / _STANDING, to_json(asdict(now)))
