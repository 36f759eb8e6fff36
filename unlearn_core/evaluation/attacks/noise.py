"""Noise on the picture that is computed against the model: projected gradient descent within a stated bound. [ours]

The bound is on the picture as the model's processor hands it on, after resizing: every pixel and channel stays within
`levels` of 255 of what it was. Where a picture is packed or cut into crops, each crop has noise of its own.
The attacker does not know the truth. At a gate the noise is aimed to lower its margin; elsewhere it is aimed away from what
the model says now, so that what comes out instead was in the model and not in the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.evaluation.attacks.base import Access, AttackResult, Budget, Target
from unlearn_core.evaluation.attacks.facts import on_every_model
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.suite import Suite
from unlearn_core.vlm import VLM
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.model import MAX_NEW_TOKENS

PIXELS = "pixel_values"


@runtime_checkable
class Gated(Protocol):
    """A sight that looks whether it has to do anything."""

    def margins(self, tokens: list[Float[Tensor, "n d"]]) -> Float[Tensor, "gates b"]:
        """By how much each gate's score of each picture lies above its threshold; differentiable."""
        ...


@dataclass(frozen=True)
class NoiseBudget(Budget):
    """Args:
    levels: bound on the change of every pixel and channel, of 255.
    steps: gradient steps. step: size of one, in levels.
    batch: facts that are attacked together.
    """

    levels: float = 8.0
    steps: int = 20
    step: float = 1.0
    batch: int = 16


class Noise:
    name = "noise"
    title = "Noise aimed at the model"
    tries = "Changes every pixel by a few levels, along the gradient that keeps a gate quiet or leads away from the present answer."
    access: Access = "gradients"
    relearns = False
    in_scope = True
    budget = NoiseBudget
    effort = 40

    def run(self, target: Target, budget: NoiseBudget) -> Job[AttackResult]:
        def hits(vlm: VLM, probes: Sequence[Probe]) -> Job[list[list[bool]]]:
            return self._hits(vlm, target.suite, probes, budget)

        return (
            yield from on_every_model(
                self, target, budget, hits, {"aimed at": "gate" if isinstance(target.after.sight, Gated) else "answer"}
            )
        )

    def _hits(self, vlm: VLM, suite: Suite, probes: Sequence[Probe], budget: NoiseBudget) -> Job[list[list[bool]]]:
        hits: list[list[bool]] = []
        shown = [p for p in probes if p.example.image is not None]
        for part in (shown[at : at + budget.batch] for at in range(0, len(shown), budget.batch)):
            batch = yield from noisy(vlm, suite, part, budget)
            hits += [
                [suite.gives_away(p, a.text)]
                for p, a in zip(part, vlm.answers(batch, False, MAX_NEW_TOKENS), strict=True)
            ]
        return hits


# -- the attack -------------------------------------------------------------------------------------------------------


def noisy(vlm: VLM, suite: Suite, probes: Sequence[Probe], budget: NoiseBudget) -> Job[Batch]:
    """The batch of these prompts with harmful noise, in whole levels, on its pictures."""
    batch = vlm.batch([p.prompt for p in probes])
    loss = _aim(vlm, suite, probes)
    units = [_channels(vlm, "image_std", p[PIXELS]) * 255 for p in batch.pixels]
    rng = torch.Generator().manual_seed(budget.seed)
    noise = [(torch.rand(p[PIXELS].shape, generator=rng) * 2 - 1) * budget.levels for p in batch.pixels]
    for step in range(budget.steps):
        leaves = [n.requires_grad_() for n in noise]
        values = loss(_added(batch, leaves, units))
        gradients = torch.autograd.grad(values, leaves)
        with torch.no_grad():
            moved = [n - budget.step * g.sign() for n, g in zip(noise, gradients, strict=True)]
            noise = [_within(vlm, p[PIXELS], m, budget.levels) for p, m in zip(batch.pixels, moved, strict=True)]
        yield Progress("computing noise", step + 1, budget.steps)
    return _added(batch, [n.detach().round() for n in noise], units)


def _added(batch: Batch, noise: Sequence[Tensor], units: Sequence[Tensor]) -> Batch:
    """The batch with noise, in levels of 255, on its processed pictures."""
    changed = (p | {PIXELS: p[PIXELS] + n / u} for p, n, u in zip(batch.pixels, noise, units, strict=True))
    return replace(batch, pixels=tuple(changed))


def _within(vlm: VLM, pixels: Tensor, noise: Tensor, levels: float) -> Tensor:
    """Noise inside the bound, and such that the picture stays one: 0 to 255."""
    mean, std = (_channels(vlm, name, pixels) for name in ("image_mean", "image_std"))
    now = (pixels * std + mean) * 255
    bound = float(int(levels))  # whole levels, so that rounding cannot leave the bound
    low, high = (-now).clamp(-bound, 0).ceil(), (255 - now).clamp(0, bound).floor()
    return torch.maximum(torch.minimum(noise, high), low)


def _channels(vlm: VLM, name: str, pixels: Tensor) -> Tensor:
    """The processor's mean or deviation of each channel, in the layout of its output: (..., c, h, w), or flat patches that
    hold one channel after the other."""
    processor = vlm.processor.image_processor
    plain = 0.0 if name == "image_mean" else 1.0
    given = getattr(processor, name, None) if getattr(processor, "do_normalize", True) else None
    values = torch.tensor([plain] * 3 if given is None else list(given))
    return values.repeat_interleave(pixels.shape[-1] // 3) if pixels.ndim == 2 else values[:, None, None]


def _aim(vlm: VLM, suite: Suite, probes: Sequence[Probe]) -> Callable[[Batch], Float[Tensor, ""]]:
    """What the noise is to lower: how far gates are open, or how probable the present answers are.

    Where the present answer is the truth, as for people who stay, a refusal takes its place: the control must not be an
    attack on the right answer.
    """
    sight, base = vlm.sight, vlm.base
    if isinstance(sight, Gated) and base is not None:
        return lambda batch: torch.relu(sight.margins(base.tokens_of(batch.pixels)).amax(0) + 1).sum()
    answers = vlm.ask([p.prompt for p in probes])
    refusal = suite.refusals[0] if suite.refusals else "I do not know."
    away = [
        refusal if suite.gives_away(p, a.text) or not a.text else a.text for p, a in zip(probes, answers, strict=True)
    ]
    told = vlm.batch([p.prompt for p in probes], [vlm.answer_ids(text) for text in away])

    def probability(batch: Batch) -> Float[Tensor, ""]:
        shown = replace(told, pixels=batch.pixels)
        logits = vlm.answer_logits(shown, vlm.tokens(shown))
        rows = zip(logits, told.targets or (), strict=True)
        chosen = [
            row[-len(t) :].float().log_softmax(-1).gather(-1, t.to(row.device)[:, None]).mean() for row, t in rows
        ]
        return torch.stack(chosen).sum()

    return probability
