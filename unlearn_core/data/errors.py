"""Errors of files that a user brings, beside those of the whole library."""

from __future__ import annotations

from unlearn_core.vlm.errors import StudioError


class BadFile(StudioError):
    """A file of examples that cannot be read, or must not be.

    Args:
        what: what is wrong, and what to do. file: its name as the user knows it.
        line: counted from 1; in a table of rows the number of the row. None where it is about the whole file.
    """

    def __init__(self, what: str, file: str, line: int | None = None) -> None:
        self.what, self.file, self.line = what, file, line
        super().__init__(f"{file}{'' if line is None else f', line {line}'}: {what}")


class MissingPackage(StudioError):
    """An optional package is needed for this kind of file."""
