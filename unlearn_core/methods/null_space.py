"""The null space of what must be kept (NCU).

A linear layer y = W x keeps its retained outputs if its change dW is zero on retained inputs x. `NullSpaceFitter`
accumulates the second moment C = mean of x x^T of retained inputs in O(d^2); its eigenvectors split the input space into
directions that retained data uses and directions that it does not. A `Subspace` says which of them may change and how
easily; `ConstrainedChange` holds a weight to it. Form of the constraint: related work (Adam-NSCL, AlphaEdit); the drift
budget, which chooses the subspace and bounds the accumulated change, and the ratio form are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

TINY = 1e-300
"""Below any energy that means something in double precision."""


class NullSpaceFitter:
    """Accumulate the second moment of a layer's retained inputs, in double precision."""

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self.sum = torch.zeros(width, width, dtype=torch.float64, device=device)
        self.count = 0

    @torch.no_grad()
    def update(self, x: Float[Tensor, "*n d"]) -> None:
        """Add inputs; all leading axes count as rows."""
        rows = x.detach().reshape(-1, x.shape[-1]).to(self.sum)
        self.sum.addmm_(rows.T, rows)
        self.count += len(rows)

    def merge(self, other: NullSpaceFitter) -> None:
        """Add what another one has seen, as if this one had seen it too."""
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
class Subspace:
    """Where a layer may change: dW = A diag(gains) basis^T, A free.

    Args:
        basis: columns are directions of the input space.
        gains: how far a step goes along each direction, 0..1.
        root: a factor of the retained energy in these coordinates, basis^T C basis = root root^T; so the retained outputs
            of a change move by |A diag(gains) root| (Frobenius), root mean square over the inputs, exactly.
    """

    basis: Float[Tensor, "d k"]
    gains: Float[Tensor, " k"]
    root: Float[Tensor, "k m"]

    @property
    def free(self) -> float:
        """Effective number of directions that may change."""
        return float(self.gains.sum())

    @property
    def projector(self) -> Float[Tensor, "d d"]:
        """The projector matrix P, to be applied as dW P; an orthogonal projection if gains are 0 or 1 and basis orthonormal."""
        return (self.basis * self.gains) @ self.basis.T


@dataclass(frozen=True, eq=False)
class NullSpace:
    """Second moment of retained inputs, decomposed: C = basis diag(energy) basis^T, energies ascending."""

    basis: Float[Tensor, "d d"]
    energy: Float[Tensor, " d"]
    count: int

    # -- subspaces ----------------------------------------------------------------------------------------------------

    def free(self) -> Subspace:
        """No constraint on the direction."""
        return self._subspace(torch.ones_like(self.energy))

    def hard(self, weight: Float[Tensor, "o d"], budget: float, reach: float) -> Subspace:
        """As many of the faintest directions as a drift budget allows; the others stay as they are. [ours]

        Args:
            budget: predicted relative change of retained outputs that a change may cause...
            reach: ...when it is this large beside the weight (Frobenius) and lies evenly over the free directions.
        """
        directions = torch.arange(1, len(self.energy) + 1, device=self.energy.device)
        mean = self.energy.cumsum(0) / directions
        size = reach**2 * weight.to(self.energy).pow(2).sum()
        drift = (size * mean / max(self.output_energy(weight), TINY)).sqrt()
        return self._subspace((drift <= budget).to(self.energy))

    def soft(self, level: float) -> Subspace:
        """Gains level / (energy + level), energies scaled to mean 1: full steps where retained data is faint."""
        relative = self.energy / self.energy.mean().clamp(min=TINY)
        return self._subspace(level / (relative + level))

    def ratio(self, forget: NullSpace, directions: int, floor: float = 1e-4) -> Subspace:
        """The directions with the most forget energy per retained energy. [ours]

        Solves C_forget v = r (C + floor mean(C) I) v and keeps the largest r. In these coordinates every direction costs
        about the same drift, so that the step of an optimiser is as long in each; columns are scaled to root mean square 1.
        """
        floor_energy = floor * self.energy.mean().clamp(min=TINY)
        whiten = self.basis / (self.energy + floor_energy).sqrt()
        seen = whiten.T @ (forget.basis * forget.energy) @ forget.basis.T @ whiten
        _, turn = torch.linalg.eigh((seen + seen.T) / 2)
        turn = turn[:, -directions:]
        basis = whiten @ turn
        scale = basis.shape[1] ** 0.5 / basis.norm().clamp(min=TINY)
        used = (self.energy / (self.energy + floor_energy)).sqrt()
        return Subspace(basis * scale, torch.ones(basis.shape[1]).to(basis), scale * turn.T * used)

    def _subspace(self, gains: Float[Tensor, " d"]) -> Subspace:
        return Subspace(self.basis, gains, torch.diag(self.energy.sqrt()))

    # -- drift --------------------------------------------------------------------------------------------------------

    def drift(self, change: Float[Tensor, "o d"], weight: Float[Tensor, "o d"]) -> float:
        """Predicted relative change of retained outputs: sqrt( tr(dW C dW^T) / tr(W C W^T) ).

        This is no estimate but the exact root mean square over the inputs that the moments were taken from.
        """
        return (self.output_energy(change) / max(self.output_energy(weight), TINY)) ** 0.5

    def output_energy(self, matrix: Float[Tensor, "o d"]) -> float:
        """tr(M C M^T): mean squared length of M x over retained inputs."""
        return float(((matrix.to(self.basis) @ self.basis).pow(2) * self.energy).sum())


class ConstrainedChange(nn.Module):
    """Parametrisation W = W0 + A diag(gains) basis^T of a linear layer's weight; only A is trained.

    Every update that an optimiser makes to A reaches W through the projector, whatever the optimiser does elementwise: with
    hard gains dW x = 0 for every x without part in the free directions, exactly. A gradient step on A is a step on W with
    the projected gradient. `restrict` bounds the accumulated change: it rescales A so that the drift stays within a budget.

    Args:
        reference: mean squared length of the layer's retained outputs, `NullSpace.output_energy(W0)`.
    """

    basis: Tensor
    gains: Tensor
    root: Tensor

    def __init__(self, weight: Float[Tensor, "o d"], space: Subspace, reference: float) -> None:
        super().__init__()
        dtype = torch.promote_types(weight.dtype, torch.float32)
        self.change = nn.Parameter(torch.zeros(len(weight), len(space.gains), dtype=dtype, device=weight.device))
        self.register_buffer("basis", space.basis.to(self.change))
        self.register_buffer("gains", space.gains.to(self.change))
        self.register_buffer("root", space.root.to(self.change))
        self.reference = max(reference, TINY)

    def factors(self) -> tuple[Float[Tensor, "o k"], Float[Tensor, "k d"]]:
        """Left and right factor of the change, directions that may not change left out."""
        used = self.gains > 0
        return (self.change * self.gains)[:, used], self.basis.T[used]

    def delta(self) -> Float[Tensor, "o d"]:
        return (self.change * self.gains) @ self.basis.T

    def forward(self, weight: Float[Tensor, "o d"]) -> Float[Tensor, "o d"]:
        return weight + self.delta().to(weight.dtype)

    @torch.no_grad()
    def drift(self) -> float:
        """Predicted relative change of this layer's retained outputs so far."""
        size = float(((self.change * self.gains) @ self.root).double().pow(2).sum())
        return (size / self.reference) ** 0.5

    @torch.no_grad()
    def restrict(self, budget: float) -> float:
        """Scale the change down to the drift budget if it is beyond it; returns the drift afterwards."""
        drift = self.drift()
        if drift > budget:
            self.change.mul_(budget / drift)
            return budget
        return drift
