"""Where files come from: a folder or a zip. Nothing outside of it is ever opened, and nothing is unpacked to the disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from unlearn_core.data.errors import BadFile

MAX_FILES = 200_000
MAX_UNPACKED = 64 * 2**30
"""Bytes of all files of a zip together, as it declares them; files are read one by one and bounded each."""
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What all programs write. Others may want any amount of memory to be unpacked."""
DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError)
"""What a damaged zip or disk raises while a file is read."""


class Source(Protocol):
    """Files by name; a name is a path with slashes below the top."""

    @property
    def label(self) -> str:
        """What messages call it."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file; costs less than to list all."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """A file that can be read and sought. Raises BadFile."""
        ...


class Folder:
    """A folder on the disk. Symbolic links that lead out of it are refused.

    Raises:
        BadFile: no such folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._names: frozenset[str] | None = None
        if not self._root.is_dir():
            raise BadFile("There is no such folder. Please check the path.", root.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Folder) and other._root == self._root

    def __hash__(self) -> int:
        return hash(self._root)

    @property
    def label(self) -> str:
        return self._root.name

    @property
    def names(self) -> frozenset[str]:
        if self._names is None:
            self._names = frozenset(self._walk())
        return self._names

    def _walk(self) -> Iterator[str]:
        for count, path in enumerate(self._root.rglob("*")):
            if count >= MAX_FILES:
                raise BadFile(
                    f"There are more than {MAX_FILES} files in it. Please choose a smaller folder.", self.label
                )
            if path.is_file():
                yield path.relative_to(self._root).as_posix()

    def has(self, name: str) -> bool:
        try:
            return (self._root / inside(name)).is_file()
        except OSError:  # longer than any name can be
            return False

    def open(self, name: str) -> IO[bytes]:
        try:
            path = (self._root / inside(name)).resolve()
            if path.is_relative_to(self._root):
                return path.open("rb")
        except (OSError, ValueError, RuntimeError) as error:  # missing, a name that no file can have, links in a circle
            raise BadFile("The file cannot be opened. Please check that it is there.", name) from error
        raise BadFile("This is a link that leads out of the folder, and is not followed.", name)


class Zip:
    """A zip, read in place.

    Raises:
        BadFile: no zip, encrypted, with links or paths that lead out of it, or one that unpacks to far too much.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
            entries = self._archive.infolist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BadFile("This is not a zip that can be read. Please make it again.", path.name) from error
        if len(entries) > MAX_FILES or sum(e.file_size for e in entries) > MAX_UNPACKED:
            raise BadFile("The zip unpacks to far too much. Please make a smaller one.", path.name)
        for entry in entries:
            _check(entry, path.name)
        self.names = frozenset(e.filename for e in entries if not e.is_dir())

    @property
    def label(self) -> str:
        return self._path.name

    def has(self, name: str) -> bool:
        return name in self.names

    def open(self, name: str) -> IO[bytes]:
        if name not in self.names:
            raise BadFile("The file is not in the zip.", name)
        with intact(name):
            return cast("IO[bytes]", self._archive.open(name))


def _check(entry: zipfile.ZipInfo, label: str) -> None:
    if not entry.filename:
        raise BadFile("The zip holds a file without a name. Please make it again.", label)
    inside(entry.filename)
    if entry.compress_type not in PACKINGS:
        raise BadFile("The zip is packed in an unusual way. Please make an ordinary one.", entry.filename)
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise BadFile("The zip holds a link. Please make one of plain files.", entry.filename)
    if entry.flag_bits & 1:
        raise BadFile("The zip is encrypted. Please make one without a password.", entry.filename)


def inside(name: str) -> str:
    """The name made plain: `./a/b` is `a/b`. Raises BadFile for one that leads out of its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or name[1:2] == ":":
        raise BadFile("This path leads out of the folder, and is not followed. Please use paths below it.", name)
    return path.as_posix()


@contextmanager
def intact(name: str) -> Iterator[None]:
    """To read a file of a source in. Raises BadFile for one that is damaged."""
    try:
        yield
    except DAMAGE as error:
        raise BadFile("The file is damaged and cannot be read.", name) from error


PART = 2**20
"""Bytes."""


def read_bounded(source: Source, name: str, most: int) -> bytes:
    """A whole file. Raises BadFile if it has more than `most` bytes or is damaged."""
    data = bytearray()
    with intact(name), source.open(name) as file:
        while len(data) <= most and (part := file.read(PART)):  # one reading of all would first take memory for `most`
            data += part
    if len(data) > most:
        raise BadFile(f"The file has more than {most / 1e6:.0f} MB. Please split it.", name)
    return bytes(data)
