"""Errors of the evaluation that a user can act on, beside those of the whole library."""

from __future__ import annotations

from unlearn_core.vlm.errors import StudioError


class NothingToMeasure(StudioError):
    """A metric was asked of no examples, or of examples that all lack what it needs."""


class NotFinite(StudioError):
    """A model gave probabilities that are no numbers."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the model gave probabilities that are no numbers. This happens when a method has broken the model or "
            "when half precision overflows; please try full precision."
        )


class RecordsDamaged(StudioError):
    """A file of records cannot be read, or belongs to other questions."""
