"""Changes of weights, and how they join the weights they belong to."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Change = tuple[Tensor, ...]
"""A layer's change: itself alone, or a left (o x k) and a right (k x d) factor."""


@runtime_checkable
class WeightChanges(Protocol):
    """A module that is nothing but changes of weights, so that it can be merged into a checkpoint."""

    @property
    def changes(self) -> dict[str, Change]:
        """By the path of the parameter that each is added to."""
        ...


def shape_of(change: Change) -> tuple[int, int]:
    """(o, d) of the weight that a change belongs to."""
    return change[0].shape[0], change[-1].shape[1]


def dense(change: Change) -> Float[Tensor, "o d"]:
    return change[0] if len(change) == 1 else change[0] @ change[1]


def added(weight: Float[Tensor, "o d"], change: Change) -> Float[Tensor, "o d"]:
    """weight + change, computed in the wider of the two precisions and at least in float32, then rounded to the weight's."""
    wide = torch.promote_types(torch.promote_types(weight.dtype, change[0].dtype), torch.float32)
    return (weight.to(wide) + dense(tuple(part.to(weight.device, wide) for part in change))).to(weight.dtype)
