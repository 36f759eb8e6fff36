"""Weights rounded to few bits: what is pressed just below the surface can come back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from unlearn_core.evaluation.attacks.base import Access, AttackResult, Budget, Target
from unlearn_core.evaluation.attacks.facts import asked, on_every_model, plainly
from unlearn_core.evaluation.attacks.weights import all_parts, with_weights
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Job
from unlearn_core.evaluation.suite import Suite
from unlearn_core.vlm import VLM


@dataclass(frozen=True)
class RoundingBudget(Budget):
    """Args:
    bits: widths that are tried, 2 to 16.
    """

    bits: tuple[int, ...] = (8, 4)


def rounded(weight: Float[Tensor, "o i"], bits: int) -> Float[Tensor, "o i"]:
    """To the nearest of 2^bits - 1 values, symmetric around 0, each output channel with its own scale."""
    top = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / top
    return (weight / scale).round() * scale


def with_rounded_weights(vlm: VLM, bits: int) -> VLM:
    """The model with all linear weights of tower, projector and language model rounded; modules beside it stay as they are.

    Raises:
        NothingToMeasure: the weights are packed into few bits already.
    """

    @torch.no_grad()
    def change(model: PreTrainedModel) -> Mapping[str, nn.Module]:
        parts = {path: copy.deepcopy(model.get_submodule(path)) for path in all_parts(vlm)}
        for part in parts.values():
            for layer in part.modules():
                if isinstance(layer, nn.Linear):
                    if not layer.weight.is_floating_point():
                        raise NothingToMeasure("The weights have few bits already, so rounding them shows nothing new.")
                    layer.weight.copy_(rounded(layer.weight, bits))
        return parts

    return with_weights(vlm, change)


class Rounding:
    name = "rounding"
    title = "Rounded weights"
    tries = "Rounds the weights to 8 and to 4 bits, as is done to save memory, and asks again. Simulated; no kernel is needed."
    access: Access = "weights"
    relearns = False
    in_scope = True
    budget = RoundingBudget
    effort = 3

    def run(self, target: Target, budget: RoundingBudget) -> Job[AttackResult]:
        def hits(vlm: VLM, probes: Sequence[Probe]) -> Job[list[list[bool]]]:
            return self._hits(vlm, target.suite, probes, budget)

        return (yield from on_every_model(self, target, budget, hits))

    def _hits(self, vlm: VLM, suite: Suite, probes: Sequence[Probe], budget: RoundingBudget) -> Job[list[list[bool]]]:
        """Per fact, whether it is given at each width."""
        columns: list[list[bool]] = []
        for bits in budget.bits:
            hits = yield from asked(with_rounded_weights(vlm, bits), suite, plainly(probes), f"{bits} bits")
            columns.append([hit for (hit,) in hits])
        return [list(row) for row in zip(*columns, strict=True)]
