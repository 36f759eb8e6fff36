"""From statistics of pictures to a gate, its threshold and what is known of its errors. All of it is our choice.

Pictures are few, and a gate must not be measured on what it was fitted on. So each fold of the pictures is scored by a gate
that was fitted on the other folds; these scores set the threshold and the report, and the gate itself is fitted on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unlearn_core.methods.cagul.gate import Gate, fit_gate
from unlearn_core.methods.cagul.pictures import FOLDS, Shot
from unlearn_core.methods.cagul.roc import roc

ALWAYS = -1
"""In the place of the fold of what is always fitted on."""


@dataclass(frozen=True)
class Table:
    """The shots as columns: subject among the forgotten (-1 for others), fold, and what else tells them apart."""

    place: Int[Tensor, " n"]
    fold: Int[Tensor, " n"]
    view: Bool[Tensor, " n"]
    strange: Bool[Tensor, " n"]
    nobody: Bool[Tensor, " n"]
    left: Bool[Tensor, " n"]
    measured: Bool[Tensor, " n"]

    @classmethod
    def of(cls, shots: Sequence[Shot]) -> Table:
        return cls(
            place=torch.tensor([shot.place for shot in shots]),
            fold=torch.tensor([ALWAYS if shot.fold is None else shot.fold for shot in shots]),
            view=torch.tensor([not shot.whole for shot in shots]),
            strange=torch.tensor([shot.stranger for shot in shots]),
            nobody=torch.tensor([shot.subject is None and not shot.stranger and shot.part is None for shot in shots]),
            left=torch.tensor([shot.place < 0 and shot.part is not None for shot in shots]),
            measured=torch.tensor([shot.fold is not None and not shot.hard for shot in shots]),
        )

    def gate(self, statistics: Float[Tensor, "n f"], among: Bool[Tensor, " n"], hidden: int, seed: int) -> Gate:
        """A gate fitted on some of the shots. Retained people, pictures of nobody, strangers, and what is left of the pictures
        of the forgotten count the same."""
        people = [statistics[among & (self.place == i)] for i in range(int(self.place.max()) + 1)]
        others = among & (self.place < 0)
        apart = self.nobody, self.strange, self.left
        groups = (others & ~torch.stack(apart).any(0), *(others & group for group in apart))
        return fit_gate(people, [statistics[group] for group in groups if group.any()], hidden, seed=seed)


@torch.no_grad()
def calibrate(
    gate: Gate, high: Float[Tensor, " p"], low: Float[Tensor, " m"], false_alarms: float
) -> dict[str, float | None]:
    """Set the threshold from scores of pictures that were not fitted on, and report what it does to them.

    The lowest threshold at which no more than `false_alarms` of the m negatives are flagged, k of them; of pictures that
    are exchangeable with these (k + 1) / (m + 1) are flagged in expectation. It is never below 0, where a picture is as
    likely a forgotten one as not, and where even the 2 % quantile of the positives lies higher, it moves half way there.
    There may be no positives; what they are needed for is then None.
    """
    low = low.sort().values
    flagged = min(len(low) - 1, int(len(low) * false_alarms))
    threshold = (low[len(low) - 1 - flagged] + 1e-4).clamp(min=0)
    if len(high):
        threshold = torch.maximum(threshold, (threshold + torch.quantile(high, 0.02)) / 2)
    gate.threshold.copy_(threshold)
    return {
        "threshold": float(threshold),
        "false_alarms": float((low >= threshold).double().mean()),
        "promised": (flagged + 1) / (len(low) + 1),
        "caught": float((high >= threshold).float().mean()) if len(high) else None,
        "negatives": float(len(low)),
        "positives": float(len(high)),
    }


def gate_from(
    shots: Sequence[Shot], statistics: Float[Tensor, "n f"], hidden: int, false_alarms: float, seed: int
) -> tuple[Gate, dict[str, Any]]:
    """Fit and calibrate a gate, and measure each picture and its views by a gate that never saw them.

    False alarms are counted on retained pictures. Strangers teach the gate too, but one who looks like a forgotten person
    does not raise the threshold: nothing is known of strangers, so a false alarm on one takes no knowledge away.
    """
    table = Table.of(shots)
    gate = table.gate(statistics, torch.ones(len(shots), dtype=torch.bool), hidden, seed)
    scores = gate.scores(statistics).amax(1)
    for fold in range(FOLDS) if table.measured.any() else ():
        own = table.fold == fold
        scores[own] = table.gate(statistics, ~own, hidden, seed).scores(statistics[own]).amax(1)
    going, staying = table.measured & (table.place >= 0), table.measured & (table.place < 0)
    staying = staying & ~table.strange if (staying & ~table.strange).any() else staying
    judged = scores[staying] if staying.any() else scores[table.place < 0]
    report: dict[str, Any] = calibrate(gate, scores[going], judged, false_alarms)
    plain, views = scores[going & ~table.view], scores[going & table.view]
    measured = roc(plain, scores[staying & ~table.view]).summary() if len(plain) and staying.any() else {"auc": None}
    in_views = float((views >= gate.threshold).float().mean()) if len(views) else None
    return gate, report | measured | {"caught_in_views": in_views}
