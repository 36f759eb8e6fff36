"""Qwen2-VL and Qwen2.5-VL: pictures in their own shape, all patches of a batch packed into one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from unlearn_core.vlm.families.base import Family, Pixels, grid
from unlearn_core.vlm.prompt import Tile

if TYPE_CHECKING:
    from unlearn_core.vlm.batch import Batch


class Qwen2VL(Family):
    """The projector, called merger, is part of the tower. The decoder numbers positions in time, rows and columns, for
    which it is told the grid of each picture and which tokens are visual ones."""

    model_type = "qwen2_vl"
    processor = "Qwen2VLProcessor"
    vision = "model.visual"
    projector = "model.visual.merger"
    layers = "blocks"
    shown = ("pixel_values", "image_grid_thw")
    told = ("image_grid_thw",)

    def inputs(self, model: PreTrainedModel, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> dict[str, Any]:
        inputs = super().inputs(model, batch, tokens)
        if inputs:
            grids = [told["image_grid_thw"] for told in batch.told if told]
            inputs |= {"image_grid_thw": torch.cat(grids), "mm_token_type_ids": batch.marked()}
        return inputs

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        merged = model.config.vision_config.spatial_merge_size
        _, rows, cols = pixels["image_grid_thw"][0].tolist()
        return (grid(rows // merged, cols // merged),)


class Qwen25VL(Qwen2VL):
    """Most blocks of the tower attend within windows; a picture's patches still follow one another."""

    model_type = "qwen2_5_vl"
    processor = "Qwen2_5_VLProcessor"
