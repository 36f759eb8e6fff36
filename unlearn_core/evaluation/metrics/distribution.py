"""How near the unlearned model comes to one that never saw the forgotten subjects, over all questions at once.

Both take truth ratios of the two models on the same questions to forget, as logarithms (`likelihood.log_truth_ratio`, one
orientation for both). The test does not change under the logarithm. For the distance it keeps a few very large ratios from
pushing all others into one bin; benchmarks that bin the ratios themselves get other numbers.
No interval is given: resampling makes two samples look further apart than they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from unlearn_core.evaluation.metrics.measured import Better, Measured, Metric, finite

BINS = 50

FORGET_QUALITY = Metric(
    "forget_quality",
    "Forget quality (p)",
    ("probabilities of a paraphrased answer", "probabilities of perturbed answers", "retain-only model"),
    "Chance of a difference at least this large between the truth ratios of the unlearned and the retain-only model if "
    "there were none. Above 0.05 they are not told apart. It falls with the number of questions: read D beside it.",
    r"p=\Pr\left(D_{n,m}\ge D\right)",
    Better("higher", None),
    "TOFU",
)
KS_STATISTIC = Metric(
    "ks_statistic",
    "Forget quality (D)",
    ("probabilities of a paraphrased answer", "probabilities of perturbed answers", "retain-only model"),
    "Largest gap between the two models' cumulated shares of truth ratios. 0 is no difference, 1 no overlap.",
    r"D=\sup_x|F_u(x)-F_r(x)|",
    Better("lower", None),
    "TOFU",
)
JENSEN_SHANNON = Metric(
    "jensen_shannon",
    "Jensen-Shannon distance",
    ("probabilities of a paraphrased answer", "probabilities of perturbed answers", "retain-only model"),
    "Distance between the two models' histograms of truth ratios in 50 bins over their common range, base 2: 0 is the same, "
    "1 no overlap.",
    r"\sqrt{\tfrac12 D_{KL}(P\|M)+\tfrac12 D_{KL}(Q\|M)},\quad M=\tfrac12(P+Q)",
    Better("lower", None),
    "CLEAR; on ln R and in base 2: ours",
)

LogRatios = Sequence[float | None]


def forget_quality(unlearned: LogRatios, retain_only: LogRatios) -> tuple[Measured, Measured]:
    """Two-sample Kolmogorov-Smirnov test: the p-value and the statistic D. `per_example` are the unlearned model's ln R.

    Raises:
        NothingToMeasure: a model has no truth ratios. NotFinite: one is no number.
    """
    from scipy.stats import ks_2samp

    mine, gold = _there(FORGET_QUALITY, unlearned), _there(FORGET_QUALITY, retain_only)
    result: Any = ks_2samp(mine, gold)
    return (
        _without_interval(FORGET_QUALITY, float(result.pvalue), unlearned),
        _without_interval(KS_STATISTIC, float(result.statistic), unlearned),
    )


def jensen_shannon(unlearned: LogRatios, retain_only: LogRatios, bins: int = BINS) -> Measured:
    """Jensen-Shannon distance (the root of the divergence) in base 2, 0..1. Raises as `forget_quality`."""
    from scipy.special import rel_entr

    mine, gold = _there(JENSEN_SHANNON, unlearned), _there(JENSEN_SHANNON, retain_only)
    edges = np.histogram_bin_edges(np.concatenate([mine, gold]), bins)
    p, q = (np.histogram(x, edges)[0] / len(x) for x in (mine, gold))
    divergence = float((rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)).sum()) / (2 * np.log(2))
    # rounding may put the divergence of two equal histograms just below 0, which has no root
    return _without_interval(JENSEN_SHANNON, float(np.sqrt(np.clip(divergence, 0, 1))), unlearned)


def _there(metric: Metric, values: LogRatios) -> Float[ndarray, " n"]:
    return finite([v for v in values if v is not None], metric.name)


def _without_interval(metric: Metric, value: float, ratios: LogRatios) -> Measured:
    count = sum(r is not None for r in ratios)
    return Measured(metric.key, metric.name, value, tuple(ratios), None, None, count, metric.better)
