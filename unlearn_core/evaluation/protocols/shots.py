"""Examples with their answers that MLLMU-Bench puts before a question, so that a model answers in the wanted form.

Upstream draws them from the set under test, also from the people to forget, and shows their pictures. Here they are of
retained people, so that no forgotten answer is handed to the model, and in words alone, since a prompt has one picture. [ours]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unlearn_core.data.readers import Row
from unlearn_core.vlm.prompt import MAX_QUESTION

PEOPLE = {"choice": 1, "cloze": 2}
"""Of so many people all questions of a kind are shown. [code]"""


@dataclass(frozen=True, eq=False)
class Shots:
    """The rows that are shown."""

    rows: tuple[Row, ...]

    def others(self, rows: Sequence[Row]) -> list[Row]:
        """Rows that are not shown: what was shown with its answer is not asked. [code]"""
        shown = {row.example.id for row in self.rows}
        return [row for row in rows if row.example.id not in shown]

    def before(self, question: str, kind: str, pictured: bool) -> str:
        """The question after as many examples of its kind as there is room for."""
        text = ""
        for row in self.rows:
            if row.example.kind == kind and (row.picture is not None) == pictured:
                longer = f"{text}{_shown(row)}\n\n"
                if len(longer) + len(question) > MAX_QUESTION:
                    break
                text = longer
        return text + question


def draw(rows: Sequence[Row], seed: int) -> Shots:
    """The questions of people drawn for each kind; none where there is nobody besides them to ask about."""
    chosen: list[Row] = []
    for kind, count in PEOPLE.items():
        of_kind = [row for row in rows if row.example.kind == kind]
        people = sorted({row.example.subject or "" for row in of_kind})
        if len(people) > count:
            drawn = set(np.random.default_rng((41, seed)).permutation(people)[:count].tolist())
            chosen += [row for row in of_kind if row.example.subject in drawn]
    return Shots(tuple(chosen))


def _shown(row: Row) -> str:
    """An example as upstream writes it, without the marks of a turn, which the model's own template sets. [code]"""
    e = row.example
    options = "".join(f"\n{letter}: {text}" for letter, text in (e.options or {}).items())
    return f"Question: {e.question.replace('__', '[Blank]')}{options}\nCorrect Answer: {e.answer}"
