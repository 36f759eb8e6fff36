"""The questions of a comparison with every model's answer: what can be filtered, sorted and drawn. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from unlearn_core.comparison import BEFORE, Comparison
from unlearn_core.data.example import Example
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.compare import leaked_words
from unlearn_core.evaluation.evaluate import Evaluation
from unlearn_core.evaluation.status import Status, normalise
from unlearn_core.evaluation.suite import SPLITS, Side, Split

ALL = "all"
"""Stands for every split, person or status."""
SHOWN = ("All answers", "Changed", "Leaked")
ORDERS = ("As asked", "Truth lost most", "Truth gained most")


@dataclass(frozen=True)
class Reply:
    """What one model says to a question.

    Args:
        truth: mean log-probability of the true answer's tokens, in nats; what the page calls log p.
        leaked: places of words of the truth in an answer that should be gone.
    """

    text: str
    status: Status
    truth: float
    leaked: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class Line:
    """One question and what each model says: before first, then A."""

    split: Split
    probe: Probe
    replies: tuple[Reply, ...]

    @property
    def changed(self) -> bool:
        """Whether A says something else than the model before."""
        return normalise(self.replies[0].text) != normalise(self.replies[1].text)

    @property
    def change(self) -> float:
        """How much more probable A finds the truth, in nats for each of its tokens."""
        return self.replies[1].truth - self.replies[0].truth

    @property
    def leaks(self) -> bool:
        return bool(self.replies[1].leaked)


@dataclass(frozen=True)
class Wanted:
    """Which lines are shown, and in which order. A status is that of A's answer."""

    split: str = ALL
    person: str = ALL
    status: str = ALL
    shown: str = SHOWN[0]
    order: str = ORDERS[0]


def lines_of(found: Comparison) -> tuple[Line, ...]:
    """Every question in the suite's order, but for made-up facts, to which no answer is expected."""
    return tuple(
        Line(split, probe, tuple(_reply(e, split, i, probe) for e in found.evaluations))
        for split, probes in found.suite.splits.items()
        if split is not Split.NEVER_SEEN
        for i, probe in enumerate(probes)
    )


def _reply(evaluation: Evaluation, split: Split, place: int, probe: Probe) -> Reply:
    record = evaluation.splits[split][place]
    should_go = SPLITS[split].side is Side.FORGET and evaluation.model != BEFORE
    leaked = leaks(record.answer, probe.example) if should_go else ()
    return Reply(record.answer, evaluation.statuses[split][place], fmean(record.true.logprobs), leaked)


def leaks(answer: str, example: Example) -> tuple[tuple[int, int], ...]:
    """Places of words of the truth in an answer; words that should be said instead do not count."""
    instead = normalise(example.target or "").split()
    found = leaked_words(answer, example.answer)
    return tuple((start, end) for start, end in found if answer[start:end].lower() not in instead)


def places(lines: Sequence[Line], wanted: Wanted) -> list[int]:
    """Places of the lines that a filter lets through, in the wanted order."""
    found = [i for i, line in enumerate(lines) if _passes(line, wanted)]
    if wanted.order == ORDERS[0]:
        return found
    return sorted(found, key=lambda i: lines[i].change, reverse=wanted.order == ORDERS[2])


def _passes(line: Line, wanted: Wanted) -> bool:
    return (
        wanted.split in (ALL, line.split.value)
        and wanted.person in (ALL, line.probe.example.subject)
        and wanted.status in (ALL, line.replies[1].status.value)
        and (wanted.shown != "Changed" or line.changed)
        and (wanted.shown != "Leaked" or line.leaks)
    )


def splits_of(lines: Sequence[Line]) -> list[Split]:
    return list(dict.fromkeys(line.split for line in lines))


def people_of(lines: Sequence[Line]) -> list[str]:
    """Whom the questions are about, those to be forgotten first."""
    return list(dict.fromkeys(line.probe.example.subject for line in lines if line.probe.example.subject is not None))


def statuses_of(lines: Sequence[Line]) -> list[Status]:
    """What A's answers are; the order is that of `Status`."""
    there = {line.replies[1].status for line in lines}
    return [status for status in Status if status in there]
