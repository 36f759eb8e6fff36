"""UMU-bench: every question with and without the picture, and whether both ways are forgotten.

[code] marks what is as in the benchmark's own code; where we differ, [ours] says why.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from unlearn_core.data.readers import READERS, Row, gather
from unlearn_core.data.readers.source import Source
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.metrics import choice, keywords, modality, overlap
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

FORGET, RETAIN, REAL = "forget", "retain", "real people"
SETS = {"forget": FORGET, "retain": RETAIN, "test": REAL}
"""By side of a row."""
CHOICE, GENERATION, CLOZE = "choice", "generation", "cloze"
KINDS = (CHOICE, CLOZE, GENERATION)
WAYS = {True: "with picture", False: "without"}


class UMUBench:
    """Three sets: forgotten people, retained people, real people."""

    name = "umu"
    title = "UMU-bench"
    missing: Mapping[str, str] = {}

    def max_new_tokens(self, part: Part) -> int:
        return 200 if part.kind == GENERATION else 50  # [code]

    def rows(self, source: Source, split: str, limit: int | None, seed: int) -> tuple[Rows, int]:
        table = gather(READERS[self.name].read(source, split))
        groups: dict[Part, list[Row]] = {
            Part(of, kind, way): [] for of in SETS.values() for kind in KINDS for way in WAYS
        }
        for row in table.rows:
            part = Part(SETS.get(row.side, ""), row.example.kind, row.picture is not None)
            if part in groups:
                groups[part].append(row)
        rows = {part: [asked(row, worded(row)) for row in at_most(group, limit)] for part, group in groups.items()}
        return rows, len(table.report.dropped)

    def numbers(self, answers: Answers, gold: Answers | None, seed: int) -> Numbers:
        return {k: v for of in SETS.values() for k, v in _of_set(of, answers, seed).items()}


def worded(row: Row) -> str:
    """A question as the benchmark puts it to LLaVA. [code]"""
    question, kind = row.example.question, row.example.kind
    if kind == CHOICE:
        return f"{question}\nSelect answer in {list((row.example.options or {}).values())}"
    if kind == CLOZE:
        return f"{question}\nPlease **ONLY** provide the correct answer without any explanation"
    how = "in one sentence accurately" if row.picture is not None else "in one sentence"
    return f"{question}\nAnswer the question based on your trained knowledge {how} in ENGLISH."


# -- numbers ----------------------------------------------------------------------------------------------------------


def _of_set(of: str, answers: Answers, seed: int) -> dict[Number, Measured | None]:
    out: dict[Number, Measured | None] = {}
    for kind, name in ((CHOICE, "class. acc."), (CLOZE, "cloze acc."), (GENERATION, "ROUGE-L")):
        ways = {way: answers[Part(of, kind, way)] for way in WAYS}
        found = {way: any_of(_measure, of, kind, part, seed=seed) for way, part in ways.items()}
        out |= {Number(of, f"{name}, {WAYS[way]}"): m for way, m in found.items()}
        scores = _pairs(ways, found)
        if kind == GENERATION:
            rouge = modality.rouge_both_forgotten if of == FORGET else modality.rouge_both_retained
            out[Number(of, "RLF" if of == FORGET else "RLR")] = any_of(rouge, *scores, seed=seed)
        else:
            out[Number(of, f"{name}, right both ways")] = any_of(modality.both_right, *scores, seed=seed)
            out[Number(of, f"{name}, wrong both ways")] = any_of(modality.both_wrong, *scores, seed=seed)
    picks = answers[Part(of, CHOICE)]
    return {
        **out,
        Number(of, "none of the options (ours)"): any_of(_without_option, picks, seed=seed),
        **manner(of, answers[Part(of, GENERATION)], seed),
    }


def _measure(of: str, kind: str, part: Answered, seed: int) -> Measured:
    if kind == GENERATION:
        return overlap.rouge_l_f1(part.answers, part.truths, seed)
    if kind == CLOZE:  # the truth counts up to its first full stop [code]
        sought = [(t.split(".")[0],) for t in part.truths]
        return keywords.keyword_match(part.answers, sought, "substring", seed)
    hits = [float(_picked(of, p.example.options or {}, a) == t) for p, a, t in _each(part)]
    how = "nearest option" if of == REAL else "word for word"
    return mean_of(choice.CHOICE_ACCURACY, hits, f"Multiple-choice accuracy, {how}", seed)


def _picked(of: str, options: Mapping[str, str], answer: str) -> str | None:
    """The letter of the option that the answer is word for word; about real people, of the one most like it. [code]"""
    if of == REAL:
        return max(
            options, key=lambda letter: difflib.SequenceMatcher(None, answer, options[letter]).ratio(), default=None
        )
    return next((letter for letter, text in options.items() if text == answer.strip()), None)


def _without_option(part: Answered, seed: int) -> Measured:
    """Share of answers that are no option word for word: an answer of a letter is one of them, and counts as forgotten."""
    missed = [float(_picked(FORGET, p.example.options or {}, a) is None) for p, a, _ in _each(part)]
    return mean_of(choice.CHOICE_INVALID, missed, "Answers that are none of the options, word for word", seed)


def _each(part: Answered) -> Iterator[tuple[Probe, str, str]]:
    return zip(part.probes, part.answers, part.truths, strict=True)


def _pairs(
    parts: Mapping[bool, Answered], found: Mapping[bool, Measured | None]
) -> tuple[list[float | None], list[float | None]]:
    """Scores with and without the picture of the questions that are asked both ways, by their key in the data."""
    pictured, text = (_by_key(parts[way], found[way]) for way in WAYS)
    both = [key for key in pictured if key in text]
    return [pictured[key] for key in both], [text[key] for key in both]


def _by_key(part: Answered, measured: Measured | None) -> dict[str, float | None]:
    """By id without the ending that says which way."""
    scores = measured.per_example if measured is not None else ()
    return {p.example.id.rpartition("-")[0]: s for p, s in zip(part.probes, scores, strict=bool(scores))}
