"""What CVF has learned: changes of weights of the vision tower and the projector."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unlearn_core.methods.saving import save_module
from unlearn_core.methods.weights import Change, added, shape_of
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BundleMismatch


def smallest(left: Float[Tensor, "o k"], right: Float[Tensor, "k d"], rank: int = 0) -> Change:
    """The change left @ right in as few numbers as it takes, after cutting it to `rank` if that is not 0."""
    if 0 < rank < left.shape[1]:
        u, s, v = torch.linalg.svd(left @ right, full_matrices=False)
        left, right = u[:, :rank] * s[:rank], v[:rank]
    whole = left.shape[0] * right.shape[1]
    if left.numel() + right.numel() < whole:
        return left.contiguous(), right.contiguous()
    return (left @ right,)


class CvfModule:
    """Weight changes by parameter path. Attached, the changed parts stand beside the originals; the rest is shared."""

    kind = "cvf"

    def __init__(self, changes: dict[str, Change], details: dict[str, Any]) -> None:
        self.changes, self.details = changes, details

    @torch.no_grad()
    def attach(self, vlm: VLM) -> VLM:
        """Raises BundleMismatch if the model has no such layer or one of another shape."""
        parts: dict[str, nn.Module] = {}
        for path in (*vlm.family.seeing_parts(), vlm.family.language):
            if any(name.startswith(f"{path}.") for name in self.changes):
                parts[path] = copy.deepcopy(vlm.model.get_submodule(path))
        for name, change in self.changes.items():
            part = next((p for p in parts if name.startswith(p + ".")), None)
            weight = None if part is None else dict(parts[part].named_parameters()).get(name[len(part) + 1 :])
            if weight is None or weight.shape != shape_of(change):
                raise BundleMismatch(
                    "This module changes layers that the loaded model does not have. Please load the model it was made for."
                )
            weight.copy_(added(weight, change))
        return vlm.with_parts(parts)

    def tensors(self) -> dict[str, Tensor]:
        ends = {1: ("",), 2: (".left", ".right")}
        return {
            name + end: t
            for name, change in self.changes.items()
            for end, t in zip(ends[len(change)], change, strict=True)
        }

    def settings(self) -> dict[str, Any]:
        return dict(self.details)

    def save_pretrained(self, folder: Path) -> None:
        save_module(self, folder)

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> CvfModule:
        names = [name.removesuffix(".left") for name in tensors if not name.endswith(".right")]
        changes = {n: (tensors[n],) if n in tensors else (tensors[f"{n}.left"], tensors[f"{n}.right"]) for n in names}
        return cls(changes, settings)
