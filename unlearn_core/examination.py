"""A result put to the test: its suite, attacks and report, kept beside it.

    <run>/evaluation/<suite>/  before-<model>.jsonl  after-<model>.jsonl  retain-only-<model>.jsonl  attack-<name>.json

What is there already is not asked again. The files hold questions, answers and true facts: they are as private as the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unlearn_core.bundle import Manifest, base_of, fingerprint
from unlearn_core.bundle.cards import ABOUT
from unlearn_core.data.strict_json import to_json
from unlearn_core.evaluation.attacks import AttackResult, Audit, Outcome, Target
from unlearn_core.evaluation.attacks.audit import attempt, audit_of, budget_for, chosen_attack
from unlearn_core.evaluation.evaluate import Evaluation, evaluate
from unlearn_core.evaluation.progress import Job, Progress, retold
from unlearn_core.evaluation.report import Header, masked, plain, report_data
from unlearn_core.evaluation.suite import Suite
from unlearn_core.evaluation.table import Table, table
from unlearn_core.methods import Module, module_from_pretrained
from unlearn_core.runs.errors import RunNotReady
from unlearn_core.runs.files import storing, write_file
from unlearn_core.runs.run import Run, read_json, reading
from unlearn_core.vlm import VLM

EVALUATION, ATTACK = "evaluation", "attack-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Finding:
    """Something that was learned in order to forget, and where what is found out about it is kept.

    Args:
        options: of the method. fit: measurements of the fit. limits: of the result, in sentences.
    """

    title: str
    method: str
    module: Module
    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    limits: Sequence[str] = ()


def of_run(run: Run) -> Finding:
    """What a run has learned.

    Raises:
        RunNotReady: the run has no result. RunDamaged: it cannot be read.
    """
    if not run.module_folder.is_dir():
        raise RunNotReady("This run has no result yet. Please wait until it is done, or start it again.")
    with reading(run.folder):
        module = module_from_pretrained(run.module_folder)
    info = run.info
    limits = [ABOUT[info.method][1]] if info.method in ABOUT else []
    return Finding(info.title, info.method, module, run.folder / EVALUATION, run.config(), run.report(), limits)


def of_bundle(manifest: Manifest, module: Module, folder: Path) -> Finding:
    """What a bundle holds; it does not tell the options of the method."""
    return Finding(manifest.title, manifest.kind, module, folder, {}, manifest.report, manifest.limits)


class Examination:
    """Args:
    finding: what is examined. before: the model it was made for.
    gold: a retain-only model, if there is one.

    Raises:
        BundleMismatch: it belongs to another model.
    """

    def __init__(self, finding: Finding, before: VLM, suite: Suite, gold: VLM | None = None) -> None:
        self.finding, self.suite = finding, suite
        self.target = Target(before, finding.module.attach(before), suite, gold)
        self.folder = finding.folder / suite.digest()[:16]

    def evaluate(self) -> Job[tuple[Evaluation, Evaluation, Evaluation | None]]:
        """The models before and after, and the retain-only model, on the whole suite; goes on where it was stopped."""
        models = {"before": self.target.before, "after": self.target.after}
        if self.target.gold is not None:
            models["retain-only"] = self.target.gold
        found = yield from self._each(models)
        return found["before"], found["after"], found.get("retain-only")

    def after(self, label: str) -> Job[Evaluation]:
        """The model after alone, under another name, to be set beside others."""
        found = yield from self._each({"after": self.target.after})
        return replace(found["after"], model=label)

    def _each(self, models: Mapping[str, VLM]) -> Job[dict[str, Evaluation]]:
        """Ask these models one after another; the progress is that of all."""
        found: dict[str, Evaluation] = {}
        each = len(self.suite.probes)
        for name, vlm in models.items():
            path = self._ready() / f"{name}-{fingerprint(vlm)[:12]}.jsonl"
            job = evaluate(vlm, self.suite, name, path)
            found[name] = yield from retold(job, _part(len(found) * each, len(models) * each))
        return found

    def attack(self, names: Sequence[str], budgets: Mapping[str, Any] | None = None, seed: int = 0) -> Job[Audit]:
        """Run attacks and keep what came of each at once; what was kept of an earlier one is replaced.

        Raises:
            BadOption: there is no attack of that name.
        """
        attacks = [chosen_attack(name) for name in names]
        total, found = sum(a.effort for a in attacks), list[Outcome]()
        for i, attack in enumerate(attacks):
            began, done = time.monotonic(), sum(a.effort for a in attacks[:i])
            yield Progress(attack.title, done, total)
            job = attempt(self.target, attack, budget_for(attack, budgets, seed))
            outcome = yield from retold(job, _beneath(attack.title, done, total))
            self._keep(attack.name, outcome, time.monotonic() - began)
            found.append(outcome)
        return audit_of(found, names)

    def _keep(self, name: str, outcome: Outcome, seconds: float) -> None:
        more = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": round(seconds, 1)}
        write_file(self._ready() / f"{ATTACK}{name}.json", to_json({"attack": name, **plain(outcome), **more}))

    def report(self, mask: bool, seed: int = 0) -> Job[dict[str, Any]]:
        """Everything known about the result, ready for JSON and for `report.to_html`.

        Args:
            mask: cover the names of those to forget and the true answers about them.
        """
        before, after, gold = yield from self.evaluate()
        found = report_data(self._header(), before, after, table(before, [after], gold, seed), kept(self.folder))
        return masked(found, self.suite) if mask else found

    def _header(self) -> Header:
        finding, before = self.finding, self.target.before
        return Header(
            finding.title,
            self.suite.name,
            Path(base_of(before).name).name,
            fingerprint(before),
            finding.method,
            finding.options,
            finding.limits,
            finding.fit,
        )

    def _ready(self) -> Path:
        with storing():  # without parents: a run that was deleted meanwhile must not come back
            self.finding.folder.mkdir(mode=0o700, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        return self.folder


def side_by_side(main: Examination, others: Mapping[str, Examination], seed: int = 0) -> Job[Table]:
    """One table of the models before and after, of other results on the same suite by their labels, and of the retain-only model."""
    before, after, gold = yield from main.evaluate()
    beside = []
    for label, other in others.items():
        beside.append((yield from other.after(label)))
    return table(before, [after, *beside], gold, seed)


def kept(folder: Path) -> list[dict[str, Any]]:
    """What came of the attacks with one suite, as it was written: results, and reasons (`why`) why one could not be run.

    What cannot be read is left out, so that the attack counts as not run.
    """
    found = []
    for path in sorted(folder.glob(f"{ATTACK}*.json")):
        try:
            content = read_json(path)
        except (OSError, ValueError):
            logger.warning("%s cannot be read and is left out.", path.name)
            continue
        if _complete(content):
            found.append(content)
    return found


def latest(folder: Path) -> Path | None:
    """Among the suites that a result was examined with, the one whose folder changed last."""
    suites = [path for path in folder.glob("*") if path.is_dir()]
    return max(suites, key=lambda path: path.stat().st_mtime, default=None)


_OF_ALL = {"attack", "title", "made", "seconds"}
_OF_RESULTS = set(AttackResult.__dataclass_fields__)


def _complete(content: Any) -> bool:
    return isinstance(content, dict) and (set(content) >= _OF_ALL | {"why"} or set(content) >= _OF_ALL | _OF_RESULTS)


def _part(done: int, total: int) -> Callable[[Progress], Progress]:
    """The progress of a job before which `done` of `total` were done."""
    return lambda p: Progress(p.phase, done + p.done, total)


def _beneath(title: str, done: int, total: int) -> Callable[[Progress], Progress]:
    """The progress of one attack among several, whose own phases only show in words."""
    return lambda p: Progress(f"{title}: {p.phase}, {p.done} of {p.total}", done, total)
