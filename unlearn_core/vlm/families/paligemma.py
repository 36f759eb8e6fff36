"""PaliGemma: one square grid per picture, and a decoder that attends both ways within the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from unlearn_core.vlm.families.base import Family, Pixels, grid, square
from unlearn_core.vlm.prompt import Tile

if TYPE_CHECKING:
    from unlearn_core.vlm.batch import Batch


class PaliGemma(Family):
    """Every token of the prompt sees the whole prompt. It has no chat template: picture, question, end of line."""

    model_type = "paligemma"
    at_once = True

    def prompt(self, processor: Any, question: str, shown: bool) -> str:
        return f"{processor.image_token if shown else ''}{processor.tokenizer.bos_token}{question}\n"

    def inputs(self, model: PreTrainedModel, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> dict[str, Any]:
        answered = torch.zeros_like(batch.ids)
        for row, target in enumerate(batch.targets or ()):
            answered[row, batch.ids.shape[1] - len(target) :] = 1
        return super().inputs(model, batch, tokens) | {"token_type_ids": answered}

    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        side = square(model.config.vision_config)
        return (grid(side, side),)
