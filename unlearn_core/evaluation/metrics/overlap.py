"""How much of the true answer's wording an answer repeats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from unlearn_core.evaluation.metrics.measured import LESS_IS_FORGOTTEN, Measured, Metric, mean_of

if TYPE_CHECKING:  # imported where it is used, so that the page opens sooner
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

ROUGE_RECALL = Metric(
    "rouge_l_recall",
    "ROUGE-L recall",
    ("answers",),
    "Share of the true answer's words that the answer repeats in the same order. Length costs nothing: an answer that says "
    "everything scores 1. The whole answer counts; FIUBench cuts it at the first full stop. An answer without words scores "
    "0; a true answer without Latin letters or digits cannot be measured, since ROUGE reads nothing else.",
    r"\frac{\mathrm{LCS}(y, \hat y)}{|y|}",
    LESS_IS_FORGOTTEN,
    "FIUBench, CLEAR, TOFU",
)
ROUGE_F1 = Metric(
    "rouge_l_f1",
    "ROUGE-L F1",
    ("answers",),
    "Harmonic mean of the share of the true answer's words that the answer repeats in order and the share of the answer's "
    "words that are such repeats. Length costs.",
    r"\frac{2PR}{P+R},\quad R=\frac{\mathrm{LCS}(y,\hat y)}{|y|},\ P=\frac{\mathrm{LCS}(y,\hat y)}{|\hat y|}",
    LESS_IS_FORGOTTEN,
    "MLLMU-Bench, UMU-bench",
)
BLEU = Metric(
    "bleu",
    "BLEU (method 1)",
    ("answers",),
    "How many runs of one to four words the answer shares with the true one. Runs that do not occur count as a tenth of "
    "one. Beware of short answers: one right word out of one scores 0.18, because it has no runs of two, three and four.",
    r"\min\left(1, e^{1-|y|/|\hat y|}\right)\left(p_1 p_2 p_3 p_4\right)^{1/4}",
    LESS_IS_FORGOTTEN,
    "MLLMU-Bench",
)


@cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


@cache
def _tokenizer() -> DefaultTokenizer:
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=True)


def rouge_l_recall(answers: Sequence[str], truths: Sequence[str], seed: int = 0) -> Measured:
    """0..1, from `rouge_score` with its stemmer; None for truths without a word that ROUGE can read."""
    return mean_of(ROUGE_RECALL, [_rouge(a, t, "recall") for a, t in zip(answers, truths, strict=True)], seed=seed)


def rouge_l_f1(answers: Sequence[str], truths: Sequence[str], seed: int = 0) -> Measured:
    """0..1, as `rouge_l_recall`."""
    return mean_of(ROUGE_F1, [_rouge(a, t, "fmeasure") for a, t in zip(answers, truths, strict=True)], seed=seed)


def _rouge(answer: str, truth: str, part: str) -> float | None:
    if not _tokenizer().tokenize(truth):
        return None
    return float(getattr(_scorer().score(truth, answer)["rougeL"], part))


def bleu(answers: Sequence[str], truths: Sequence[str], seed: int = 0) -> Measured:
    """0..1, sentence by sentence, words set apart by spaces; None for an empty truth, 0 for an empty answer."""
    return mean_of(BLEU, [_bleu(a, t) for a, t in zip(answers, truths, strict=True)], seed=seed)


def _bleu(answer: str, truth: str) -> float | None:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    if not truth.split():
        return None
    return float(sentence_bleu([truth.split()], answer.split(), smoothing_function=SmoothingFunction().method1))  # type: ignore[arg-type]
