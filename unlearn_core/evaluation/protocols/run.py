"""Ask models the questions of a benchmark and set the numbers side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unlearn_core.evaluation.collect import BATCH, Record, collect_to
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.protocols.base import Answered, Answers, Benchmark, Number, Numbers, Questions
from unlearn_core.vlm import VLM

RETAIN_ONLY = "retain-only"
"""What a table calls the model that others are measured against."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """The table of a benchmark.

    Args:
        benchmark, split: title of the benchmark, name of the forget set.
        numbers: by model; each has the same numbers in the same order.
        missing: numbers of the paper that are not measured here, and why.
        asked: questions of each part. dropped: rows of the files that were left out.
    """

    benchmark: str
    split: str
    numbers: Mapping[str, Numbers]
    missing: Mapping[str, str]
    asked: Mapping[str, int]
    dropped: int

    @property
    def rows(self) -> tuple[Number, ...]:
        return tuple(next(iter(self.numbers.values())))


def examine(
    benchmark: Benchmark,
    questions: Questions,
    models: Mapping[str, VLM],
    folders: Mapping[str, Path],
    batch_size: int = BATCH,
    seed: int = 0,
) -> Job[Sheet]:
    """Every model on every question, and the table.

    Args:
        models: by the name that the table gives them; one called `RETAIN_ONLY` is what the others are measured against.
        folders: by the same names, a folder each that keeps the model's answers, so that what was stopped goes on where it
            was. It must be of this model, these questions and this batch size, and is as private as the answers.

    Raises:
        RecordsDamaged, StorageFailed, NotFinite: as for `collect_to`.
    """
    found: dict[str, Answers] = {}
    for name, vlm in models.items():
        found[name] = yield from answers_of(vlm, name, benchmark, questions, folders[name], batch_size)
    gold = found.get(RETAIN_ONLY)
    numbers = {name: benchmark.numbers(answers, gold, seed) for name, answers in found.items()}
    asked = {str(part): len(probes) for part, probes in questions.parts.items()}
    return Sheet(benchmark.title, questions.split, numbers, benchmark.missing, asked, questions.dropped)


def answers_of(
    vlm: VLM, name: str, benchmark: Benchmark, questions: Questions, folder: Path, batch_size: int
) -> Job[Answers]:
    """What one model makes of all parts, one file each."""
    out, total, done = Answers(), len(questions.probes), 0
    for part, probes in questions.parts.items():
        records: list[Record] = []
        path = folder / f"{re.sub('[^a-z0-9]+', '-', str(part))}.jsonl"
        for batch in collect_to(path, vlm, probes, batch_size, benchmark.max_new_tokens(part)):
            records += batch
            done += len(batch)
            yield Progress(f"asking: {name}, {part}", done, total)
        out[part] = Answered(probes, tuple(records))
    return out
