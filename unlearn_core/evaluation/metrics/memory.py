"""How much of the true answer comes out by itself once its beginning is given."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_core.evaluation.metrics.measured import LESS_IS_FORGOTTEN, Measured, Metric, mean_of

Hits = Sequence[bool]
"""For each token of the true answer, whether it is the most probable one after the tokens before it."""

EXACT_MEMORISATION = Metric(
    "exact_memorisation",
    "Exact memorisation",
    ("greedy hits",),
    "Share of the true answer's tokens that the model would say next, each time given the true tokens before it.",
    r"\frac{1}{L}\sum_t\left[\arg\max p(\cdot\mid y_{<t})=y_t\right]",
    LESS_IS_FORGOTTEN,
    "Tirumala et al. 2022, open-unlearning",
)
EXTRACTION_STRENGTH = Metric(
    "extraction_strength",
    "Extraction strength",
    ("greedy hits",),
    "1 minus the shortest part of the true answer that has to be given for the rest to follow. 0 when even the last token "
    "does not follow, where open-unlearning has 1/L.",
    r"1-\frac{1}{L}\min\{k: \forall t>k:\ \arg\max p(\cdot\mid y_{<t})=y_t\}",
    LESS_IS_FORGOTTEN,
    "Carlini et al. 2021, open-unlearning",
)


def exact_memorisation(hits: Sequence[Hits], seed: int = 0) -> Measured:
    """Mean share of tokens hit, 0..1; None for answers without tokens."""
    return mean_of(EXACT_MEMORISATION, [sum(h) / len(h) if len(h) else None for h in hits], seed=seed)


def extraction_strength(hits: Sequence[Hits], seed: int = 0) -> Measured:
    """Mean of 1 - k / L, 0..1; None for answers without tokens."""
    return mean_of(EXTRACTION_STRENGTH, [_strength(h) for h in hits], seed=seed)


def _strength(hits: Hits) -> float | None:
    if not len(hits):
        return None
    run = next((i for i, hit in enumerate(reversed(hits)) if not hit), len(hits))
    return run / len(hits)
