"""Losses as pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def answer_cross_entropy(logits: Float[Tensor, "b t v"], targets: Sequence[Int[Tensor, " t"]]) -> Float[Tensor, " b"]:
    """Mean cross-entropy over the answer tokens of each row; answers stand at the right edge."""
    return torch.stack(
        [F.cross_entropy(row[-len(t) :].float(), t.to(row.device)) for row, t in zip(logits, targets, strict=True)]
    )


def answer_divergence(
    logits: Float[Tensor, "b t v"], reference: Float[Tensor, "b t v"], lengths: Sequence[int]
) -> Float[Tensor, " b"]:
    """Mean KL(reference || model) over the answer tokens of each row, in nats."""
    rows = []
    for row, ref, n in zip(logits, reference, lengths, strict=True):
        p, q = ref[-n:].float().log_softmax(-1), row[-n:].float().log_softmax(-1)
        rows.append((p.exp() * (p - q)).sum(-1).mean())
    return torch.stack(rows)


def info_nce(
    anchor: Float[Tensor, "b d"],
    positives: Float[Tensor, "b p d"],
    negatives: Float[Tensor, "b n d"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Pull each anchor to its positives and away from its negatives (cosine similarity; several positives are summed).

    -log( sum_p exp(s_p / t) / (sum_p exp(s_p / t) + sum_n exp(s_n / t)) ), mean over anchors. Form: ours.
    """
    a = F.normalize(anchor, dim=-1)[:, None]
    near = (a * F.normalize(positives, dim=-1)).sum(-1) / temperature
    far = (a * F.normalize(negatives, dim=-1)).sum(-1) / temperature
    return (torch.cat([near, far], 1).logsumexp(1) - near.logsumexp(1)).mean()


def scaled_error(
    new: Float[Tensor, "*b d"], old: Float[Tensor, "*b d"], variance: Float[Tensor, " d"]
) -> Float[Tensor, ""]:
    """Mean squared error in units of each channel's variance."""
    return ((new - old).float().pow(2) / variance.clamp(min=1e-8)).mean()
