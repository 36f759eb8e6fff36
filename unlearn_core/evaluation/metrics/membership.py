"""Whether somebody could tell from a model's probabilities that it was trained on an answer.

A score per answer, higher for what looks known; then how well the score sets answers about forgotten subjects apart from
matched answers about subjects that no model ever saw. Without those strangers there is only a score, and no such claim.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.metrics.likelihood import Tokens, log_probability
from unlearn_core.evaluation.metrics.measured import Better, Measured, Metric, finite, interval, mean_interval, mean_of

_TARGET = Better("target", "target")
_AUC = (
    " The value is the chance that a member scores above a stranger: 0.5 cannot tell. Best is what a model has that never "
    "saw the forgotten subjects; values below 0.5 give membership away as well."
)

MIN_K = Metric(
    "min_k_auc",
    "Min-20% AUC",
    ("probabilities of the true answer", "never-seen subjects"),
    "Score: mean log-probability of the least probable fifth of the tokens (at least one)." + _AUC,
    r"S=\frac{1}{K}\sum_{t\in\mathrm{min}_K}\log p(y_t),\quad K=\max(1,\lceil kL\rceil)",
    _TARGET,
    "Shi et al. 2024",
)
MIN_K_PP = Metric(
    "min_k_pp_auc",
    "Min-20%++ AUC",
    ("probabilities of the true answer", "vocabulary statistics", "never-seen subjects"),
    "As Min-K, with each token's log-probability measured against mean and spread over the vocabulary at that place."
    + _AUC,
    r"z_t=\frac{\log p(y_t)-\mu_t}{\sigma_t},\quad S=\frac{1}{K}\sum_{t\in\mathrm{min}_K}z_t",
    _TARGET,
    "Zhang et al. 2024",
)
LOSS_AUC = Metric(
    "loss_auc",
    "LOSS AUC",
    ("probabilities of the true answer", "never-seen subjects"),
    "Score: mean log-probability of the tokens." + _AUC,
    r"S=\frac{1}{L}\sum_t\log p(y_t)",
    _TARGET,
    "Yeom et al. 2018",
)
ZLIB_AUC = Metric(
    "zlib_auc",
    "ZLIB AUC",
    ("probabilities of the true answer", "never-seen subjects"),
    "Score: mean log-probability of the tokens by the length of the compressed text, so that dull texts look less known."
    + _AUC,
    r"S=\frac{1}{L\,|\mathrm{zlib}(y)|}\sum_t\log p(y_t)",
    _TARGET,
    "Carlini et al. 2021",
)
TPR = Metric(
    "tpr_at_1_fpr",
    "TPR at 1 % FPR",
    ("probabilities of the true answer", "never-seen subjects"),
    "Share of members found by a threshold that at most one stranger in a hundred passes. With fewer than a hundred "
    "strangers none may pass.",
    r"\max_{\theta:\ \mathrm{FPR}(\theta)\le 0.01}\mathrm{TPR}(\theta)",
    _TARGET,
    "Carlini et al. 2022",
)
MIN_K_MIX = Metric(
    "min_k_mix",
    "Min-K% mixture",
    ("probabilities of the true answer",),
    "Probabilities of the least probable 10 % to 50 % of the tokens, five geometric means weighted 0.3, 0.3, 0.2, 0.1 and 0.1. "
    "Shares without a whole token are left out and the other weights made to sum to 1, where FIUBench leaves their sum short, "
    "which makes short answers look safer. There are no strangers in it, so it says nothing of membership by itself: read it "
    "against the retain-only model.",
    r"\sum_k w_k\exp\left(\frac{1}{K}\sum_{t\in\mathrm{min}_K}\log p(y_t)\right),\quad K=\lfloor kL\rfloor",
    Better("target", None),
    "FIUBench (MIA); weights made whole: ours",
)
PRIV_LEAK = Metric(
    "priv_leak",
    "PrivLeak",
    ("probabilities of the true answer", "never-seen subjects", "retain-only model"),
    "Difference to the retain-only model in how well members are told from strangers, in percent. Below 0: not enough is "
    "gone; above 0: so much that it shows. The score is Min-40%.",
    r"100\cdot\frac{(1-\mathrm{AUC}_u)-(1-\mathrm{AUC}_r)}{1-\mathrm{AUC}_r}",
    Better("target", None),
    "MUSE",
)


# -- scores: higher looks more like a member --------------------------------------------------------------------------


def min_k(tokens: Tokens, share: float = 0.2) -> float | None:
    """Mean of the lowest K = max(1, ceil(share * L)) log-probabilities, in nats; None without tokens. Raises NotFinite."""
    if not len(tokens):
        return None
    lowest = np.sort(finite(tokens, "Min-K"))
    return float(lowest[: max(1, math.ceil(share * len(lowest) - 1e-9))].mean())


def min_k_plus_plus(tokens: Tokens, means: Tokens, stds: Tokens, share: float = 0.2) -> float | None:
    """As `min_k` on z = (log p - mean) / std, in standard deviations.

    Args:
        means, stds: mean and standard deviation of log p over the vocabulary at each place, weighted by probability. Where
            the deviation is 0 only one value was possible, so z is 0.
    """
    if not len(tokens) == len(means) == len(stds):
        raise ValueError("each token needs a mean and a standard deviation")
    if not len(tokens):
        return None
    log_p, mu, sigma = (finite(x, "Min-K++") for x in (tokens, means, stds))
    z = np.divide(log_p - mu, sigma, out=np.zeros_like(log_p), where=sigma > 0)
    return min_k(z.tolist(), share)


MIXTURE = {0.1: 0.3, 0.2: 0.3, 0.3: 0.2, 0.4: 0.1, 0.5: 0.1}
"""Weight of each share of the tokens in `min_k_mix`."""


def min_k_mix(answers: Sequence[Tokens], seed: int = 0) -> Measured:
    """FIUBench's membership score, 0..1; None for answers of fewer than two tokens. Raises NotFinite."""
    return mean_of(MIN_K_MIX, [_mixture(tokens) for tokens in answers], seed=seed)


