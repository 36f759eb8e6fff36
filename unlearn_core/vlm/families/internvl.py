"""InternVL: square crops, and an overview after them if there is more than one; four patches make a token."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

from unlearn_core.vlm.families.base import Pixels, crops
from unlearn_core.vlm.families.llava import Llava
from unlearn_core.vlm.prompt import Tile


class InternVL(Llava):
    model_type = "internvl"
    processor = "InternVLProcessor"
    layers = "encoder.layer"
    at_once = True

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        config, cutter = model.config, processor.image_processor
        patches = config.vision_config.image_size[0] // config.vision_config.patch_size[0]
        count = len(pixels["pixel_values"])
        tile = cutter.size["height"], cutter.size["width"]
        cols, rows = get_optimal_tiled_canvas(size[::-1], tile, cutter.min_patches, cutter.max_patches)
        return crops(rows, cols, int(patches * config.downsample_ratio), overview=count > rows * cols)
