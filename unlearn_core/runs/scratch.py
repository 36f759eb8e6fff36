"""A folder for what must not outlive the program: uploads, files that are handed out, bundles that are being read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_core.runs.files import clear, new_folder, storing

PREFIX = "vlm-unlearning-studio-"


@contextmanager
def scratch() -> Iterator[Path]:
    """A private folder (0700) that takes all of Python's temporary files and is removed at the end.

    Those of programs that were killed before they came to that are removed first; those of living ones stay.

    Raises:
        StorageFailed: the disk is full, or there is no place for temporary files.
    """
    with storing():
        outside = Path(tempfile.gettempdir())
        clear(path for path in outside.glob(f"{PREFIX}*") if path.lstat().st_uid == os.geteuid())
        made = new_folder(outside, PREFIX)
    with made as folder:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before
