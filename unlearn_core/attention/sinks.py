"""Attention sinks: visual tokens that draw attention whoever looks, and so say little about any one word."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.vlm import Rows

TIMES = 10.0
"""How many times the typical visual token's attention a sink draws. [ours]"""


def sinks(rows: Rows, times: float = TIMES) -> Int[Tensor, " sinks"]:
    """Visual tokens whose attention, averaged over layers and heads, is more than `times` that of the median one, for at
    least half of all words of question and answer. [ours]

    The median over the words is what tells a sink from the thing that is asked about: that one draws the attention of
    the few words that name it, a sink draws that of all.
    """
    looks = torch.cat([rows.question, rows.answer], 2).mean((0, 1))
    typical = looks.median(0).values
    return (typical > times * typical.median()).nonzero()[:, 0]


def without(values: Float[Tensor, " n"], hidden: Int[Tensor, " k"]) -> Float[Tensor, " n"]:
    """The values with NaN in some places, so that nothing is drawn there."""
    return values.index_fill(0, hidden, float("nan"))


def share(values: Float[Tensor, " n"], hidden: Int[Tensor, " k"]) -> float:
    """How much of the attention on the picture falls on some places, 0..1."""
    return float(values[hidden].sum() / values.sum().clamp(min=1e-12))
