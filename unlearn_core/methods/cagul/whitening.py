"""Whitening of token statistics: without it a gate sees most what all pictures share most. All of it is our choice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Whitening:
    """The symmetric map (C + shrinkage I)^-1/2 in units of its mean diagonal, where C are the correlations of m pictures.

    Statistics are many (four for each channel) and pictures few, so it is kept as its difference to a multiple of the
    identity, which has rank m at most.

    Args:
        directions: orthonormal; along them it stretches by `even + more`, and by `even` everywhere else.
    """

    directions: Float[Tensor, "f r"]
    even: float
    more: Float[Tensor, " r"]

    @classmethod
    def of(cls, standardised: Float[Tensor, "m f"], shrinkage: float) -> Whitening:
        """Args: standardised: statistics with mean 0 and variance 1. shrinkage: variance that every direction is given."""
        _, singular, directions = torch.linalg.svd(standardised.double(), full_matrices=False)
        energy = singular.square() / len(standardised)
        stretch, even = (energy + shrinkage).rsqrt(), shrinkage**-0.5
        diagonal = even + float((stretch - even).sum()) / standardised.shape[1]
        more = (stretch - even) / diagonal
        return cls(directions.T.to(standardised.dtype), even / diagonal, more.to(standardised.dtype))

    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        return self.even * x + (x @ self.directions * self.more) @ self.directions.T
