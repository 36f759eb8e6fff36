"""What a baseline has learned: LoRA factors of the language model's linear layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from unlearn_core.methods.baselines.adapter import A, B, adapted, factor_shapes
from unlearn_core.methods.saving import save_module
from unlearn_core.methods.weights import Change
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BundleMismatch


class LoraModule:
    """LoRA factors by path. Attached, a decoder with them stands beside the original and shares all its weights."""

    kind = "lora"

    def __init__(self, method: str, factors: dict[str, Tensor], rank: int, alpha: int) -> None:
        self.method, self.factors = method, factors
        self.rank, self.alpha = rank, alpha

    def attach(self, vlm: VLM) -> VLM:
        """Raises BundleMismatch if the model's linear layers are not those that the factors were made for."""
        path = vlm.family.language
        decoder = vlm.model.get_submodule(path)
        wanted = {f"{path}.{name}": shape for name, shape in factor_shapes(decoder, self.rank).items()}
        if wanted != {name: tuple(factor.shape) for name, factor in self.factors.items()}:
            raise BundleMismatch(
                "This module changes a language model with other layers than the loaded model has. "
                "Please load the model it was made for."
            )
        factors = {
            name.removeprefix(path + "."): nn.Parameter(factor.to(vlm.device), requires_grad=False)
            for name, factor in self.factors.items()
        }
        return vlm.with_parts({path: adapted(decoder, factors, self.rank, self.alpha)})

    @property
    def changes(self) -> dict[str, Change]:
        """(alpha / rank) B A of each layer, as its two factors."""
        names = [name.removesuffix(A) for name in self.factors if name.endswith(A)]
        scale = self.alpha / self.rank
        return {f"{n}.weight": (self.factors[n + B] * scale, self.factors[n + A]) for n in names}

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.factors)

    def settings(self) -> dict[str, Any]:
        return {"method": self.method, "rank": self.rank, "alpha": self.alpha}

    def save_pretrained(self, folder: Path) -> None:
        save_module(self, folder)

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> LoraModule:
        return cls(str(settings["method"]), tensors, int(settings["rank"]), int(settings["alpha"]))
