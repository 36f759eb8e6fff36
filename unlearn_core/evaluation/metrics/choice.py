"""Multiple choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearn_core.evaluation.forms import chosen_letter
from unlearn_core.evaluation.metrics.measured import Better, Measured, Metric, mean_of

CHOICE_ACCURACY = Metric(
    "choice_accuracy",
    "Multiple-choice accuracy",
    ("options",),
    "Share of questions where the right option is picked, by its letter or in its words. Answers that pick none or several "
    "count as wrong: read it beside their rate. On questions to forget the aim is chance (25 % of four), not 0: below "
    "chance the model avoids the right option, so it still knows it.",
    r"\frac{1}{N}\sum[\mathrm{picked}=\mathrm{key}]",
    Better("target", "higher"),
    "MLLMU-Bench, UMU-bench; reading of answers ours",
)
CHOICE_INVALID = Metric(
    "choice_invalid",
    "Multiple-choice answers without a choice",
    ("options",),
    "Share of answers that pick no option or several.",
    r"\frac{1}{N}\sum[\mathrm{picked}=\varnothing]",
    Better("lower", "lower"),
    "ours",
)

Options = Mapping[str, str]
"""Text of each letter."""


def choice_accuracy(
    answers: Sequence[str], keys: Sequence[str], options: Sequence[Options | None], seed: int = 0
) -> Measured:
    """Share of right picks, 0..1, invalid answers counting as wrong.

    Args:
        keys: the right letters.
        options: per question; None means the letters A to D without texts.
    """
    picked = [chosen_letter(a, o) for a, o in zip(answers, options, strict=True)]
    return mean_of(CHOICE_ACCURACY, [float(p == k) for p, k in zip(picked, keys, strict=True)], seed=seed)


def choice_invalid(answers: Sequence[str], options: Sequence[Options | None], seed: int = 0) -> Measured:
    """Share of answers that pick no option or several, 0..1."""
    return mean_of(
        CHOICE_INVALID, [float(chosen_letter(a, o) is None) for a, o in zip(answers, options, strict=True)], seed=seed
    )
