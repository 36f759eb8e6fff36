"""The gate: does this picture show a subject of the forget set?

The paper has a discriminator on the visual tokens. Ours is one small discriminator per subject on statistics of the
tokens, and a picture's score is the highest of them, so that adding or withdrawing a subject touches no other.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def token_statistics(tokens: Float[Tensor, "n d"]) -> Float[Tensor, " d4"]:
    """Mean, maximum, minimum and standard deviation of each channel over the tokens, in float32."""
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
        x = (statistics - self.mean) / self.scale
        z = torch.einsum("bf,sfh->bsh", x, self.first) + self.first_bias
        return z[..., 0] if self.second is None else (F.gelu(z) * self.second).sum(-1)

    def score(self, tokens: list[Float[Tensor, "n d"]]) -> Float[Tensor, " b"]:
        """The highest logit over subjects for each picture."""
        statistics = torch.stack([token_statistics(t) for t in tokens]).to(self.mean.device)
        return self.scores(statistics).amax(1)

    @torch.no_grad()
    def flags(self, tokens: list[Float[Tensor, "n d"]]) -> Bool[Tensor, " b"]:
        return self.score(tokens) >= self.threshold


def fit_gate(
    positives: list[Float[Tensor, "p f"]],
    negatives: Float[Tensor, "m f"],
    hidden: int,
    *,
    decay: float = 0.02,
    rounds: int = 60,
    seed: int = 0,
) -> Gate:
    """Fit one discriminator per subject by L-BFGS on class-balanced binary cross-entropy; the threshold is left at 0.

    Args:
        positives: statistics of each subject's pictures. The other subjects' pictures count as negatives too.
        negatives: statistics of retained and unrelated pictures.
        decay: weight of the squared norm of the weights (our choice).
    """
    generator = torch.Generator().manual_seed(seed)
    everything = torch.cat([*positives, negatives])
    gate = Gate(everything.shape[1], len(positives), hidden)
    gate.mean.copy_(negatives.mean(0))
    gate.scale.copy_(negatives.std(0).clamp(min=1e-6))
    with torch.no_grad():
        if gate.second is not None:
            gate.first.copy_(torch.randn(gate.first.shape, generator=generator) * everything.shape[1] ** -0.5)
            gate.second.copy_(torch.randn(gate.second.shape, generator=generator) * hidden**-0.5)
    owner = torch.cat([torch.full((len(p),), i) for i, p in enumerate(positives)] + [torch.full((len(negatives),), -1)])
    truth = (owner[:, None] == torch.arange(len(positives))).float()
    weight = truth / truth.sum(0) + (1 - truth) / (1 - truth).sum(0)
    optimiser = torch.optim.LBFGS(
        gate.parameters(), max_iter=rounds, line_search_fn="strong_wolfe", tolerance_change=1e-7
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = (
            (F.binary_cross_entropy_with_logits(gate.scores(everything), truth, reduction="none") * weight).sum(0).sum()
        )
        norm = sum((p**2).sum() for p in gate.parameters() if p.ndim > 2)
        total = loss + decay * norm
        total.backward()
        return total

    optimiser.step(closure)
    return gate.requires_grad_(False)


def calibrate(
    gate: Gate, positives: Float[Tensor, "p f"], negatives: Float[Tensor, "m f"], false_alarms: float
) -> dict[str, float]:
    """Set the threshold from pictures that the gate was not fitted on, and report what it does to them.

    The threshold is the conformal quantile of the negatives' scores: at most `false_alarms` of such pictures are flagged
    in expectation. Where even the 2 % quantile of the positives lies higher, it moves half way there (our choice).
    """
    low = gate.scores(negatives).amax(1).sort().values
    rank = min(len(low) - 1, int((len(low) + 1) * (1 - false_alarms)))
    threshold = low[rank] + 1e-4
    high = gate.scores(positives).amax(1)
    faint = torch.quantile(high, 0.02)
    if faint > threshold:
        threshold = (threshold + faint) / 2
    gate.threshold.copy_(threshold)
    return {
        "threshold": float(threshold),
        "false_alarms": float((low >= threshold).float().mean()),
        "caught": float((high >= threshold).float().mean()),
        "negatives": float(len(low)),
        "positives": float(len(high)),
    }
