"""LLaVA-OneVision: like LLaVA-NeXT, but a detailed grid of more tokens than `vision_aspect_ratio` allows is shrunk."""

from __future__ import annotations

from transformers import PreTrainedModel

from unlearn_core.vlm.families.llava_next import LlavaNext


class LlavaOnevision(LlavaNext):
    model_type = "llava_onevision"
    processor = "LlavaOnevisionProcessor"

    def _kept(self, model: PreTrainedModel, side: int, rows: int, cols: int) -> tuple[int, int]:
        most = int(model.config.vision_aspect_ratio.removeprefix("anyres_max_"))
        ratio = (rows * cols / (most * side * side)) ** 0.5
        return (int(rows // ratio), int(cols // ratio)) if ratio > 1.1 else (rows, cols)
