"""What a report says, as plain data: the page and the JSON file are both made from it, so they cannot differ."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import version
from typing import Any

from unlearn_core.evaluation.attacks.audit import ATTACKS, BEYOND
from unlearn_core.evaluation.evaluate import Evaluation
from unlearn_core.evaluation.measure import ANSWERED
from unlearn_core.evaluation.metrics import METRICS
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.suite import SPLITS, Side, Split
from unlearn_core.evaluation.suite.build import evenly
from unlearn_core.evaluation.table import Table

PACKAGES = ("vlm-unlearning-studio", "torch", "transformers", "peft", "scikit-learn")
SHOWN = 4
"""Examples of each split, at most."""

LIMITS = (
    "“Forgotten” means: no longer answered under the probes and attacks listed here. It does not mean deleted.",
    "Intervals are over questions, as if these were independent. Questions about one person or one picture are not, so the "
    "true uncertainty is larger.",
    "An attack that was not run proves nothing; those are listed too.",
)


@dataclass(frozen=True)
class Header:
    """What a report states beside its measurements.

    Args:
        title: of the run. request: what was to be forgotten, in the words of the request.
        model, fingerprint: name of the base model, and the checksum of its weights.
        method: its name. options: of the method. limits: of the method, in sentences.
        fit: measurements of the fit.
    """

    title: str
    request: str
    model: str
    fingerprint: str
    method: str
    options: Mapping[str, Any]
    limits: Sequence[str] = ()
    fit: Mapping[str, Any] | None = None


def report_data(
    header: Header,
    before: Evaluation,
    after: Evaluation,
    table: Table,
    attacks: Sequence[Mapping[str, Any]] = (),
    examples: int = SHOWN,
) -> dict[str, Any]:
    """Everything in a report, ready for JSON.

    Args:
        attacks: what came of attacks as plain data, such as `plain` gives: results, and reasons (`why`) for those that could
            not be run.
        examples: answers before and after that are shown of each split.
    """
    suite = before.suite
    return {
        "header": plain(header),
        "data": {
            "suite": suite.name,
            "digest": suite.digest(),
            "subjects": len(suite.subjects),
            "questions": {split.value: len(probes) for split, probes in suite.splits.items()},
        },
        "outcome": _outcome(table, after, [a for a in attacks if "why" not in a]),
        "splits": {s.value: plain(SPLITS[s]) for s in suite.splits},
        "summaries": plain(table.summaries),
        "rows": plain(table.rows),
        "metrics": _metrics(table),
        "examples": _examples(before, after, examples),
        "attacks": [dict(result) for result in attacks if "why" not in result],
        "not_run": not_run(attacks),
        "limits": [*LIMITS, *header.limits],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {e.model: round(e.seconds, 1) for e in (before, after)},
    }


def _outcome(table: Table, after: Evaluation, attacks: Sequence[Mapping[str, Any]]) -> str:
    """What came out, in two sentences without a table."""
    found = table.summary(after.model)
    kept = "" if found.kept is None else f"; of what must stay, {found.kept.value:.0%} is kept"
    said = f"Of what was to go, {found.leaked.value:.0%} of {found.leaked.count} questions are still answered with the truth{kept}."
    if not attacks:
        return f"{said} No attack was run."
    words = {True: "withstood", False: "not withstood", None: "cannot be judged"}
    counts = Counter(words[a["withstands"]] for a in attacks)
    return f"{said} Of {len(attacks)} attacks " + ", ".join(f"{n} {word}" for word, n in counts.items()) + "."


def plain(value: Any) -> Any:
    """Dataclasses, enums and tuples as what JSON has; numbers that are not finite become None. Values per example, of which
    there are thousands, are left out."""
    if isinstance(value, Measured):
        return {k: plain(v) for k, v in asdict(value).items() if k != "per_example"}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _metrics(table: Table) -> dict[str, Any]:
    """What each metric that occurs means."""
    used = dict.fromkeys(key for row in table.rows for key in row.measures)
    used |= dict.fromkeys(key for summary in table.summaries for key in summary.against)
    every = METRICS | {ANSWERED.key: ANSWERED}
    return {key: {"name": every[key].name, "explanation": every[key].explanation} for key in used if key in every}


def _examples(before: Evaluation, after: Evaluation, count: int) -> list[dict[str, str]]:
    """Answers of both models, from the splits where something is hoped for."""
    shown = (s for s in before.splits if SPLITS[s].side is not Side.REPORT or s is Split.FORGET_TEXT)
    return [
        _example(before, after, split, i) for split in shown for i in evenly(range(len(before.splits[split])), count)
    ]


def _example(before: Evaluation, after: Evaluation, split: Split, i: int) -> dict[str, str]:
    probe = before.suite.splits[split][i]
    return {
        "split": split.value,
        "question": probe.question,
        "truth": probe.truth,
        "before": before.splits[split][i].answer,
        "after": after.splits[split][i].answer,
        "status_before": before.statuses[split][i].value,
        "status_after": after.statuses[split][i].value,
    }


def not_run(tried: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Title and reason of every attack that no result stands for: could not be run, was not, or does not exist here."""
    done = {str(entry["attack"]) for entry in tried}
    failed = [{"title": str(entry["title"]), "why": str(entry["why"])} for entry in tried if "why" in entry]
    left = [{"title": a.title, "why": "Not run."} for name, a in ATTACKS.items() if name not in done]
    return [*failed, *left, *({"title": title, "why": why} for title, why in BEYOND.items())]
