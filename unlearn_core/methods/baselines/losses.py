"""Forget terms of the baselines as pure functions. Their other terms are shared ones: see `methods/objectives.py`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from unlearn_core.methods.objectives import answer_cross_entropy


def ascent(logits: Float[Tensor, "b t v"], targets: Sequence[Int[Tensor, " t"]]) -> Float[Tensor, ""]:
    """Gradient ascent: -CE(answer), mean over answer tokens, then over rows. Has no lower bound. [arXiv 2210.01504]"""
    return -answer_cross_entropy(logits, targets).mean()


def log_probability(logits: Float[Tensor, "b t v"], targets: Sequence[Int[Tensor, " t"]]) -> Float[Tensor, " b"]:
    """ln pi of each whole answer, end-of-text token included: the sum over its tokens, not their mean."""
    each = answer_cross_entropy(logits, targets)
    return -each * torch.tensor([len(t) for t in targets], device=each.device)


def negative_preference(new: Float[Tensor, " b"], reference: Float[Tensor, " b"], beta: float) -> Float[Tensor, ""]:
    """NPO: (2 / beta) ln(1 + (pi / pi_ref)^beta), mean over rows. [arXiv 2404.05868]

    `new` and `reference` are log-probabilities of whole answers. The gradient is that of `new`, weighted by
    2 sigmoid(beta (new - reference)): 1 for every answer as beta goes to 0, and 0 for an answer that has become unlikely.
    """
    return F.softplus(beta * (new - reference)).mean() * (2 / beta)
