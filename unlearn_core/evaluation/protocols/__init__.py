"""The benchmarks of the field in their own words: what each asks, and the table of its paper. One file each."""

from __future__ import annotations

from pathlib import Path

from unlearn_core.data.errors import BadFile
from unlearn_core.data.readers import READERS, source_of, split_of
from unlearn_core.evaluation.protocols.base import Benchmark, Number, Part, Questions, probes_of
from unlearn_core.evaluation.protocols.clear import CLEAR
from unlearn_core.evaluation.protocols.fiubench import FIUBench
from unlearn_core.evaluation.protocols.mllmu import MLLMUBench
from unlearn_core.evaluation.protocols.run import RETAIN_ONLY, Sheet, examine
from unlearn_core.evaluation.protocols.umu import UMUBench

IN_ORDER: tuple[Benchmark, ...] = (FIUBench(), MLLMUBench(), CLEAR(), UMUBench())
BENCHMARKS = {benchmark.name: benchmark for benchmark in IN_ORDER}

__all__ = ["BENCHMARKS", "RETAIN_ONLY", "Benchmark", "Number", "Part", "Questions", "Sheet", "examine", "load"]


def load(
    where: str | Path, benchmark: Benchmark, split: str = "", limit: int | None = None, seed: int = 0
) -> Questions:
    """The questions of a benchmark with their pictures.

    Args:
        where: a folder, a zip, or the hub id of the benchmark.
        split: forget set; empty for the benchmark's first.
        limit: questions of each part, at most; None for as many as the benchmark asks.
        seed: of what the benchmark draws at random.

    Raises:
        BadFile: the files are not there, not of this benchmark, or cannot be read. BadOption: no such forget set.
        MissingPackage: the layout needs a package that is not installed.
    """
    source, reader = source_of(where)[0], READERS[benchmark.name]
    chosen = split_of(reader, split)
    if not reader.recognises(source):
        raise BadFile(f"These are not the files of {benchmark.title}. It needs: {reader.about}", source.label)
    rows, dropped = benchmark.rows(source, chosen, limit, seed)
    return Questions(chosen, probes_of(rows), dropped)
