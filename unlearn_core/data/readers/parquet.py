"""Parquet tables with pictures in them, read row group by row group. Needs pyarrow, which is an optional package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from unlearn_core.data.errors import BadFile, MissingPackage
from unlearn_core.data.readers.records import Record
from unlearn_core.data.readers.source import DAMAGE, Source

BATCH = 64
"""Rows held at a time."""


@dataclass(frozen=True)
class Cell:
    """A picture in a table, `{bytes, path}` as Hugging Face stores it. `item` is its place where a cell holds several."""

    source: Source
    name: str
    column: str
    row: int
    item: int | None = None

    def read(self) -> bytes:
        group, offset = _place(self.source, self.name, self.row)
        value = _column(self.source, self.name, group, self.column)[offset].as_py()
        picture = value if self.item is None else value[self.item]
        data = picture.get("bytes") if isinstance(picture, dict) else picture
        if not isinstance(data, bytes):
            raise BadFile("The table names a picture but does not hold it. Please use the original files.", self.name)
        return data


def parquet_files(source: Source, folder: str) -> list[str]:
    """Tables of a folder, wherever in the source it lies, in order."""
    return sorted(
        n for n in source.names if n.endswith(".parquet") and f"/{n}".rpartition("/")[0].endswith(f"/{folder}")
    )


def parquet_records(source: Source, name: str, pictures: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Rows with their number, from 1. Columns in `pictures` give `Cell`s (a tuple of them for a list) or None.

    Raises:
        MissingPackage: pyarrow is not installed. BadFile: not a parquet file, or a damaged one.
    """
    row = 0
    try:
        for batch in _opened(source, name).iter_batches(BATCH):
            columns = {c: batch.column(c) for c in batch.schema.names}
            texts = {c: v.to_pylist() for c, v in columns.items() if c not in pictures}
            for i in range(batch.num_rows):
                cells = {c: _cells(columns[c], i, Cell(source, name, c, row)) for c in pictures if c in columns}
                row += 1
                yield row, {c: v[i] for c, v in texts.items()} | cells
    except _broken() as error:
        raise BadFile("This parquet file cannot be read. Please download it again.", name, row + 1) from error


def _cells(column: Any, i: int, cell: Cell) -> Cell | tuple[Cell, ...] | None:
    value = column[i]
    if not value.is_valid:
        return None
    if hasattr(column, "value_lengths"):  # of lists
        return tuple(replace(cell, item=k) for k in range(len(value)))
    return cell


def _parquet() -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingPackage(
            "Parquet files need the package pyarrow. Please install it: pip install 'vlm-unlearning-studio[benchmarks]'"
        ) from error


def _broken() -> tuple[type[Exception], ...]:
    _parquet()
    return import_module("pyarrow").ArrowException, *DAMAGE


def _opened(source: Source, name: str) -> Any:
    parquet = _parquet()
    try:
        return parquet.ParquetFile(source.open(name), pre_buffer=False)
    except _broken() as error:
        raise BadFile("This is not a parquet file that can be read. Please download it again.", name) from error


@lru_cache(maxsize=4)
def _kept(source: Source, name: str) -> Any:
    """For pictures that are opened one after the other."""
    return _opened(source, name)


def _place(source: Source, name: str, row: int) -> tuple[int, int]:
    metadata = _kept(source, name).metadata
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if row < count:
            return group, row
        row -= count
    raise BadFile("The file has fewer rows than before. Please read it again.", name)


@lru_cache(maxsize=2)
def _column(source: Source, name: str, group: int, column: str) -> Any:
    return _kept(source, name).read_row_group(group, columns=[column]).column(column)
