"""MLLMU-Bench (arXiv 2410.22108): choice, generation and cloze, with and without the picture, about four sets of people.

[code] marks what is as in the benchmark's own code; where we differ, [ours] says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearn_core.data.readers import READERS, Row, gather
from unlearn_core.data.readers.source import Source
from unlearn_core.evaluation.metrics import choice, keywords, overlap
from unlearn_core.evaluation.metrics.measured import Measured, mean_of
from unlearn_core.evaluation.protocols.base import (
    Answered,
    Answers,
    Number,
    Numbers,
    Part,
    Rows,
    any_of,
    asked,
    at_most,
    manner,
)
from unlearn_core.evaluation.protocols.shots import Shots, draw

FORGET, TEST, RETAIN, REAL = "forget", "forget, other pictures", "retain", "real people"
SETS = (FORGET, TEST, RETAIN, REAL)
CHOICE, GENERATION, CLOZE = "choice", "generation", "cloze"
WAYS = {True: "with picture", False: "without"}
FEW_SHOT = {CHOICE: (FORGET, TEST, RETAIN), CLOZE: SETS}
"""Where examples with their answers go before a question. [code]"""


class MLLMUBench:
    """Four sets: forgotten people, other pictures of them, retained people, real people."""

    name = "mllmu"
    title = "MLLMU-Bench"
    missing: Mapping[str, str] = {"factuality": "it asks a paid judge on the network"}

    def max_new_tokens(self, part: Part) -> int:
        return 50  # [code]

    def rows(self, source: Source, split: str, limit: int | None, seed: int) -> tuple[Rows, int]:
        table = gather(READERS[self.name].read(source, split))
        groups = _groups(table.rows)
        shots = draw([row for part, rows in groups.items() if part.of == RETAIN for row in rows], seed)
        rows = {
            part: [_worded(row, part, shots) for row in at_most(shots.others(group), limit)]
            for part, group in groups.items()
        }
        return rows, len(table.report.dropped)

    def numbers(self, answers: Answers, gold: Answers | None, seed: int) -> Numbers:
        return {k: v for of in SETS for k, v in _of_set(of, answers, seed).items()}


def _groups(rows: Sequence[Row]) -> dict[Part, list[Row]]:
    """Rows by part, in the order of the paper's table. Of the other pictures only those of the forgotten are asked. [code]"""
    going = {row.example.subject for row in rows if row.side == "forget"}
    out: dict[Part, list[Row]] = {
        Part(of, kind, way): [] for of in SETS for kind in (CHOICE, GENERATION, CLOZE) for way in WAYS
    }
    for row in rows:
        part = Part(_set_of(row), row.example.kind, row.picture is not None)
        if part in out and (part.of != TEST or row.example.subject in going):
            out[part].append(row)
    return out


def _set_of(row: Row) -> str:
    if row.side == "test":
        return TEST if row.example.id.startswith("Test_Set:") else REAL
    return FORGET if row.side == "forget" else RETAIN


# -- words ------------------------------------------------------------------------------------------------------------


def _worded(row: Row, part: Part, shots: Shots) -> Row:
    plain = worded(row)
    return asked(
        row, shots.before(plain, part.kind, part.pictured) if part.of in FEW_SHOT.get(part.kind, ()) else plain
    )


def worded(row: Row) -> str:
    """A question as the benchmark puts it. [code]"""
    question, kind = row.example.question, row.example.kind
    if kind == CHOICE:
        options = "\n".join(f"{letter}: {text}" for letter, text in (row.example.options or {}).items())
        return f"{question}\n{options}\nJust give ONE letter representing the answer directly."
    if kind == CLOZE:
        blank = question.replace("__", "[Blank]")
        return f"{blank}\nPlease **ONLY** provide the correct answer that should replace the [Blank]."
    how = "in one sentence accurately" if row.picture is not None else "in one sentence"
    return f"{question}\nAnswer the question based on your trained knowledge {how} in ENGLISH."


# -- numbers ----------------------------------------------------------------------------------------------------------


def _of_set(of: str, answers: Answers, seed: int) -> dict[Number, Measured | None]:
    out: dict[Number, Measured | None] = {}
    for pictured, way in WAYS.items():
        picks, said, gaps = (answers[Part(of, kind, pictured)] for kind in (CHOICE, GENERATION, CLOZE))
        out |= {
            Number(of, f"class. acc., {way}"): any_of(first_letter_accuracy, picks, seed=seed),
            Number(of, f"no letter, {way} (ours)"): any_of(without_letter, picks, seed=seed),
            Number(of, f"ROUGE-L, {way}"): any_of(overlap.rouge_l_f1, said.answers, said.truths, seed=seed),
            Number(of, f"BLEU, {way}"): any_of(overlap.bleu, said.answers, said.truths, seed=seed),
            Number(of, f"cloze acc., {way}"): any_of(
                keywords.keyword_match, gaps.answers, [(t,) for t in gaps.truths], "substring", seed=seed
            ),
        }
    return {**out, Number(of, "factuality"): None, **manner(of, answers[Part(of, GENERATION)], seed)}


def first_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """The first character of an answer, if there is such an option. [code] "Baker" is read as B: see the rate of answers
    without a letter, and `metrics.choice` for a reading as a person would."""
    letter = answer.strip()[:1].upper()
    return letter if letter in options else None


def first_letter_accuracy(part: Answered, seed: int = 0) -> Measured:
    """Share of questions whose answer begins with the right letter, 0..1."""
    hits = [float(letter == truth) for letter, truth in zip(_letters(part), part.truths, strict=True)]
    return mean_of(choice.CHOICE_ACCURACY, hits, "Multiple-choice accuracy, first character", seed)


def without_letter(part: Answered, seed: int = 0) -> Measured:
    """Share of answers that begin with no option's letter, 0..1."""
    missed = [float(letter is None) for letter in _letters(part)]
    return mean_of(choice.CHOICE_INVALID, missed, "Multiple-choice answers without a letter, first character", seed)


def _letters(part: Answered) -> list[str | None]:
    return [first_letter(a, p.example.options or {}) for p, a in zip(part.probes, part.answers, strict=True)]
