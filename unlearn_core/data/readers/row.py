"""What readers yield: rows whose pictures are opened when they are wanted, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, Protocol
from weakref import WeakValueDictionary

from PIL import Image

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.data.readers.source import Source, read_bounded
from unlearn_core.vlm.errors import BadImage
from unlearn_core.vlm.images import MAX_BYTES, open_image

Side = Literal["forget", "keep", "retain", "test", ""]
"""What a row is for; empty where the file does not say."""


class Picture(Hashable, Protocol):
    """Where a picture lies. Equal ones are the same picture."""

    def read(self) -> bytes:
        """The picture's file. Raises BadFile."""
        ...


@dataclass(frozen=True)
class PictureFile:
    """A picture that is a file of its own."""

    source: Source
    name: str

    def read(self) -> bytes:
        return read_bounded(self.source, self.name, MAX_BYTES)


@dataclass(frozen=True, eq=False)
class Row:
    """An example as a file has it.

    Args:
        example: without its picture.
        picture: None for a question without one.
        name: what people call the subject, where the file says.
        file, line: where it stands; lines, or rows of a table, are counted from 1.
    """

    example: Example
    picture: Picture | None
    side: Side
    file: str
    line: int
    name: str | None = None


@dataclass(frozen=True)
class Dropped:
    """A row that was left out. `reason` is a clause such as `the picture is missing`."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Report:
    """What became of the rows of a file."""

    kept: int
    dropped: tuple[Dropped, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were left out for each reason, the most frequent first."""
        return dict(Counter(d.reason for d in self.dropped).most_common())


@dataclass(frozen=True, eq=False)
class Table:
    """All rows of a file, pictures not yet opened, and a report of those left out."""

    rows: tuple[Row, ...]
    report: Report


def distinct(items: Iterable[Row | Dropped]) -> Iterator[Row | Dropped]:
    """The same, but a row whose id stood before is dropped."""
    first: dict[str, Row] = {}
    for item in items:
        if isinstance(item, Row) and (before := first.setdefault(item.example.id, item)) is not item:
            yield Dropped(item.file, item.line, f"its id is that of line {before.line} of {before.file}")
        else:
            yield item


def gather(items: Iterable[Row | Dropped]) -> Table:
    """Read to the end."""
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for item in items:
        rows.append(item) if isinstance(item, Row) else dropped.append(item)
    return Table(tuple(rows), Report(len(rows), tuple(dropped)))


def to_request(table: Table, name: str) -> tuple[ForgetRequest, Report]:
    """The request that the sides of a table make, and the report with what had to be left out of it.

    Rows on no side, and those for tests, are not part of a request. The answer of a multiple choice becomes its option's text:
    a letter says nothing to a method that does not ask with the options.

    Raises:
        BadFile: a picture cannot be read. BadRequest: the sides make no request.
    """
    chosen: dict[Side, list[Row]] = {"forget": [], "keep": [], "retain": []}
    dropped = list(table.report.dropped)
    for row in table.rows:
        if row.side == "forget" and row.picture is None:
            dropped.append(Dropped(row.file, row.line, "without a picture it cannot be forgotten by these methods"))
        elif row.side in chosen:
            chosen[row.side].append(row)
    count = sum(map(len, chosen.values()))
    examples = map(_in_words, opened(row for rows in chosen.values() for row in rows))
    sides = {side: tuple(islice(examples, len(rows))) for side, rows in chosen.items()}
    return ForgetRequest(name, sides["forget"], sides["keep"], sides["retain"]), Report(count, tuple(dropped))


def _in_words(example: Example) -> Example:
    text = (example.options or {}).get(example.answer)
    return example if text is None else replace(example, answer=text)


def opened(rows: Iterable[Row]) -> Iterator[Example]:
    """Examples with their pictures, opened one after the other.

    Rows of the same picture share one object as long as anybody holds it, so that it is processed once; what is let go
    is freed, so that a file of any length can be gone through.

    Raises:
        BadFile: a picture cannot be read; says of which line.
    """
    held: WeakValueDictionary[Picture, Image.Image] = WeakValueDictionary()
    for row in rows:
        if row.picture is None:
            yield row.example
            continue
        image = held.get(row.picture)
        if image is None:
            image = held[row.picture] = _open(row, row.picture)
        yield replace(row.example, image=image)


def _open(row: Row, picture: Picture) -> Image.Image:
    try:
        return open_image(picture.read())
    except (BadImage, BadFile) as error:
        raise BadFile(error.what if isinstance(error, BadFile) else str(error), row.file, row.line) from error
