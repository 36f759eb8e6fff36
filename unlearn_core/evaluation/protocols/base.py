"""What a protocol is: the questions of a benchmark in its own words, and the numbers of its paper's table from the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, Protocol

from unlearn_core.data.example import Example
from unlearn_core.data.readers import Row, opened
from unlearn_core.data.readers.source import Source
from unlearn_core.evaluation.collect import Probe, Record
from unlearn_core.evaluation.measure import or_none
from unlearn_core.evaluation.metrics import behaviour
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.status import Form, status
from unlearn_core.evaluation.suite.build import evenly
from unlearn_core.evaluation.suite.suite import digest_of


class Part(NamedTuple):
    """A group of questions: about whom, of what kind, and whether they are asked with the picture."""

    of: str
    kind: str
    pictured: bool = True

    def __str__(self) -> str:
        return f"{self.of}, {self.kind}{'' if self.pictured else ', without picture'}"


class Number(NamedTuple):
    """A row of the table: about whom, and what the paper calls the number. One that differs from the paper's, or is ours,
    says so in `Measured.name`."""

    of: str
    name: str


Numbers = Mapping[Number, Measured | None]
"""None where a number of the paper could not be had; a protocol's `missing` says why, or there was no such question."""
Rows = Mapping[Part, Sequence[Row]]


@dataclass(frozen=True, eq=False)
class Questions:
    """Everything that is asked of each model.

    Args:
        split: name of the forget set.
        dropped: rows of the files that were left out because they lack something.
    """

    split: str
    parts: Mapping[Part, tuple[Probe, ...]]
    dropped: int

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Part after part."""
        return tuple(probe for group in self.parts.values() for probe in group)

    def digest(self) -> str:
        """SHA-256 in hexadecimal over parts, questions, given answers and pixels."""
        return digest_of({str(part): group for part, group in self.parts.items()})


@dataclass(frozen=True, eq=False)
class Answered:
    """One part, and what one model made of it; a record for each probe, in the same order."""

    probes: tuple[Probe, ...]
    records: tuple[Record, ...]

    @property
    def answers(self) -> list[str]:
        return [r.answer for r in self.records]

    @property
    def truths(self) -> list[str]:
        return [p.example.answer for p in self.probes]

    @property
    def keywords(self) -> list[tuple[str, ...]]:
        return [p.example.keywords for p in self.probes]


class Answers(dict[Part, Answered]):
    """What one model made of each part. A part that the files do not have is empty."""

    def __missing__(self, part: Part) -> Answered:
        return Answered((), ())


class Benchmark(Protocol):
    """The protocol of one benchmark. `name` is also that of its reader."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def missing(self) -> Mapping[str, str]:
        """Numbers of the paper that are not measured here, by name, and why."""
        ...

    def rows(self, source: Source, split: str, limit: int | None, seed: int) -> tuple[Rows, int]:
        """What is asked, in the benchmark's words, pictures not yet opened; and how many rows of the files were left out.

        Args:
            limit: questions of each part, at most; None for as many as the benchmark asks.

        Raises:
            BadFile: a file is missing or cannot be read.
        """
        ...

    def max_new_tokens(self, part: Part) -> int:
        """Where an answer ends at the latest."""
        ...

    def numbers(self, answers: Answers, gold: Answers | None, seed: int) -> Numbers:
        """The paper's table for one model, 0..1 each, in the paper's order. `gold` are the answers of a retain-only model."""
        ...


def at_most(rows: Sequence[Row], limit: int | None) -> list[Row]:
    """All rows, or so many of them, taken evenly."""
    return list(rows) if limit is None else evenly(rows, limit)


def probes_of(rows: Rows) -> dict[Part, tuple[Probe, ...]]:
    """Probes with their pictures, asked as the rows have it; parts without rows are left out. A picture that is asked about
    in several parts is one object, held and processed once. Raises BadFile for one that cannot be read."""
    examples = opened(row for group in rows.values() for row in group)
    each = (Probe(e, e.paraphrased, e.perturbed) for e in examples)
    return {part: tuple(islice(each, len(group))) for part, group in rows.items() if group}


def asked(row: Row, question: str, **changes: object) -> Row:
    """The same row with another question, and what else of its example changes."""
    example: Example = replace(row.example, question=question, **changes)  # type: ignore[arg-type]
    return replace(row, example=example)


def any_of(metric: Callable[..., Measured], *arguments: object, seed: int) -> Measured | None:
    """A metric of these arguments, or None where no example has what it needs."""
    return or_none(lambda: metric(*arguments, seed=seed))


def manner(of: str, part: Answered, seed: int) -> dict[Number, Measured | None]:
    """How often a model refuses and how often it babbles [ours]: a broken model looks perfectly forgotten."""
    statuses = [status(a, t, (), Form.FREE) for a, t in zip(part.answers, part.truths, strict=True)]
    return {
        Number(of, "refusals (ours)"): any_of(behaviour.refusal_rate, statuses, seed=seed),
        Number(of, "gibberish (ours)"): any_of(behaviour.gibberish_rate, statuses, seed=seed),
    }
