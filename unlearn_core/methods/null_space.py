"""The null space of what must be kept (NCU).

A linear layer y = W x keeps its retained outputs if its change dW is zero on retained inputs x. `NullSpaceFitter`
accumulates the second moment C = mean of x x^T of retained inputs in O(d^2); its eigenvectors split the input space into
directions that retained data uses and directions that it does not. Form of the constraint: related work (Adam-NSCL,
AlphaEdit); the drift budget on the accumulated change is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


class NullSpaceFitter:
    """Accumulate the second moment of a layer's retained inputs, in double precision."""

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self.sum = torch.zeros(width, width, dtype=torch.float64, device=device)
        self.count = 0

    @torch.no_grad()
    def update(self, x: Float[Tensor, "*n d"]) -> None:
        """Add inputs; all leading axes count as rows. The product of one chunk is taken in the input's precision."""
        rows = x.detach().reshape(-1, x.shape[-1])
        rows = rows if rows.dtype == torch.float64 else rows.float()
        self.sum += (rows.T @ rows).to(self.sum)
        self.count += len(rows)

    def merge(self, other: NullSpaceFitter) -> None:
        self.sum += other.sum.to(self.sum)
        self.count += other.count

    @property
    def null_space(self) -> NullSpace:
        """Raises ValueError before the first update."""
        if self.count == 0:
            raise ValueError("no retained inputs were given")
        energy, basis = torch.linalg.eigh(self.sum / self.count)
        return NullSpace(basis, energy.clamp(min=0), self.count)


@dataclass(frozen=True, eq=False)
class NullSpace:
    """Second moment of retained inputs, decomposed: C = basis diag(energy) basis^T, energies ascending."""

    basis: Float[Tensor, "d d"]
    energy: Float[Tensor, " d"]
    count: int

    def hard(self, share: float) -> Float[Tensor, " d"]:
        """1 on the faintest directions that together carry at most `share` of the retained energy, 0 elsewhere."""
        total = self.energy.sum().clamp(min=1e-300)
        return (self.energy.cumsum(0) <= share * total).to(self.energy)

    def soft(self, level: float) -> Float[Tensor, " d"]:
        """level / (energy + level), energies scaled to mean 1: full steps where retained data is faint, small where not."""
        relative = self.energy / self.energy.mean().clamp(min=1e-300)
        return level / (relative + level)

    def projector(self, gains: Float[Tensor, " d"]) -> Float[Tensor, "d d"]:
        """The projector matrix P = basis diag(gains) basis^T, to be applied as dW P."""
        return (self.basis * gains) @ self.basis.T

    def drift(self, change: Float[Tensor, "o d"], weight: Float[Tensor, "o d"]) -> float:
        """Predicted relative change of retained outputs: sqrt( tr(dW C dW^T) / tr(W C W^T) ).

        This is no estimate but the exact root mean square over the inputs that the moments were taken from.
        """
        return float((self._size(change) / self._size(weight).clamp(min=1e-300)).sqrt())

    def _size(self, matrix: Float[Tensor, "o d"]) -> Float[Tensor, ""]:
        return ((matrix.to(self.basis) @ self.basis).pow(2) * self.energy).sum()


class ConstrainedChange(nn.Module):
    """Parametrisation W = W0 + A diag(gains) basis^T of a linear layer's weight; only A is trained.

    Every update that an optimiser makes to A reaches W through the projector, whatever the optimiser does elementwise: with
    hard gains dW x = 0 for every x without part in the free directions, exactly. A gradient step on A is a step on W with
    the projected gradient. `restrict` bounds the accumulated change: it rescales A so that the drift stays within a budget.
    """

    basis: Tensor
    gains: Tensor
    energy: Tensor

    def __init__(self, weight: Float[Tensor, "o d"], space: NullSpace, gains: Float[Tensor, " d"]) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros(weight.shape, dtype=torch.float32, device=weight.device))
        self.register_buffer("basis", space.basis.to(self.change))
        self.register_buffer("gains", gains.to(self.change))
        self.register_buffer("energy", space.energy.to(self.change))
        self.reference = float(space._size(weight))

    def delta(self) -> Float[Tensor, "o d"]:
        return (self.change * self.gains) @ self.basis.T

    def forward(self, weight: Float[Tensor, "o d"]) -> Float[Tensor, "o d"]:
        return weight + self.delta().to(weight.dtype)

    @torch.no_grad()
    def drift(self) -> float:
        size = float((((self.change * self.gains) ** 2).double() * self.energy.double()).sum())
        return (size / max(self.reference, 1e-300)) ** 0.5

    @torch.no_grad()
    def restrict(self, budget: float) -> float:
        """Scale the change down to the drift budget if it is beyond it; returns the drift afterwards."""
        drift = self.drift()
        if drift > budget:
            self.change.mul_(budget / drift)
            return budget
        return drift
