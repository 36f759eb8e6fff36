"""Errors of runs that a user can act on, beside those of the whole library."""

from __future__ import annotations

from unlearn_core.vlm.errors import StudioError


class RunNotReady(StudioError):
    """The run is not in the state that this needs: still going, going elsewhere, or without a result."""


class RunDamaged(StudioError):
    """A file of the run is missing, cannot be read, or was changed."""