def _mixture(tokens: Tokens) -> float | None:
    lowest = np.sort(finite(tokens, MIN_K_MIX.name)) if len(tokens) else np.zeros(0)
    terms = {share: lowest[: int(share * len(lowest) + 1e-9)] for share in MIXTURE}
    weights = {share: MIXTURE[share] for share, least in terms.items() if len(least)}
    if not weights:
        return None
    return sum(w * math.exp(terms[share].mean()) for share, w in weights.items()) / sum(weights.values())


def loss_score(tokens: Tokens) -> float | None:
    """Mean log-probability, in nats; None without tokens."""
    return log_probability(tokens)


def zlib_score(tokens: Tokens, text: str) -> float | None:
    """Mean log-probability by the bytes of the compressed text; None without tokens."""
    mean = log_probability(tokens)
    return None if mean is None else mean / len(zlib.compress(text.encode()))


PRIV_LEAK_SHARE = 0.4
"""Of the tokens, for the scores of `priv_leak`."""


# -- telling members from strangers -----------------------------------------------------------------------------------


def membership_auc(
    metric: Metric,
    members: Sequence[float | None],
    strangers: Sequence[float | None],
    name: str | None = None,
    seed: int = 0,
) -> Measured:
    """ROC-AUC of a score: the chance that a member's is higher than a stranger's, ties counting half; 0..1.

    `per_example` are the members' scores; `count` is the number of them that have one.

    Args:
        metric: which score it is: `MIN_K`, `MIN_K_PP`, `LOSS_AUC` or `ZLIB_AUC`.
        strangers: scores of matched answers about subjects that the model was never trained on.

    Raises:
        NothingToMeasure: no member or no stranger has a score.
    """
    inside, outside = _there(metric, members), _there(metric, strangers)
    value = float(_auc(inside[None], outside[None])[0])
    low, high = interval(value, _sizes(inside, outside), lambda i, j: _auc(inside[i], outside[j]), seed)
    return Measured(metric.key, name or metric.name, value, tuple(members), low, high, len(inside), metric.better)


