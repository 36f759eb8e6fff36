"""What CVF has learned: changes of weights of the vision tower and the projector."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_core.methods.saving import save_module
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BundleMismatch


class CvfModule:
    """Weight changes by parameter path. Attached, the changed tower stands beside the original; the rest is shared."""

    kind = "cvf"

    def __init__(self, changes: dict[str, Tensor], details: dict[str, Any]) -> None:
        self.changes, self.details = changes, details

    @torch.no_grad()
    def attach(self, vlm: VLM) -> VLM:
        """Raises BundleMismatch if the model has no such layer or one of another shape."""
        parts: dict[str, nn.Module] = {}
        for path in (vlm.family.vision, vlm.family.projector):
            parts[path] = copy.deepcopy(vlm.model.get_submodule(path))
        for name, change in self.changes.items():
            part = next((p for p in parts if name.startswith(p + ".")), None)
            weight = None if part is None else dict(parts[part].named_parameters()).get(name[len(part) + 1 :])
            if weight is None or weight.shape != change.shape:
                raise BundleMismatch(
                    "This module changes layers that the loaded model does not have. Please load the model it was made for."
                )
            weight.copy_(weight.float() + change.to(weight.device).float())
        return vlm.with_parts(parts)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.changes)

    def settings(self) -> dict[str, Any]:
        return dict(self.details)

    def save_pretrained(self, folder: Path) -> None:
        save_module(self, folder)

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> CvfModule:
        return cls(tensors, settings)
