"""Folders for what must not outlive the program: uploads, files that are handed out, bundles that are being read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from unlearn_core.runs.files import clear, new_folder, storing

PREFIX = "vlm-unlearning-studio-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A private folder (0700) among the temporary files, removed at the end.

    Those of programs that were killed before they came to that are removed first; those of living ones stay.

    Raises:
        StorageFailed: the disk is full, or there is no place for temporary files.
    """
    with ExitStack() as stack:
        with storing():
            outside = Path(tempfile.gettempdir())
            clear(path for path in outside.glob(f"{PREFIX}*") if _is_own(path))
            folder = stack.enter_context(new_folder(outside, PREFIX))
        yield folder


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder that takes all of Python's temporary files meanwhile. Raises StorageFailed."""
    with temporary_folder() as folder:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except FileNotFoundError:  # its program has just ended
        return False
