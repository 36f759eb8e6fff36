"""Pooled visual features for the contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.methods.cvf.moments import Sums


@dataclass(frozen=True, eq=False)
class Pooling:
    """Centre and scale of retained visual tokens. Without them all pictures point the same way (cosine near 1). [ours]"""

    mean: Float[Tensor, " f"]
    scale: Float[Tensor, " f"]
    variance: Float[Tensor, " d"]

    @classmethod
    def of(cls, pooled: Sums, tokens: Sums, how: str) -> Pooling:
        """`how` is "mean+std" or "mean"; sums hold both, so that stored ones serve either."""
        width = len(pooled.mean) if how == "mean+std" else len(pooled.mean) // 2
        return cls(pooled.mean[:width], pooled.variance[:width].sqrt().clamp(min=1e-6), tokens.variance)

    def __call__(self, pooled: Float[Tensor, "b d2"]) -> Float[Tensor, "b f"]:
        """What `pool` gave, centred and scaled."""
        return (pooled[:, : len(self.mean)] - self.mean) / self.scale


def pool(tokens: Sequence[Float[Tensor, "n d"]]) -> Float[Tensor, "b d2"]:
    """Mean and standard deviation over each picture's tokens."""
    return torch.stack([torch.cat([t.float().mean(0), t.float().std(0, correction=0)]) for t in tokens])


def nearest(kept: Float[Tensor, "m f"], gone: Float[Tensor, "n f"], one_in: int) -> list[int]:
    """Which of what is kept, one in so many (rounded up), lie nearest to any of what goes, nearest first. [ours]"""
    return torch.cdist(kept, gone).amin(1).argsort(stable=True)[: -(-len(kept) // one_in)].tolist()
