"""Errors that a user can act on. Each message is one plain sentence or two: what happened, and what to do next."""

from __future__ import annotations


class StudioError(Exception):
    """Base of all errors whose message may be shown to a user as it stands."""


class BadImage(StudioError):
    """The file is no picture, or one that cannot be used safely."""


class BadQuestion(StudioError):
    """The question is empty or far too long."""


class BadRequest(StudioError):
    """A forget request that cannot be carried out as it stands."""


class BadOption(StudioError):
    """A configuration value outside its range."""


class BundleMismatch(StudioError):
    """The bundle was made for another base model."""


class BundleDamaged(StudioError):
    """The bundle is incomplete, altered, or holds what a bundle must not hold."""


class NotMergeable(StudioError):
    """The result does not lie in weights, so no checkpoint can hold it."""


class OutOfMemory(StudioError):
    """Not even the smallest piece of the work fits into memory."""


class ModelNotFound(StudioError):
    """No checkpoint by that name or path."""


class ModelGated(ModelNotFound):
    """The hub gives the checkpoint only to people who accepted its terms."""


class HubUnreachable(ModelNotFound):
    """The hub cannot be reached or gives no answer, and the checkpoint is not on this machine."""


class DownloadFailed(StudioError):
    """A download broke off, or brought something else than was announced."""


class ModelNotLoadable(StudioError):
    """A checkpoint is there but cannot be loaded as it stands."""


class NotEnoughMemory(StudioError):
    """The device has less memory free than the model needs."""


class CannotQuantize(StudioError):
    """The extra package or the device that quantisation needs is not there."""


class UnsupportedFamily(StudioError):
    """The architecture is not one that this version knows."""


class RunNotFound(StudioError):
    """No run by that id in this workspace."""


class StorageFailed(StudioError):
    """Writing to the workspace failed; what was written before is kept."""
