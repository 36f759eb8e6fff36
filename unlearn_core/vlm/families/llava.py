"""LLaVA 1.5 and whatever shares its architecture: CLIP tower, MLP projector, one square grid of tokens per picture."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from unlearn_core.vlm.families.base import WHOLE, Family, Pixels, grid, square
from unlearn_core.vlm.prompt import Tile


class Llava(Family):
    model_type = "llava"

    def blocks(self, model: PreTrainedModel) -> list[nn.Module]:
        blocks = super().blocks(model)
        return blocks[: max(read_states(model, len(blocks)))]

    def idle(self, model: PreTrainedModel) -> list[nn.Module]:
        return super().blocks(model)[len(self.blocks(model)) :]

    def side_exits(self, model: PreTrainedModel) -> frozenset[int]:
        return frozenset(state - 1 for state in read_states(model, len(super().blocks(model))))

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        side = square(model.config.vision_config)
        return (grid(side, side, box=seen_box(processor.image_processor, size)),)


def read_states(model: PreTrainedModel, blocks: int) -> list[int]:
    """Which hidden states the projector reads, counted from 0, the input of the first block. -2 in the configuration means
    that the last block does nothing."""
    layer = model.config.vision_feature_layer
    return [k % (blocks + 1) for k in (layer if isinstance(layer, list | tuple) else [layer])]


def seen_box(image_processor: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The part of the picture that reaches the model: all of it, or the middle where the processor crops."""
    shortest = getattr(image_processor.size, "shortest_edge", None)
    if not getattr(image_processor, "do_center_crop", False) or shortest is None:
        return WHOLE
    width, height = size
    scale = shortest / min(width, height)
    resized = max(shortest, int(width * scale)), max(shortest, int(height * scale))
    crop = image_processor.crop_size
    fx, fy = crop["width"] / resized[0] / 2, crop["height"] / resized[1] / 2
    return (0.5 - fx, 0.5 - fy, 0.5 + fx, 0.5 + fy)
