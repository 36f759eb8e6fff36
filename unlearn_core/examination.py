"""A finished run put to the test: its suite, attacks and report, kept in the run's own folder.

    <run>/evaluation/<suite>/  before-<model>.jsonl  after-<model>.jsonl  retain-only-<model>.jsonl  attack-<name>.json

What is there already is not asked again. The files hold questions, answers and true facts: they are as private as the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unlearn_core.bundle import base_of, fingerprint
from unlearn_core.bundle.cards import ABOUT
from unlearn_core.data.strict_json import to_json
from unlearn_core.evaluation.attacks import Audit, Target, audit
from unlearn_core.evaluation.evaluate import Evaluation, evaluate
from unlearn_core.evaluation.progress import Job
from unlearn_core.evaluation.report import Header, masked, plain, report_data
from unlearn_core.evaluation.suite import Suite
from unlearn_core.evaluation.table import Table, table
from unlearn_core.methods import module_from_pretrained
from unlearn_core.runs.errors import RunNotReady
from unlearn_core.runs.files import storing, write_file
from unlearn_core.runs.run import Run, read_json, reading
from unlearn_core.vlm import VLM


def unlearned(run: Run, vlm: VLM) -> VLM:
    """The model with what a run has learned.

    Raises:
        RunNotReady: the run has no result. RunDamaged: it cannot be read. BundleMismatch: it belongs to another model.
    """
    if not run.module_folder.is_dir():
        raise RunNotReady("This run has no result yet. Please wait until it is done, or start it again.")
    with reading(run.folder):
        module = module_from_pretrained(run.module_folder)
    return module.attach(vlm)


class Examination:
    """Args:
    run: a run that is done. before: the model it was made for.
    gold: a retain-only model, if there is one.
    """

    def __init__(self, run: Run, before: VLM, suite: Suite, gold: VLM | None = None) -> None:
        self.run, self.suite = run, suite
        self.target = Target(before, unlearned(run, before), suite, gold)
        self.folder = run.folder / "evaluation" / suite.digest()[:16]

    def evaluate(self) -> Job[tuple[Evaluation, Evaluation, Evaluation | None]]:
        """The models before and after, and the retain-only model, on the whole suite; goes on where it was stopped."""
        before = yield from self._one(self.target.before, "before")
        after = yield from self._one(self.target.after, "after")
        gold = None if self.target.gold is None else (yield from self._one(self.target.gold, "retain-only"))
        return before, after, gold

    def _one(self, vlm: VLM, name: str) -> Job[Evaluation]:
        return (yield from evaluate(vlm, self.suite, name, self._ready() / f"{name}-{fingerprint(vlm)[:12]}.jsonl"))

    def table(self, seed: int = 0) -> Job[Table]:
        """All models in one table."""
        before, after, gold = yield from self.evaluate()
        return table(before, [after], gold, seed)

    def attack(self, names: Sequence[str], budgets: Mapping[str, Any] | None = None, seed: int = 0) -> Job[Audit]:
        """Run attacks and keep their results; one that was run before is replaced."""
        found = yield from audit(self.target, names, budgets, seed)
        for result in found.results:
            write_file(self._ready() / f"attack-{result.attack}.json", to_json(plain(result)))
        return found

    def report(self, mask: bool, seed: int = 0) -> Job[dict[str, Any]]:
        """Everything known about the run, ready for JSON and for `report.to_html`.

        Args:
            mask: cover the names of those to forget and the true answers about them.
        """
        before, after, gold = yield from self.evaluate()
        with reading(self.run.folder):
            attacks = [read_json(path) for path in sorted(self.folder.glob("attack-*.json"))]
        found = report_data(self._header(), before, after, table(before, [after], gold, seed), attacks)
        return masked(found, self.suite) if mask else found

    def _header(self) -> Header:
        info = self.run.info
        name = Path(base_of(self.target.before).name).name
        limits = [ABOUT[info.method][1]] if info.method in ABOUT else []
        return Header(
            info.title,
            self.suite.name,
            name,
            fingerprint(self.target.before),
            info.method,
            self.run.config(),
            limits,
            self.run.report(),
        )

    def _ready(self) -> Path:
        with storing():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder
