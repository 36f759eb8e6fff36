"""Qwen3-VL: like Qwen2-VL, and features from halfway up the tower reach the decoder's first layers too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from unlearn_core.vlm.families.base import Pixels
from unlearn_core.vlm.families.qwen2_vl import Qwen2VL

if TYPE_CHECKING:
    from unlearn_core.vlm.batch import Batch


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
            parts: Any = zip(*(t.split(width, -1) for t in tokens), strict=True)
            first, *deeper = parts
            seen = BaseModelOutputWithDeepstackFeatures(pooler_output=first, deepstack_features=deeper)
            inputs["mm_encoder_outputs"] = {"image": seen}
        return inputs
