"""CAGUL, cross-modal attention guided unlearning (arXiv 2510.07567): a gate and a token encoder beside a frozen model."""

from __future__ import annotations

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.cagul.config import CagulConfig
from unlearn_core.methods.cagul.fit import CagulFit
from unlearn_core.methods.cagul.module import CagulModule, CagulSight, attached_modules, below
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM


class Cagul:
    name = "cagul"
    title = "CAGUL: gate and token encoder"
    config = CagulConfig

    def start(self, vlm: VLM, request: ForgetRequest, config: CagulConfig, world: World = ALONE) -> CagulFit:
        return CagulFit(vlm, request, config, world)


__all__ = ["Cagul", "CagulConfig", "CagulFit", "CagulModule", "CagulSight", "attached_modules", "below"]
