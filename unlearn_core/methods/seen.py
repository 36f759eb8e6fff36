"""How an unlearned model saw one picture: what the gates said of it, and how far each visual token was moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.methods.cagul.gate import token_statistics
from unlearn_core.methods.cagul.module import attached_modules, below
from unlearn_core.vlm import VLM, Prompt, Tile


@dataclass(frozen=True)
class GateReading:
    """What the gate of one CAGUL module says of a picture: its highest score and its threshold, in logits."""

    score: float
    threshold: float

    @property
    def flagged(self) -> bool:
        return self.score >= self.threshold


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture as an unlearned model sees it, against the original.

    Args:
        moved: how far each visual token was moved, in parts of the spread of the original's tokens (root mean square
            distance from their mean).
        changed: the tokens that are not the very same as the original's.
        gates: one reading for each CAGUL module that is attached.
    """

    moved: Float[Tensor, " n"]
    changed: Int[Tensor, " k"]
    gates: tuple[GateReading, ...]
    tiles: tuple[Tile, ...]


@torch.no_grad()
def seen_through(original: VLM, unlearned: VLM, prompt: Prompt) -> Seen:
    """How `unlearned` sees the picture of a prompt. Raises ValueError if it shows none."""
    if prompt.image is None:
        raise ValueError("There must be a picture.")
    before, after = original.see([prompt])[0], unlearned.see([prompt])[0].tokens
    plain = below(unlearned).see([prompt])[0].tokens if attached_modules(unlearned) else after
    spread = (before.tokens - before.tokens.mean(0)).float().norm(dim=1).square().mean().sqrt().clamp(min=1e-12)
    moved = (after - before.tokens).float().norm(dim=1) / spread
    changed = (after != before.tokens).any(1).nonzero()[:, 0]
    statistics = token_statistics(plain)[None]
    gates = tuple(
        GateReading(float(m.gate.scores(statistics).max()), float(m.gate.threshold))
        for m in attached_modules(unlearned)
    )
    return Seen(moved.cpu(), changed.cpu(), gates, before.tiles)
