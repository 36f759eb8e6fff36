"""Models with other weights below whatever they see through."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn
from transformers import PreTrainedModel

from unlearn_core.vlm import VLM


def with_weights(vlm: VLM, change: Callable[[PreTrainedModel], Mapping[str, nn.Module]]) -> VLM:
    """The same model with some parts replaced, and the same sight before them.

    Args:
        change: from the transformers model to new parts by path; the model itself must stay as it is.
    """
    if vlm.sight is not None and vlm.base is not None:
        return with_weights(vlm.base, change).with_sight(vlm.sight)
    return vlm.with_parts(change(vlm.model))


def all_parts(vlm: VLM) -> tuple[str, ...]:
    """Paths of vision tower, projector and language model."""
    return (*vlm.family.seeing_parts(), vlm.family.language)
