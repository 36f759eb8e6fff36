"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures in their own shape, all patches of a batch packed into one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

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


class Qwen3VL(Qwen2VL):
    """A visual token has parts: what the decoder reads as its embedding, and after it the deepstack features, which the
    decoder adds to the hidden state of the token after its first layers. They stand side by side in one vector of width
    (1 + number of features) x hidden size, so whoever edits, pools or compares tokens always has all that is seen.
    """

    model_type = "qwen3_vl"
    processor = "Qwen3VLProcessor"

    def width(self, model: PreTrainedModel) -> int:
        return super().width(model) * (1 + len(model.config.vision_config.deepstack_visual_indexes))

    def side_exits(self, model: PreTrainedModel) -> frozenset[int]:
        return frozenset(model.config.vision_config.deepstack_visual_indexes)

    def projectors(self, model: PreTrainedModel) -> list[nn.Module]:
        return [*super().projectors(model), model.get_submodule(f"{self.vision}.deepstack_merger_list")]

    def tokens(self, model: PreTrainedModel, pixels: Sequence[Pixels]) -> list[Float[Tensor, "n d"]]:
        out = self.features(model, pixels)
        return [torch.cat(parts, -1) for parts in zip(out.pooler_output, *out.deepstack_features, strict=True)]

    def inputs(self, model: PreTrainedModel, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> dict[str, Any]:
        inputs = super().inputs(model, batch, tokens)
        if inputs:
            width = super().width(model)
            first, *deeper = zip(*(t.split(width, -1) for t in tokens), strict=True)
            seen = BaseModelOutputWithDeepstackFeatures(pooler_output=first, deepstack_features=deeper)
            inputs["mm_encoder_outputs"] = {"image": seen}
        return inputs
