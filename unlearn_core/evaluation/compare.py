"""Ask two models the same questions and set their answers side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from unlearn_core.data.example import Example
from unlearn_core.evaluation.status import Status, is_refusal, normalise, status
from unlearn_core.evaluation.texts import COMMON, folded, holds_words, is_unspaced
from unlearn_core.vlm import VLM, Answer


@dataclass(frozen=True, eq=False)
class Compared:
    """One question, asked before and after. `leaked` are (start, end) places in the answer after that repeat the truth."""

    example: Example
    before: Answer
    after: Answer
    before_status: Status
    after_status: Status
    leaked: tuple[tuple[int, int], ...]

    @property
    def changed(self) -> bool:
        return normalise(self.before.text) != normalise(self.after.text)


@dataclass(frozen=True)
class Share:
    """Of `count` questions, how many were answered with the truth before and after, and how many refused after; 0..1."""

    count: int
    before: float
    after: float
    refused: float


def compare(
    before: VLM, after: VLM, examples: Sequence[Example], refusals: Sequence[str] = (), batch_size: int = 32
) -> Iterator[list[Compared]]:
    """Batch by batch, so that a caller can show progress or stop in between."""
    for at in range(0, len(examples), batch_size):
        part = examples[at : at + batch_size]
        prompts = [e.prompt for e in part]
        yield beside(
            part, before.ask(prompts, batch_size=batch_size), after.ask(prompts, batch_size=batch_size), refusals
        )


def beside(
    examples: Sequence[Example], before: Sequence[Answer], after: Sequence[Answer], refusals: Sequence[str] = ()
) -> list[Compared]:
    """Answers that were given already, side by side."""
    return [
        Compared(
            e,
            a,
            b,
            status(a.text, e.answer, refusals),
            status(b.text, e.answer, refusals),
            () if is_refusal(e.answer, refusals) else leaked_words(b.text, e.answer),
        )
        for e, a, b in zip(examples, before, after, strict=True)
    ]


def leaked_words(answer: str, truth: str) -> tuple[tuple[int, int], ...]:
    """Places in `answer` of words that the true answer has too, by the rule that keywords are counted by: whole words, case
    and accents aside. Common words are left out. In scripts without spaces the whole truth is looked for instead."""
    if is_unspaced(truth):
        return tuple(m.span() for m in re.finditer(re.escape(truth.strip(" .。")), answer))
    words = re.finditer(r"\w+(?:-\w+)*", answer)
    return tuple(m.span() for m in words if folded(m.group()) not in COMMON and holds_words(truth, m.group()))


def summary(rows: Sequence[Compared]) -> dict[str, Share]:
    """Shares by kind of question, in order of appearance."""
    kinds: dict[str, list[Compared]] = {}
    for row in rows:
        kinds.setdefault(row.example.kind, []).append(row)
    return {
        kind: Share(
            len(group),
            _share(r.before_status is Status.CORRECT for r in group),
            _share(r.after_status is Status.CORRECT for r in group),
            _share(r.after_status is Status.REFUSAL for r in group),
        )
        for kind, group in kinds.items()
    }


def _share(hits: Iterator[bool]) -> float:
    values = list(hits)
    return sum(values) / len(values)
