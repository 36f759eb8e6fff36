"""LLaVA 1.5 and whatever shares its architecture: CLIP tower, MLP projector, one square grid of tokens per picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from unlearn_core.vlm.families.base import Pixels
from unlearn_core.vlm.prompt import Tile


class Llava:
    model_type = "llava"
    vision = "model.vision_tower"
    projector = "model.multi_modal_projector"
    language = "model.language_model"

    def pixels(self, processor: Any, images: list[Image.Image]) -> Pixels:
        return dict(processor.image_processor(images=images, return_tensors="pt"))

    def image_text(self, processor: Any, pixels: Pixels, i: int) -> str:
        return processor.replace_image_token(pixels, i)

    def tokens(self, model: PreTrainedModel, pixels: Pixels) -> list[Float[Tensor, "n d"]]:
        seeing: Any = model
        return list(seeing.get_image_features(**pixels, return_dict=True).pooler_output)

    def blocks(self, model: PreTrainedModel) -> Sequence[nn.Module]:
        layers: Any = model.get_submodule(f"{self.vision}.encoder.layers")
        # Layer -2 of the configuration means that the output of the last block but one is read.
        return list(layers)[: len(layers) + 1 + model.config.vision_feature_layer]

    def finish(self, model: PreTrainedModel, hidden: Float[Tensor, "b s w"], start: int) -> Float[Tensor, "b n d"]:
        for block in self.blocks(model)[start:]:
            hidden = block(hidden, None)
        if model.config.vision_feature_select_strategy == "default":
            hidden = hidden[:, 1:]
        return model.get_submodule(self.projector)(hidden)

    def tiles(
        self, model: PreTrainedModel, processor: Any, pixels: Pixels, i: int, size: tuple[int, int]
    ) -> tuple[Tile, ...]:
        vision = model.config.vision_config
        side = vision.image_size // vision.patch_size
        return (Tile(side, side, torch.arange(side * side), seen_box(processor.image_processor, size)),)


def seen_box(image_processor: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The part of the picture that reaches the model: all of it, or the middle where the processor crops."""
    shortest = getattr(image_processor.size, "shortest_edge", None)
    if not getattr(image_processor, "do_center_crop", False) or shortest is None:
        return (0.0, 0.0, 1.0, 1.0)
    width, height = size
    scale = shortest / min(width, height)
    resized = max(shortest, int(width * scale)), max(shortest, int(height * scale))
    crop = image_processor.crop_size
    fx, fy = crop["width"] / resized[0] / 2, crop["height"] / resized[1] / 2
    return (0.5 - fx, 0.5 - fy, 0.5 + fx, 0.5 + fy)
