"""The same question asked with and without the picture: whether both ways are forgotten, or both kept.

All take two scores of each question between 0 and 1, with the picture and without it; one that is None leaves the pair out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearn_core.evaluation.metrics.measured import Better, Measured, Metric, mean_of

BOTH_RIGHT = Metric(
    "both_right",
    "Right both ways",
    ("answers",),
    "Share of questions that are answered rightly with the picture and without it.",
    r"\frac{1}{N}\sum[a_i=1\wedge b_i=1]",
    Better("lower", "higher"),
    "UMU-bench (all-modal accuracy)",
)
BOTH_WRONG = Metric(
    "both_wrong",
    "Wrong both ways",
    ("answers",),
    "Share of questions that are answered wrongly with the picture and without it. A model that answers nothing rightly has 1: "
    "read it beside what stays.",
    r"\frac{1}{N}\sum[a_i=0\wedge b_i=0]",
    Better("higher", "lower"),
    "UMU-bench (all-modal error)",
)
ROUGE_RETAINED = Metric(
    "rouge_both_retained",
    "ROUGE-L of both ways (retain)",
    ("answers",),
    "Harmonic mean of a question's two ROUGE-L scores: near the lower of the two.",
    r"\frac{1}{N}\sum\frac{2ab}{a+b}",
    Better(None, "higher"),
    "UMU-bench (RLR)",
)
ROUGE_FORGOTTEN = Metric(
    "rouge_both_forgotten",
    "ROUGE-L of both ways (forget)",
    ("answers",),
    "Contraharmonic mean of a question's two ROUGE-L scores: near the higher of the two, so that one way that still leaks shows.",
    r"\frac{1}{N}\sum\frac{a^2+b^2}{a+b}",
    Better("lower", None),
    "UMU-bench (RLF)",
)

Scores = Sequence[float | None]


def both_right(pictured: Scores, text: Scores, seed: int = 0) -> Measured:
    """0..1. Scores are 1 for right and 0 for wrong."""
    return _of_pairs(BOTH_RIGHT, pictured, text, lambda a, b: float(a == 1 and b == 1), seed)


def both_wrong(pictured: Scores, text: Scores, seed: int = 0) -> Measured:
    """0..1. Scores are 1 for right and 0 for wrong."""
    return _of_pairs(BOTH_WRONG, pictured, text, lambda a, b: float(a == 0 and b == 0), seed)


def rouge_both_retained(pictured: Scores, text: Scores, seed: int = 0) -> Measured:
    """0..1; 0 for a question whose scores are both 0."""
    return _of_pairs(ROUGE_RETAINED, pictured, text, lambda a, b: 2 * a * b / (a + b) if a + b else 0.0, seed)


def rouge_both_forgotten(pictured: Scores, text: Scores, seed: int = 0) -> Measured:
    """0..1; 0 for a question whose scores are both 0."""
    return _of_pairs(ROUGE_FORGOTTEN, pictured, text, lambda a, b: (a * a + b * b) / (a + b) if a + b else 0.0, seed)


def _of_pairs(
    metric: Metric, pictured: Scores, text: Scores, score: Callable[[float, float], float], seed: int
) -> Measured:
    pairs = zip(pictured, text, strict=True)
    return mean_of(metric, [None if a is None or b is None else score(a, b) for a, b in pairs], seed=seed)
