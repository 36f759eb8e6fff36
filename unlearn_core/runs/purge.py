"""Remove what is kept about somebody from a workspace, and look whether anything is left."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import ForgetRequest, distinct_images
from unlearn_core.data.strict_json import to_json
from unlearn_core.runs.errors import RunDamaged
from unlearn_core.runs.requests import digest
from unlearn_core.runs.shelf import Shelf
from unlearn_core.runs.store import Workspace
from unlearn_core.vlm.errors import RunNotFound
from unlearn_core.vlm.images import to_rgb

REQUESTS = "requests"
"""Folder of saved requests in a workspace."""


@dataclass(frozen=True)
class Traces:
    """What gives somebody away: names, and SHA-256 of pictures as they are kept."""

    names: frozenset[str]
    pictures: frozenset[str]

    def patterns(self) -> tuple[bytes, ...]:
        """As they stand in files; JSON writes what is not ASCII in a form of its own."""
        names = {form for n in self.names for form in (n.encode("utf-8", "surrogatepass"), to_json(n).strip()[1:-1])}
        return tuple(sorted(names | {p.encode() for p in self.pictures}))


@dataclass(frozen=True)
class Purged:
    """What came of it.

    Args:
        removed: runs and requests that are gone.
        searched: how many files were then looked through.
        left: files of the workspace that still name the same people or hold the same pictures.
    """

    removed: tuple[str, ...]
    searched: int
    left: tuple[str, ...]


def purge(root: Path, name: str, everywhere: bool = False) -> Purged:
    """Remove a run or a saved request, and what was left half written, then search the workspace for its people and their
    pictures.

    Runs and requests that were deleted on a page and could still be brought back go first, for good.
    What was removed is no longer in any folder. Disks, snapshots and backups may keep blocks of it; that is beyond a program.

    Args:
        root: the workspace. name: id of a run or of a saved request.
        everywhere: remove every run and request too that names the same people or holds the same pictures.

    Raises:
        BadRequest: there is no run and no request by that id.
        RunNotReady: a run is still going.
        StorageFailed: it must not be removed.
    """
    _empty_bin(root, name)
    patterns = _traces(root, name).patterns()
    Workspace(root).sweep()
    removed = [name]
    _remove(root, name)
    if everywhere:
        for other in dict.fromkeys(_kept(root, path) for path in _holding(root, patterns)):
            if other is not None:
                _remove(root, other)
                removed.append(other)
    left = [str(path.relative_to(root)) for path in _holding(root, patterns)]
    return Purged(tuple(removed), sum(1 for _ in _files(root)), tuple(left))


def _empty_bin(root: Path, name: str) -> None:
    """Nothing that was deleted on a page can come back after a purge; what is purged itself is looked at once more."""
    for kept in (Workspace(root), Shelf(root / REQUESTS)):
        if kept.in_bin(name):
            kept.restore(name)
        kept.empty_bin(older=0)


def _traces(root: Path, name: str) -> Traces:
    workspace, shelf = Workspace(root), Shelf(root / REQUESTS)
    try:
        run = workspace.run(name)
    except RunNotFound:
        try:
            return _of(shelf.load(name))
        except BadFile:  # it can no longer be read, and goes all the same
            return Traces(frozenset(), frozenset())
    except RunDamaged:
        return Traces(frozenset(), frozenset())
    try:
        return _of(run.request())
    except RunDamaged:  # which of its pictures are of whom can no longer be told
        return Traces(frozenset(run.info.subjects), frozenset())


def _of(request: ForgetRequest) -> Traces:
    about = (*request.forget, *request.keep)
    pictures = frozenset(digest(to_rgb(image)) for image in distinct_images(about))
    return Traces(frozenset(e.subject for e in about if e.subject), pictures)


def _remove(root: Path, name: str) -> None:
    try:
        Workspace(root).delete(name)
    except RunNotFound:
        Shelf(root / REQUESTS).delete(name)


def _kept(root: Path, path: Path) -> str | None:
    """Id of the run or request that a file belongs to."""
    first, *rest = path.relative_to(root).parts
    if first == REQUESTS and len(rest) == 1 and path.suffix == ".zip":
        return path.stem
    try:
        return Workspace(root).run(first).id
    except RunNotFound:
        return None
    except RunDamaged:
        return first


def _holding(root: Path, patterns: Iterable[bytes]) -> list[Path]:
    wanted = tuple(patterns)
    return [path for path in _files(root) if _holds(path, wanted)]


def _files(root: Path) -> Iterable[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())


def _holds(path: Path, patterns: tuple[bytes, ...]) -> bool:
    if any(p in str(path).encode("utf-8", "surrogateescape") for p in patterns):
        return True
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(p) >= 0 for p in patterns)
