"""Files that are whole or not there at all, and locks that end with the process that holds them.

What is being written is locked by its writer. So what a killed process left can be told from what a living one writes, and
is removed (`clear`) without asking how old it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

from unlearn_core.vlm.errors import StorageFailed

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
NEW = ".new-"
"""Begins the name of what is being written."""


@contextmanager
def storing() -> Iterator[None]:
    """Turn what goes wrong while writing into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(_advice(error)) from error
    except SafetensorError as error:  # its writer reports a full disk this way, without an error number
        raise StorageFailed(
            "The learned weights could not be written. The disk may be full: please free some space and try again."
        ) from error


def _advice(error: OSError) -> str:
    if error.errno in FULL:
        return "The disk is full. What was written before is kept. Please free some space and try again."
    if error.errno in DENIED:
        return "The folder must not be written to. Please change its permissions or choose another folder."
    return f"Writing failed: {error.strerror}. Please check that the folder is still there and try again."


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file (0600) beside `path`, which takes its place when the block ends well and is removed when it does not.

    Raises:
        StorageFailed: the disk is full, or the folder is missing or must not be written to.
    """
    with storing():
        handle, name = _new_file(path.parent)
        with os.fdopen(handle, "w+b") as file:  # open, and so locked, until it has its place
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(name, path)
            except BaseException:
                os.unlink(name)
                raise
        sync(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file or leave the old one. Raises StorageFailed."""
    with replacing(path) as file:
        file.write(data)


def append_line(path: Path, data: bytes) -> None:
    """Add a line or nothing. It is not forced to the disk: a power cut may take the last lines with it.

    Raises:
        StorageFailed: as for `write_file`.
    """
    with storing():
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(handle).st_size
            if os.write(handle, data) < len(data):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(handle)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- locks ------------------------------------------------------------------------------------------------------------
#
# The system's own (flock): it gives them back when their holder dies, however that happens, so none is ever stale. A
# library such as filelock has the same beneath, but no locks that many hold together, which looking needs.


def lock_alone(path: Path, patience: float = 0.0) -> IO[bytes] | None:
    """Lock a file, made if need be, until the result is closed or the process ends; None if somebody holds it.

    Args:
        patience: seconds to try again. Who looks whether a lock is held, holds it for a moment.

    Raises:
        OSError: the file cannot be opened.
    """
    file = _open_lock(path)
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < end:
                time.sleep(0.005)
                continue
            file.close()
            return None
        return file


def lock_shared(path: Path) -> IO[bytes]:
    """As `lock_alone`, but any number may hold it together, and it waits for one who holds it alone."""
    file = _open_lock(path)
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _open_lock(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock alone. Looking needs no right to write, and lookers do not hinder each other."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


# -- what killed processes leave ---------------------------------------------------------------------------------------


@contextmanager
def new_folder(parent: Path, prefix: str, mode: int = 0o700) -> Iterator[Path]:
    """A new folder that is locked in the meantime and removed at the end, unless it was renamed. Raises OSError."""
    path, handle = _new_folder(parent, prefix, mode)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def clear(paths: Iterable[Path]) -> None:
    """Remove the files and folders among these that no living process has locked; links are left alone.

    Raises:
        OSError: one must not be opened or removed.
    """
    for path in paths:
        if path.is_symlink():
            continue
        with suppress(FileNotFoundError, BlockingIOError):  # it has its place by now; somebody is writing it
            _clear(path)


def _clear(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.close(handle)


def _new_file(folder: Path) -> tuple[int, str]:
    while True:
        handle, name = tempfile.mkstemp(prefix=NEW, dir=folder)
        if _locked(handle, name):
            return handle, name
        os.close(handle)


def _new_folder(parent: Path, prefix: str, mode: int) -> tuple[Path, int]:
    while True:
        path = parent / f"{prefix}{secrets.token_hex(8)}"
        path.mkdir(mode)
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY)
            if _locked(handle, path):
                return path, handle
            os.close(handle)


def _locked(handle: int, name: str | Path) -> bool:
    """Lock something new; False if another process took it for a leftover before that."""
    with suppress(OSError):  # a file system without locks, on which `clear` removes nothing either
        fcntl.flock(handle, fcntl.LOCK_EX)
    return os.path.exists(name)
