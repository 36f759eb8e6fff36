"""Readers: files and benchmarks as examples. One file each; `READERS` lists them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from unlearn_core.data.errors import BadFile
from unlearn_core.data.readers.base import Reader
from unlearn_core.data.readers.clear import CLEAR
from unlearn_core.data.readers.fiubench import FIUBench
from unlearn_core.data.readers.hub import is_hub_id, local_copy
from unlearn_core.data.readers.mllmu import MLLMUBench
from unlearn_core.data.readers.plain import ImageFolder, Table, read_table
from unlearn_core.data.readers.row import Dropped, Report, Row, distinct, gather, opened, to_request
from unlearn_core.data.readers.row import Table as Rows
from unlearn_core.data.readers.source import Folder, Source, Zip
from unlearn_core.data.readers.umu import UMUBench
from unlearn_core.vlm.errors import BadOption

IN_ORDER: tuple[Reader, ...] = (FIUBench(), MLLMUBench(), CLEAR(), UMUBench(), ImageFolder(), Table())
READERS = {reader.name: reader for reader in IN_ORDER}
"""By name; the first that recognises a source reads it."""

__all__ = ["READERS", "Dropped", "Reader", "Report", "Row", "Rows", "opened", "read", "stream", "to_request"]


def read(where: str | Path, reader: str = "", split: str = "") -> Rows:
    """All rows and a report of those left out; pictures are opened later, by `opened`. Arguments as for `stream`."""
    return gather(stream(where, reader, split))


def stream(where: str | Path, reader: str = "", split: str = "") -> Iterator[Row | Dropped]:
    """Row by row, in bounded memory.

    Args:
        where: a folder, a zip, a single table, or the hub id of a benchmark.
        reader: name in `READERS`; empty to tell by the names of the files.
        split: forget set of a benchmark; empty for its first.

    Raises:
        BadFile: it is not there, cannot be read, or must not be.
        BadOption: no such reader or split.
        MissingPackage: the layout needs a package that is not installed.
    """
    source, table = source_of(where)
    if table is not None and reader in ("", "table"):
        return distinct(read_table(source, table))
    chosen = reader_of(source, reader)
    return distinct(chosen.read(source, split_of(chosen, split)))


def split_of(reader: Reader, split: str = "") -> str:
    """The forget set of this name, or the reader's first. Raises BadOption."""
    if split and split not in reader.splits:
        raise BadOption(f"'{reader.name}' has no split '{split}'. Choose one of: {', '.join(reader.splits) or 'none'}.")
    return split or next(iter(reader.splits), "")


def source_of(where: str | Path) -> tuple[Source, str | None]:
    """The files, and the name of the table if it is a single one."""
    path = Path(where)
    if path.is_dir():
        return Folder(path), None
    if path.is_file():
        return (Zip(path), None) if zipfile.is_zipfile(path) else (Folder(path.parent), path.name)
    if is_hub_id(str(where)):
        return Folder(local_copy(str(where))), None
    raise BadFile("There is no such file or folder. Please check the path.", path.name)


def reader_of(source: Source, name: str = "") -> Reader:
    """By name, or the first that recognises the files. Raises BadOption, BadFile."""
    if name:
        if name not in READERS:
            raise BadOption(f"There is no reader '{name}'. Choose one of: {', '.join(READERS)}.")
        return READERS[name]
    for reader in READERS.values():
        if reader.recognises(source):
            return reader
    raise BadFile(
        "Nothing here looks like examples. A folder or zip needs metadata.jsonl or metadata.csv beside the pictures.",
        source.label,
    )
