"""LLaVA-NeXT: an overview, then the picture in full detail, cut into crops and put together again."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from transformers import PreTrainedModel
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_next.modeling_llava_next import unpad_image

from unlearn_core.vlm.families.base import Pixels, grid, square
from unlearn_core.vlm.families.llava import Llava
from unlearn_core.vlm.prompt import Tile


class LlavaNext(Llava):
    """The rows of the detailed grid end with a newline token each, which lies nowhere on the picture."""

    model_type = "llava_next"
    shown = ("pixel_values", "image_sizes")

    def pixels(self, processor: Any, image: Image.Image) -> Pixels:
        pixels = super().pixels(processor, image)
        return pixels | {"pixel_values": pixels["pixel_values"][0]}

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        config, vision = model.config, model.config.vision_config
        side = square(vision)
        height, width = select_best_resolution(size[::-1], config.image_grid_pinpoints)
        canvas = torch.zeros(1, height // vision.image_size * side, width // vision.image_size * side)
        rows, cols = unpad_image(canvas, size[::-1]).shape[1:]
        # The picture fills the canvas one way and is centred the other; the cut to whole tokens may leave a rim around it.
        scale = min(canvas.shape[2] / size[0], canvas.shape[1] / size[1])
        half = cols / (2 * size[0] * scale), rows / (2 * size[1] * scale)
        box = (0.5 - half[0], 0.5 - half[1], 0.5 + half[0], 0.5 + half[1])
        rows, cols = self._kept(model, side, rows, cols)
        index = side * side + torch.arange(rows * (cols + 1)).view(rows, cols + 1)[:, :cols].reshape(-1)
        part = side * vision.patch_size / vision.image_size  # some towers have no patch for the last few pixels
        overview = grid(side, side, box=(0.0, 0.0, part, part))
        # Of a very narrow picture less than one token may be left.
        return (overview, Tile(rows, cols, index, box, "tile")) if len(index) else (overview,)

    def _kept(self, model: PreTrainedModel, side: int, rows: int, cols: int) -> tuple[int, int]:
        """Rows and columns of the detailed grid as the decoder reads it."""
        return rows, cols
