"""What a model holds of the true answer against others. Everything starts from the log-probabilities of answer tokens.

P(y) is exp of the *mean* log-probability of y's tokens, so that answers of different lengths can be set side by side.
Sums of probabilities are formed from logarithms: nothing underflows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from unlearn_core.evaluation.metrics.measured import LESS_IS_FORGOTTEN, Better, Measured, Metric, finite, mean_of

Tokens = Sequence[float]
"""Natural log-probabilities of the tokens of one answer."""
Orientation = Literal["right/wrong", "wrong/right"]
"""Which answer the truth ratio has above the line: the right one (TOFU, FIUBench) or the wrong ones (open-unlearning)."""

LOSS = Metric(
    "loss",
    "LOSS",
    ("probabilities of the true answer",),
    "Mean negative log-probability of the true answer's tokens, in nats. High means that the model would not say it.",
    r"-\frac{1}{L}\sum_{t=1}^{L}\log p(y_t)",
    Better("higher", "lower"),
    "TOFU",
)
PROBABILITY = Metric(
    "probability",
    "Probability",
    ("probabilities of the true answer",),
    "Geometric mean of the probabilities of the true answer's tokens.",
    r"P(y)=\exp\left(\frac{1}{L}\sum_{t=1}^{L}\log p(y_t)\right)",
    LESS_IS_FORGOTTEN,
    "TOFU, FIUBench, CLEAR",
)
NORMALISED_PROBABILITY = Metric(
    "normalised_probability",
    "Probability among perturbed answers",
    ("probabilities of the true answer", "probabilities of perturbed answers"),
    "Share of the true answer in the probability of itself and of wrong answers of the same form. With n wrong answers, "
    "1/(n+1) is what a model has that cannot tell them apart.",
    r"\frac{P(y)}{P(y)+\sum_i P(\hat y_i)}",
    LESS_IS_FORGOTTEN,
    "TOFU (real authors, world facts)",
)
TRUTH_RATIO_FORGET = Metric(
    "truth_ratio_forget",
    "Truth ratio (cannot tell)",
    ("probabilities of a paraphrased answer", "probabilities of perturbed answers"),
    "1 when the paraphrased truth is as probable as wrong answers of the same form, towards 0 when either is clearly "
    "preferred. The same for both orientations of the ratio.",
    r"\min(R, 1/R),\quad R=\frac{P(\tilde y)}{\left(\prod_i P(\hat y_i)\right)^{1/n}}",
    Better("higher", None),
    "TOFU, FIUBench",
)
TRUTH_RATIO_RETAIN = Metric(
    "truth_ratio_retain",
    "Truth ratio (prefers the truth)",
    ("probabilities of a paraphrased answer", "probabilities of perturbed answers"),
    "Towards 1 the more the paraphrased truth is preferred to wrong answers of the same form, 0 when it is not preferred.",
    r"\max(0, 1 - 1/R),\quad R=\frac{P(\tilde y)}{\left(\prod_i P(\hat y_i)\right)^{1/n}}",
    Better(None, "higher"),
    "TOFU, FIUBench",
)


def log_probability(tokens: Tokens) -> float | None:
    """ln P(y), at most 0: the mean over the tokens; None without tokens. Raises NotFinite."""
    return float(finite(tokens, "Probability").mean()) if len(tokens) else None


def loss(true: Sequence[Tokens], seed: int = 0) -> Measured:
    """Mean negative log-probability per token, in nats."""
    return mean_of(LOSS, [None if (p := log_probability(t)) is None else -p for t in true], seed=seed)


def probability(true: Sequence[Tokens], seed: int = 0) -> Measured:
    """P(y), 0..1."""
    return mean_of(PROBABILITY, [None if (p := log_probability(t)) is None else math.exp(p) for t in true], seed=seed)


def normalised_probability(true: Sequence[Tokens], perturbed: Sequence[Sequence[Tokens]], seed: int = 0) -> Measured:
    """P(y) / (P(y) + sum of P of the perturbed answers), 0..1; None for examples without perturbed answers."""
    values = [_normalised(y, others) for y, others in zip(true, perturbed, strict=True)]
    return mean_of(NORMALISED_PROBABILITY, values, seed=seed)


def _normalised(true: Tokens, perturbed: Sequence[Tokens]) -> float | None:
    right, wrong = log_probability(true), _log_probabilities(perturbed)
    if right is None or not wrong:
        return None
    return math.exp(right - float(np.logaddexp.reduce([right, *wrong])))


def _log_probabilities(answers: Sequence[Tokens]) -> list[float]:
    return [p for a in answers if (p := log_probability(a)) is not None]


# -- truth ratio ------------------------------------------------------------------------------------------------------


def log_truth_ratio(paraphrased: Tokens, perturbed: Sequence[Tokens], orientation: Orientation) -> float | None:
    """ln of the ratio between the paraphrased truth and the geometric mean of the wrong answers, or of its reciprocal.

    "right/wrong" is above 0 when the truth is preferred. Its logarithm is kept because the ratio itself may be too large for
    a number. None if either side is missing.
    """
    right, wrong = log_probability(paraphrased), _log_probabilities(perturbed)
    if right is None or not wrong:
        return None
    difference = right - float(np.mean(wrong))
    return difference if orientation == "right/wrong" else -difference


def truth_ratio_forget(log_ratios: Sequence[float | None], seed: int = 0) -> Measured:
    """Mean of min(R, 1/R), 0..1. The orientation of R makes no difference."""
    return mean_of(TRUTH_RATIO_FORGET, [None if r is None else math.exp(-abs(r)) for r in log_ratios], seed=seed)


def truth_ratio_retain(log_ratios: Sequence[float | None], orientation: Orientation, seed: int = 0) -> Measured:
    """Mean of max(0, 1 - wrong/right), 0..1.

    Args:
        orientation: that of `log_ratios`. A wrong one turns the meaning round, so it has no default.
    """
    sign = 1 if orientation == "right/wrong" else -1
    values = [None if r is None else -math.expm1(-max(0.0, sign * r)) for r in log_ratios]
    return mean_of(TRUTH_RATIO_RETAIN, values, seed=seed)
