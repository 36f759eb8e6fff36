"""The gate: does this picture show a subject of the forget set?

The paper has a discriminator on the visual tokens. Ours is one small discriminator per subject on statistics of the
tokens, and a picture's score is the highest of them. Each is fitted by itself against the same pictures of others, so
that adding or withdrawing a subject touches no other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.methods.cagul.whitening import Whitening

STATISTICS = 4
"""Of each channel."""


def token_statistics(tokens: Float[Tensor, "n d"]) -> Float[Tensor, " d4"]:
    """Mean, maximum, minimum and standard deviation of each channel over the tokens, in float32. [ours]"""
    x = tokens.float()
    return torch.cat([x.mean(0), x.amax(0), x.amin(0), x.std(0, correction=0)])


class Gate(nn.Module):
    """Scores in logits per subject; a picture is flagged when the highest reaches `threshold`."""

    mean: Tensor
    scale: Tensor
    threshold: Tensor

    def __init__(self, features: int, subjects: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("threshold", torch.zeros(()))
        inner = hidden or 1
        self.first = nn.Parameter(torch.zeros(subjects, features, inner))
        self.first_bias = nn.Parameter(torch.zeros(subjects, inner))
        self.second = nn.Parameter(torch.zeros(subjects, hidden)) if hidden else None

    def scores(self, statistics: Float[Tensor, "b f"]) -> Float[Tensor, "b subjects"]:
        x = (statistics.to(self.mean.device) - self.mean) / self.scale
        z = torch.einsum("bf,sfh->bsh", x, self.first) + self.first_bias
        return z[..., 0] if self.second is None else (F.gelu(z) * self.second).sum(-1)

    def margins(self, statistics: Float[Tensor, "b f"]) -> Float[Tensor, " b"]:
        """By how much each picture's highest score lies above the threshold, in logits; flagged from 0 on."""
        return self.scores(statistics).amax(1) - self.threshold

    @torch.no_grad()
    def flags(self, tokens: list[Float[Tensor, "n d"]]) -> Bool[Tensor, " b"]:
        return self.margins(torch.stack([token_statistics(t) for t in tokens])) >= 0


def fit_gate(
    positives: Sequence[Float[Tensor, "p f"]],
    negatives: Sequence[Float[Tensor, "m f"]],
    hidden: int,
    *,
    decay: float = 0.05,
    shrinkage: float = 0.3,
    rounds: int = 60,
    seed: int = 0,
) -> Gate:
    """Fit one discriminator per subject on class-balanced binary cross-entropy [paper: loss]; the threshold is left at 0.

    Args:
        positives: statistics of each subject's pictures. The others' pictures are no negatives: whoever of them is found,
            the picture is rightly flagged, and so no subject's discriminator depends on another's.
        negatives: statistics of retained and unrelated pictures, in groups. Each group counts the same, however many
            pictures it has: else the few that show nobody would be given up for the many that show people. [ours]
        decay: weight of the squared norm of the weights on whitened statistics. [ours]
        shrinkage: of the whitening. [ours] rounds: of L-BFGS, at most. [ours]
    """
    others = torch.cat(list(negatives))
    weights = torch.cat([others.new_full((len(group),), 1 / len(group) / len(negatives)) for group in negatives])
    gate = Gate(others.shape[1], len(positives), hidden)
    gate.mean.copy_(others.mean(0))
    gate.scale.copy_(others.std(0, correction=0).clamp(min=1e-6))
    standard = (others - gate.mean) / gate.scale
    white = Whitening.of(standard, shrinkage)
    for i, own in enumerate(positives):
        one = Gate(others.shape[1], 1, hidden)
        _fit_subject(one, white((own - gate.mean) / gate.scale), white(standard), weights, decay, rounds, seed)
        with torch.no_grad():
            one.first[0] = white(one.first[0].T).T  # the map is symmetric: the weights take it in
            for name, parameter in gate.named_parameters():
                parameter[i] = one.get_parameter(name)[0]
    return gate.requires_grad_(False)


def _fit_subject(
    one: Gate,
    positives: Float[Tensor, "p f"],
    negatives: Float[Tensor, "m f"],
    weights: Float[Tensor, " m"],
    decay: float,
    rounds: int,
    seed: int,
) -> None:
    """Fit a gate of one subject; the negatives' weights sum to 1."""
    if one.second is not None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            one.first.copy_(torch.randn(one.first.shape, generator=generator) * negatives.shape[1] ** -0.5)
            one.second.copy_(torch.randn(one.second.shape, generator=generator) * one.hidden**-0.5)
    optimiser = torch.optim.LBFGS(
        one.parameters(), max_iter=rounds, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.softplus(-one.scores(positives)).mean() + F.softplus(one.scores(negatives))[:, 0] @ weights
        total = loss + decay * one.first.pow(2).sum()
        total.backward()
        return total

    optimiser.step(closure)
