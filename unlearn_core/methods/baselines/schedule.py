"""The order of questions and the pace of learning."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

WARM_UP = 0.06
"""Share of the steps. [benchmarks]"""


def shuffled(count: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Endless batches of `size` places out of `count`: each place comes once before any comes again."""
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting += rng.permutation(count).tolist()
        yield waiting[:size]
        del waiting[:size]


def pace(step: int, steps: int) -> float:
    """Learning rate of a step (from 0) in parts of its peak: linear warm-up, then half a cosine to 0."""
    warm = math.ceil(WARM_UP * steps)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))
