"""The order of questions and the pace of learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

WARM_UP = 0.06
"""Share of the steps. [benchmarks]"""


class Shuffled:
    """Endless batches of `size` places out of `count`: each place comes once before any comes again."""

    def __init__(self, count: int, size: int, rng: np.random.Generator) -> None:
        self.count, self.size, self.rng = count, size, rng
        self.waiting: list[int] = []

    def __next__(self) -> list[int]:
        while len(self.waiting) < self.size:
            self.waiting += self.rng.permutation(self.count).tolist()
        batch, self.waiting = self.waiting[: self.size], self.waiting[self.size :]
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"waiting": self.waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.waiting = state["waiting"]


def pace(step: int, steps: int) -> float:
    """Learning rate of a step (from 0) in parts of its peak: linear warm-up, then half a cosine to 0."""
    warm = math.ceil(WARM_UP * steps)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))
