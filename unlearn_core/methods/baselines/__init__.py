"""Baselines for comparison: LoRA on the language model, with the losses that benchmarks of unlearning use."""

from __future__ import annotations

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.baselines.config import BaselineConfig, NpoConfig, RetainConfig
from unlearn_core.methods.baselines.fit import BaselineFit, Objective
from unlearn_core.methods.baselines.module import LoraModule
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM


class Baseline:
    """A method made of a name, its options and the two terms of its loss."""

    def __init__(self, name: str, title: str, config: type[BaselineConfig], objective: Objective) -> None:
        self.name, self.title, self.config, self.objective = name, title, config, objective

    def start(self, vlm: VLM, request: ForgetRequest, config: BaselineConfig, world: World = ALONE) -> BaselineFit:
        return BaselineFit(self.name, self.objective, vlm, request, config, world)


BASELINE_METHODS = (
    Baseline("ga", "GA: gradient ascent", BaselineConfig, Objective("ascent", "nothing")),
    Baseline("gd", "GD: gradient difference", RetainConfig, Objective("ascent", "answers")),
    Baseline("kl", "KL: ascent, held to the original", RetainConfig, Objective("ascent", "divergence")),
    Baseline("idk", "IDK: refuse", RetainConfig, Objective("refusal", "answers")),
    Baseline("npo", "NPO: negative preferences", NpoConfig, Objective("preference", "answers")),
)

__all__ = ["BASELINE_METHODS", "Baseline", "BaselineConfig", "BaselineFit", "LoraModule", "NpoConfig", "RetainConfig"]
