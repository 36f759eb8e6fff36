"""What every metric is and returns: its description, its value, and how sure the value is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from unlearn_core.evaluation.errors import NotFinite, NothingToMeasure

LEVEL = 0.95
RESAMPLES = 1_000
_CELLS = 4_000_000

Direction = Literal["lower", "higher", "target"]
Need = Literal[
    "answers",
    "keywords",
    "options",
    "paraphrased questions",
    "probabilities of the true answer",
    "probabilities of a paraphrased answer",
    "probabilities of perturbed answers",
    "vocabulary statistics",
    "greedy hits",
    "never-seen subjects",
    "retain-only model",
    "other metrics",
]


class Better(NamedTuple):
    """Which way is better on questions to forget and on questions to retain; None where it is not meant for that side.

    "target" means neither low nor high: as near as may be to what `Metric.explanation` names.
    """

    forget: Direction | None
    retain: Direction | None


LESS_IS_FORGOTTEN = Better("lower", "higher")


@dataclass(frozen=True)
class Metric:
    """What a metric is, for a page or a report to show.

    Args:
        needs: what has to be at hand.
        explanation: in plain words, with its traps.
        formula: LaTeX, without delimiters.
        source: the benchmark or paper whose definition it is, or "ours".
    """

    key: str
    name: str
    needs: tuple[Need, ...]
    explanation: str
    formula: str
    better: Better
    source: str


@dataclass(frozen=True)
class Measured:
    """A metric's value on some examples.

    Args:
        metric: key in `METRICS`.
        name: the metric with its variant, as a table should call it.
        per_example: one value per example in the order given; None where the example lacks what the metric needs.
            Such examples count neither in `value` nor in `count`.
        low, high: bootstrap interval at `level`, stretched if need be so that it holds `value`; None where resampling the
            examples says nothing (fewer than two of them, p-values, distances between distributions).
        count: how many examples went into `value`.
    """

    metric: str
    name: str
    value: float
    per_example: tuple[float | None, ...]
    low: float | None
    high: float | None
    count: int
    better: Better
    level: float = LEVEL


def mean_of(metric: Metric, values: Sequence[float | None], name: str | None = None, seed: int = 0) -> Measured:
    """The mean of the values that are there, with its bootstrap interval.

    Raises:
        NothingToMeasure: there are none.
        NotFinite: one of them is no number.
    """
    there = finite([v for v in values if v is not None], metric.name)
    low, high = mean_interval(there, seed)
    return Measured(
        metric.key, name or metric.name, float(there.mean()), tuple(values), low, high, len(there), metric.better
    )


def finite(values: Sequence[float] | Float[ndarray, " n"], name: str) -> Float[ndarray, " n"]:
    """The values as an array. Raises NothingToMeasure if there are none, NotFinite if one is infinite or no number."""
    out = np.asarray(values, dtype=np.float64)
    if not out.size:
        raise NothingToMeasure(f"{name} cannot be measured: no example has what it needs.")
    if not np.isfinite(out).all():
        raise NotFinite(f"{name} cannot be measured")
    return out


# -- bootstrap --------------------------------------------------------------------------------------------------------


def interval(
    value: float, sizes: Sequence[int], statistic: Callable[..., Float[ndarray, " r"]], seed: int = 0
) -> tuple[float, float] | tuple[None, None]:
    """The middle `LEVEL` of a statistic over resamples (percentile bootstrap), stretched so that it holds `value`.

    Args:
        sizes: how many examples each sample has; each is resampled on its own.
        statistic: takes one array of indices "r n" per sample, a resample in each row, and returns one number per row.

    Returns:
        Lower and upper end, the same for the same seed; (None, None) if a sample has fewer than two examples.
    """
    if min(sizes) < 2:
        return None, None
    low, high = np.quantile(resampled(sizes, statistic, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), value), max(float(high), value)


def resampled(
    sizes: Sequence[int], statistic: Callable[..., Float[ndarray, " r"]], seed: int = 0
) -> Float[ndarray, " r"]:
    """The statistic of `RESAMPLES` resamples. It is handed many at once, but never more than memory can well hold."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _CELLS // sum(sizes))
    blocks = (min(at_once, RESAMPLES - done) for done in range(0, RESAMPLES, at_once))
    return np.concatenate([statistic(*(rng.integers(n, size=(rows, n)) for n in sizes)) for rows in blocks])


def mean_interval(values: Float[ndarray, " n"], seed: int = 0) -> tuple[float, float] | tuple[None, None]:
    """`interval` of a mean."""
    return interval(float(values.mean()), [len(values)], lambda index: values[index].mean(1), seed)
