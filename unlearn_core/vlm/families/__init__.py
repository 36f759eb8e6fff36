"""The model families that the studio knows, by transformers' `model_type`."""

from __future__ import annotations

from unlearn_core.vlm.errors import UnsupportedFamily
from unlearn_core.vlm.families.base import Family, Pixels
from unlearn_core.vlm.families.gemma3 import Gemma3
from unlearn_core.vlm.families.idefics3 import Idefics3, SmolVLM
from unlearn_core.vlm.families.internvl import InternVL
from unlearn_core.vlm.families.llava import Llava
from unlearn_core.vlm.families.llava_next import LlavaNext
from unlearn_core.vlm.families.llava_onevision import LlavaOnevision
from unlearn_core.vlm.families.mllama import Mllama
from unlearn_core.vlm.families.paligemma import PaliGemma
from unlearn_core.vlm.families.qwen2_vl import Qwen2VL, Qwen25VL
from unlearn_core.vlm.families.qwen3_vl import Qwen3VL

FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Llava(),
        LlavaNext(),
        LlavaOnevision(),
        Qwen2VL(),
        Qwen25VL(),
        Qwen3VL(),
        Idefics3(),
        SmolVLM(),
        InternVL(),
        PaliGemma(),
        Gemma3(),
        Mllama(),
    )
}


def family_of(model_type: str) -> Family:
    """Raises UnsupportedFamily, naming those that are known."""
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UnsupportedFamily(f"Models of type '{model_type}' are not supported yet. Supported types: {known}.")
    return FAMILIES[model_type]


__all__ = ["FAMILIES", "Family", "Pixels", "family_of"]
