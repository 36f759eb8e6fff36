"""One number for all that must stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from unlearn_core.evaluation.metrics.measured import Better, Measured, Metric, finite, interval

MODEL_UTILITY = Metric(
    "model_utility",
    "Model utility",
    ("other metrics",),
    "Harmonic mean of several metrics between 0 and 1 on what must stay (in TOFU: probability, ROUGE-L recall and truth ratio "
    "on retained people, real people and facts of the world). One zero makes it zero.",
    r"\frac{n}{\sum_i 1/m_i}",
    Better(None, "higher"),
    "TOFU, FIUBench",
)


def model_utility(parts: Sequence[Measured], seed: int = 0) -> Measured:
    """Harmonic mean of means over examples, 0..1; 0 if one of them is 0. `per_example` are the parts' values.

    The interval resamples the examples of each part on their own.

    Raises:
        NothingToMeasure: no parts.
        ValueError: a part is not between 0 and 1, or is better low.
    """
    for part in parts:
        if part.better.retain != "higher":
            raise ValueError(f"{part.name} cannot be part of a utility: it must be better high")
    return harmonic_mean_of(MODEL_UTILITY, parts, seed)


def harmonic_mean_of(metric: Metric, parts: Sequence[Measured], seed: int = 0) -> Measured:
    """As `model_utility`, whichever way is better; the result is of `metric`."""
    values = finite([p.value for p in parts], metric.name)
    for part in parts:
        if not 0 <= part.value <= 1:
            raise ValueError(f"{part.name} cannot be part of a harmonic mean: it must lie in 0..1")
    examples = [finite([v for v in p.per_example if v is not None], p.name) for p in parts]

    def utilities(*index: Int[ndarray, "r n"]) -> Float[ndarray, " r"]:
        return _harmonic(np.stack([x[i].mean(1) for x, i in zip(examples, index, strict=True)]))

    value = float(_harmonic(values[:, None])[0])
    low, high = interval(value, [len(x) for x in examples], utilities, seed)
    return Measured(metric.key, metric.name, value, tuple(values.tolist()), low, high, len(parts), metric.better)


def _harmonic(values: Float[ndarray, "n r"]) -> Float[ndarray, " r"]:
    zero = (values <= 0).any(0)
    return np.where(zero, 0.0, len(values) / (1 / np.where(values <= 0, 1.0, values)).sum(0))