def tpr_at_fpr(
    members: Sequence[float | None], strangers: Sequence[float | None], fpr: float = 0.01, of: str = "", seed: int = 0
) -> Measured:
    """Share of members above the threshold that at most a share `fpr` of strangers passes; 0..1.

    `per_example` is 1 for members that are found. The interval is over the members alone; the threshold stays.

    Args:
        of: name of the score, for the result's name.

    Raises:
        NothingToMeasure: no member or no stranger has a score.
    """
    inside, outside = _there(TPR, members), _there(TPR, strangers)
    allowed = math.floor(fpr * len(outside) + 1e-9)
    threshold = np.sort(outside)[::-1][allowed] if allowed < len(outside) else -np.inf
    found = (inside > threshold).astype(float)
    low, high = mean_interval(found, seed)
    values = tuple(None if m is None else float(m > threshold) for m in members)
    name = f"{of} TPR at {100 * fpr:g} % FPR".strip()
    return Measured(TPR.key, name, float(found.mean()), values, low, high, len(found), TPR.better)


def priv_leak(
    members: Sequence[float | None],
    strangers: Sequence[float | None],
    reference_members: Sequence[float | None],
    reference_strangers: Sequence[float | None],
    seed: int = 0,
) -> Measured:
    """PrivLeak in percent, on Min-40% scores of the unlearned model and of the retain-only model (`reference_...`).

    `per_example` are the members' scores. The interval resamples the unlearned model's two groups; the retain-only model's
    AUC stays.

    Raises:
        NothingToMeasure: a list is empty, or the retain-only model itself tells members from strangers without fail, which
            leaves nothing to compare with.
    """
    lists = [_there(PRIV_LEAK, s) for s in (members, strangers, reference_members, reference_strangers)]
    inside, outside, ref_inside, ref_outside = lists
    reference = float(_auc(ref_inside[None], ref_outside[None])[0])
    if reference == 1:
        raise NothingToMeasure(
            "PrivLeak cannot be measured: the retain-only model tells forgotten subjects from never-seen ones without fail, "
            "so the two groups of questions differ in more than what was forgotten."
        )
    value = float(_leak(_auc(inside[None], outside[None]), reference)[0])
    low, high = interval(
        value, _sizes(inside, outside), lambda i, j: _leak(_auc(inside[i], outside[j]), reference), seed
    )
    return Measured(PRIV_LEAK.key, PRIV_LEAK.name, value, tuple(members), low, high, len(inside), PRIV_LEAK.better)


def _leak(auc: Float[ndarray, " r"], reference: float) -> Float[ndarray, " r"]:
    return 100 * ((1 - auc) - (1 - reference)) / (1 - reference)


def _sizes(*samples: Float[ndarray, " n"]) -> list[int]:
    return [len(s) for s in samples]


def _there(metric: Metric, scores: Sequence[float | None]) -> Float[ndarray, " n"]:
    return finite([s for s in scores if s is not None], metric.name)


def _auc(members: Float[ndarray, "r m"], strangers: Float[ndarray, "r n"]) -> Float[ndarray, " r"]:
    """AUC of each row. Strangers below each member are counted on the ranks of all distinct scores."""
    distinct, ranks = np.unique(np.concatenate([members, strangers], 1), return_inverse=True)
    ranks = ranks.reshape(len(members), -1)
    inside = _counts(ranks[:, : members.shape[1]], len(distinct))
    outside = _counts(ranks[:, members.shape[1] :], len(distinct))
    below = outside.cumsum(1) - outside
    return (inside * (below + outside / 2)).sum(1) / (members.shape[1] * strangers.shape[1])


def _counts(ranks: Int[ndarray, "r n"], kinds: int) -> Int[ndarray, "r k"]:
    rows = len(ranks)
    flat = (ranks + kinds * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * kinds).reshape(rows, kinds)
