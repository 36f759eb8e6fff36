"""Mllama (Llama 3.2 Vision): visual tokens are no part of the sequence, some layers of the decoder cross-attend to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.mllama.image_processing_pil_mllama import get_image_size_fit_to_canvas

from unlearn_core.vlm.families.base import Family, Pixels, square
from unlearn_core.vlm.prompt import Tile

if TYPE_CHECKING:
    from unlearn_core.vlm.batch import Batch


class Mllama(Family):
    """A picture always has the tokens of four crops, each with one token of its own before its grid. Crops that are not
    there have tokens too: the text before the picture reads them.
    """

    model_type = "mllama"
    in_sequence = False
    vision = "model.vision_model"
    shown = ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")
    told = ("num_tiles",)

    def ready(self, model: PreTrainedModel) -> None:
        model.register_forward_pre_hook(_states_once, with_kwargs=True)

    def pixels(self, processor: Any, image: Image.Image) -> Pixels:
        made = super().pixels(processor, image)
        return {name: made[name] for name in self.shown} | {"num_tiles": torch.tensor(made["num_tiles"]).view(1)}

    def features(self, model: PreTrainedModel, pixels: Sequence[Pixels]) -> Any:
        arguments = {name: torch.cat([p[name] for p in pixels]) for name in self.shown}
        out = model.get_submodule(self.vision)(**arguments)
        out.pooler_output = model.get_submodule(self.projector)(out.last_hidden_state).flatten(1, 3)
        return out

    def inputs(self, model: PreTrainedModel, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> dict[str, Any]:
        if not tokens:
            return {}
        seen = iter(tokens)
        nothing = torch.zeros_like(tokens[0])
        states = torch.stack([next(seen) if told else nothing for told in batch.told])
        most = model.config.vision_config.max_num_tiles
        read = torch.zeros(*batch.ids.shape, 1, most, dtype=torch.long)
        for row, (places, told) in enumerate(zip(batch.visual, batch.told, strict=True)):
            if told:
                read[row, int(places[0]) :, :, : int(told["num_tiles"])] = 1
        return {"cross_attention_states": states, "cross_attention_mask": read}

    def blocks(self, model: PreTrainedModel) -> list[nn.Module]:
        parts: Any = [
            model.get_submodule(f"{self.vision}.{part}.layers") for part in ("transformer", "global_transformer")
        ]
        return [block for part in parts for block in part]

    def side_exits(self, model: PreTrainedModel) -> frozenset[int]:
        return frozenset(model.config.vision_config.intermediate_layers_indices)

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        vision = model.config.vision_config
        side, (width, height) = square(vision), size
        rows, cols = vision.supported_aspect_ratios[int(pixels["aspect_ratio_ids"]) - 1]
        edge = vision.image_size
        fitted = get_image_size_fit_to_canvas(height, width, rows * edge, cols * edge, edge)
        h, w = edge / float(fitted[0]), edge / float(fitted[1])  # a crop's share of the picture; the rest is padding
        boxes = [(c * w, r * h, (c + 1) * w, (r + 1) * h) for r in range(rows) for c in range(cols)]
        cells = torch.arange(1, side * side + 1)
        return tuple(Tile(side, side, cells + i * (side * side + 1), box, "tile") for i, box in enumerate(boxes))


def _states_once(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """While an answer is generated the cross-attention layers keep what they were given first, and would add it again."""
    cache = kwargs.get("past_key_values")
    if cache is not None and cache.get_seq_length():
        kwargs = kwargs | {"cross_attention_states": None}
    return args, kwargs
