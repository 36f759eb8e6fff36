"""How well a gate tells forgotten from other pictures, at every threshold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

RATES = (0.001, 0.01, 0.02, 0.05)
"""False-alarm rates at which a report says what is caught."""


@dataclass(frozen=True)
class Roc:
    """Receiver operating characteristic.

    Args:
        false_alarms: share of the negatives that are flagged, 0..1, rising from 0 to 1 point by point.
        caught: share of the positives that are flagged at the same threshold, 0..1.
        auc: area under the curve, 0.5 at chance (higher is better): how often a positive scores above a negative.
    """

    false_alarms: tuple[float, ...]
    caught: tuple[float, ...]
    auc: float

    def caught_at(self, rate: float) -> float:
        """The largest share of positives caught with at most this share of false alarms."""
        return max(c for f, c in zip(self.false_alarms, self.caught, strict=True) if f <= rate)

    def summary(self) -> dict[str, float]:
        """The area, and what is caught at 0.1, 1, 2 and 5 % false alarms."""
        return {"auc": self.auc} | {f"caught_at_{100 * rate:g}%": self.caught_at(rate) for rate in RATES}


def roc(high: Float[Tensor, " p"], low: Float[Tensor, " m"]) -> Roc:
    """One point per distinct score, from the scores of positives and of negatives that nothing was fitted on."""
    thresholds = torch.cat([high, low]).unique().flip(0)  # falling: from nothing flagged to everything flagged
    caught = _share_above(high, thresholds)
    alarms = _share_above(low, thresholds)
    return Roc(tuple(alarms.tolist()), tuple(caught.tolist()), float(torch.trapezoid(caught, alarms)))


def _share_above(scores: Float[Tensor, " n"], thresholds: Float[Tensor, " t"]) -> Float[Tensor, " t1"]:
    """Share of scores at or above each threshold, after a first one that nothing reaches."""
    ordered = scores.sort().values
    reached = len(ordered) - torch.searchsorted(ordered, thresholds)
    return torch.cat([torch.zeros(1, dtype=torch.float64), reached.double().cpu() / len(ordered)])
