"""Idefics3 and SmolVLM: square crops and an overview after them, with marker tokens in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from unlearn_core.vlm.families.base import Family, Pixels, crops, grid, square, tower_rows
from unlearn_core.vlm.prompt import Tile


class Idefics3(Family):
    model_type = "idefics3"
    vision = "model.vision_model"
    projector = "model.connector"
    language = "model.text_model"
    shown = ("pixel_values", "pixel_attention_mask")

    def pixels(self, processor: Any, image: Image.Image) -> Pixels:
        made = super().pixels(processor, image)
        return {name: made[name][0] for name in self.shown} | {k: torch.tensor(made[k]) for k in ("rows", "cols")}

    def tokens(self, model: PreTrainedModel, pixels: Sequence[Pixels]) -> list[Float[Tensor, "n d"]]:
        seeing: Any = model
        # The model expects a batch of lists of crops; it is one list here, so that no crop is there for padding alone.
        arguments = {name: torch.cat([p[name] for p in pixels])[None] for name in self.shown}
        out = seeing.get_image_features(**arguments, return_dict=True).pooler_output[0]
        rows = [tower_rows(p) for p in pixels]
        return list(out.split([len(out) // sum(rows) * own for own in rows]))

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        side = square(model.config.vision_config) // model.config.scale_factor
        rows, cols = int(pixels["rows"]), int(pixels["cols"])
        return crops(rows, cols, side, overview=True) if rows else (grid(side, side),)


class SmolVLM(Idefics3):
    """Its own processor needs a package that writes out numbers, for videos; that of Idefics3 prepares pictures alike."""

    model_type = "smolvlm"
    processor = "Idefics3Processor"
