"""The model families that the studio knows, by transformers' `model_type`."""

from __future__ import annotations

from unlearn_core.vlm.errors import UnsupportedFamily
from unlearn_core.vlm.families.base import Family, Pixels
from unlearn_core.vlm.families.llava import Llava

FAMILIES: dict[str, Family] = {family.model_type: family for family in (Llava(),)}


def family_of(model_type: str) -> Family:
    """Raises UnsupportedFamily, naming those that are known."""
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UnsupportedFamily(f"Models of type '{model_type}' are not supported yet. Supported types: {known}.")
    return FAMILIES[model_type]


__all__ = ["FAMILIES", "Family", "Pixels", "family_of"]
