"""Gemma 3: one square grid per picture, pooled from a finer one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from unlearn_core.vlm.families.base import Family, Pixels, grid
from unlearn_core.vlm.prompt import Tile

if TYPE_CHECKING:
    from unlearn_core.vlm.batch import Batch


class Gemma3(Family):
    """Visual tokens see each other both ways. The projector is a bare matrix after a pooling, no linear layer."""

    model_type = "gemma3"
    at_once = True

    def inputs(self, model: PreTrainedModel, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> dict[str, Any]:
        return super().inputs(model, batch, tokens) | {"token_type_ids": batch.marked()}

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        side = int(model.config.mm_tokens_per_image**0.5)
        return (grid(side, side),)
