"""What every reader is, and what readers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Protocol

from unlearn_core.data.errors import BadFile
from unlearn_core.data.readers.fields import Record, Unusable
from unlearn_core.data.readers.row import Dropped, PictureFile, Row
from unlearn_core.data.readers.source import Source, inside


class Reader(Protocol):
    """One layout of files."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str:
        """One sentence for people."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """Forget sets to choose from, the default first; empty where a file says itself what is to be forgotten."""
        ...

    def recognises(self, source: Source) -> bool:
        """Whether the files look like this layout, from their names alone."""
        ...

    def read(self, source: Source, split: str) -> Iterator[Row | Dropped]:
        """Row by row. Raises BadFile for what cannot be read at all."""
        ...


def usable(
    lines: Iterable[tuple[int, Record]], file: str, make: Callable[[int, Record], Iterable[Row]]
) -> Iterator[Row | Dropped]:
    """The rows of each record, or why there are none: a record is taken whole or not at all. Raises BadFile."""
    for line, record in lines:
        try:
            made = list(make(line, record))
        except Unusable as error:
            yield Dropped(file, line, str(error))
        except BadFile as error:  # of a picture's path, which says nothing of the table
            raise BadFile(error.what, file, line) from error
        else:
            yield from made or [Dropped(file, line, "there is no question in it")]


def picture_file(source: Source, path: str, *folders: str) -> PictureFile:
    """A picture named in a file, looked for in these folders in turn, and at the top.

    Raises:
        BadFile: the path leads out of the folder.
        Unusable: there is no such file.
    """
    for folder in (*folders, ""):
        name = inside(str(PurePosixPath(folder) / inside(path)))
        if source.has(name):
            return PictureFile(source, name)
    raise Unusable("its picture is missing")


def below(source: Source, name: str) -> str | None:
    """The folder in which a file of this name lies, "" for the top; the one highest up. None if there is none."""
    found = sorted((n for n in source.names if PurePosixPath(n).name == name), key=lambda n: (n.count("/"), n))
    return None if not found else str(PurePosixPath(found[0]).parent).removeprefix(".")
