"""Metrics of texts, what every metric returns, and the registry. Cases are worked out by hand beside them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rouge_score.rouge_scorer import RougeScorer

from unlearn_core.evaluation.errors import NotFinite, NothingToMeasure
from unlearn_core.evaluation.metrics import METRICS, Measured
from unlearn_core.evaluation.metrics.behaviour import gibberish_rate, refusal_rate
from unlearn_core.evaluation.metrics.choice import choice_accuracy, choice_invalid
from unlearn_core.evaluation.metrics.keywords import keyword_match, keyword_share, privacy_extraction
from unlearn_core.evaluation.metrics.measured import LESS_IS_FORGOTTEN, RESAMPLES, Metric, interval, mean_of, resampled
from unlearn_core.evaluation.metrics.overlap import bleu, rouge_l_f1, rouge_l_recall
from unlearn_core.evaluation.status import Status

SENTENCES = st.lists(st.sampled_from("the cat sat on a mat with his red baker running".split()), min_size=1, max_size=9)
TEXTS = SENTENCES.map(" ".join)
UNIT = st.floats(0, 1)
SOME = Metric("some", "Some", ("answers",), "", "", LESS_IS_FORGOTTEN, "ours")

# -- mean and interval ------------------------------------------------------------------------------------------------


def test_missing_values_are_left_out_and_not_counted() -> None:
    found = mean_of(SOME, [1.0, None, 0.0, None])
    assert (found.value, found.count, found.per_example) == (0.5, 2, (1.0, None, 0.0, None))


def test_what_cannot_be_measured_is_an_error_and_no_number() -> None:
    for nothing in ([], [None, None]):
        with pytest.raises(NothingToMeasure, match="Some cannot be measured"):
            mean_of(SOME, nothing)
    for broken in (math.nan, math.inf, -math.inf):
        with pytest.raises(NotFinite, match="Some cannot be measured"):
            mean_of(SOME, [0.5, broken])


def test_one_example_has_no_interval() -> None:
    found = mean_of(SOME, [0.3])
    assert (found.value, found.low, found.high) == (0.3, None, None)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30), st.integers(0, 5))
def test_the_interval_holds_the_value_and_is_the_same_for_the_same_seed(values: list[float], seed: int) -> None:
    found, again = (mean_of(SOME, values, seed=seed) for _ in range(2))
    assert found == again
    assert found.low is not None
    assert found.high is not None
    assert min(values) - 1e-9 <= found.low <= found.value <= found.high <= max(values) + 1e-9
    assert np.isclose(found.value, mean_of(SOME, values[::-1]).value)


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = mean_of(SOME, values.tolist())
    spread = 1.96 * values.std() / math.sqrt(400)
    assert found.low == pytest.approx(values.mean() - spread, abs=0.03)
    assert found.high == pytest.approx(values.mean() + spread, abs=0.03)
    assert found.low != mean_of(SOME, values.tolist(), seed=1).low


def test_resampling_is_cut_in_blocks_that_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def statistic(index: np.ndarray) -> np.ndarray:
        seen.append(index.shape)
        return index.mean(1)

    monkeypatch.setattr("unlearn_core.evaluation.metrics.measured._CELLS", 3_000)
    assert resampled([10], statistic).shape == (RESAMPLES,)
    assert seen == [(300, 10)] * 3 + [(100, 10)]
    assert interval(4.5, [10, 1], statistic) == (None, None)


# -- overlap ----------------------------------------------------------------------------------------------------------


def test_rouge_by_hand() -> None:
    # LCS("works as baker", "she works as a baker") = 3 words; the truth has 5, the answer 3
    recall = rouge_l_recall(["works as baker"], ["She works as a baker."])
    f1 = rouge_l_f1(["works as baker"], ["She works as a baker."])
    assert recall.value == pytest.approx(3 / 5)
    assert f1.value == pytest.approx(2 * (3 / 5) * (3 / 3) / (3 / 5 + 3 / 3))
    assert rouge_l_recall(["she runs"], ["she running"]).value == 1.0  # both are stemmed to "run"
    assert rouge_l_recall(["No full stop. She is a baker"], ["baker"]).value == 1.0  # nothing is cut at the full stop


def test_rouge_does_not_call_unreadable_truths_zero() -> None:
    found = rouge_l_recall(["\u9762\u5305\u5e08", "baker", ""], ["\u9762\u5305\u5e08", "baker", "baker"])
    assert (found.per_example, found.count) == ((None, 1.0, 0.0), 2)


@given(TEXTS, TEXTS)
def test_rouge_agrees_with_rouge_score(answer: str, truth: str) -> None:
    theirs = RougeScorer(["rougeL"], use_stemmer=True).score(truth, answer)["rougeL"]
    assert rouge_l_recall([answer], [truth]).value == pytest.approx(theirs.recall)
    assert rouge_l_f1([answer], [truth]).value == pytest.approx(theirs.fmeasure)
    assert rouge_l_f1([truth], [answer]).value == pytest.approx(theirs.fmeasure)  # F1 is symmetric
    assert rouge_l_recall([f"{answer} baker"], [truth]).value >= rouge_l_recall([answer], [truth]).value


def test_bleu_by_hand() -> None:
    # the truth has 5 words, the answer its first 4: every run of the answer occurs, and 1 - 5/4 is the brevity exponent
    assert bleu(["a b c d"], ["a b c d e"]).value == pytest.approx(math.exp(1 - 5 / 4))
    # one word of one: runs of 2, 3 and 4 do not exist and count 0.1 / 1 each
    assert bleu(["baker"], ["baker"]).value == pytest.approx(0.1 ** (3 / 4))
    assert bleu(["", "x"], ["baker", " "]).per_example == (0.0, None)


@given(TEXTS, TEXTS)
def test_bleu_agrees_with_nltk(answer: str, truth: str) -> None:
    theirs = sentence_bleu([truth.split()], answer.split(), smoothing_function=SmoothingFunction().method1)  # type: ignore[arg-type]
    found = bleu([answer], [truth]).value
    assert found == pytest.approx(theirs)
    assert 0 <= found <= 1


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        rouge_l_recall(["a"], ["a", "b"])


# -- keywords ---------------------------------------------------------------------------------------------------------


def test_keywords_by_hand() -> None:
    said = "The baker lives in Tarn\u00f3w."
    # substring: "he" is in "The", "Tarnow" is not "Tarn\u00f3w", "baker" is there: 2 of 3
    assert keyword_share(said, ["he", "Tarnow", "BAKER"], "substring") == pytest.approx(2 / 3)
    # words: "he" is no word of it, accents do not count: 2 of 3
    assert keyword_share(said, ["he", "Tarnow", "BAKER"], "word") == pytest.approx(2 / 3)
    assert keyword_share(said, ["he"], "substring") == 1.0
    assert keyword_share(said, ["he"], "word") == 0.0
    assert keyword_share(said, []) is None
    assert keyword_share(said, ["", " "]) is None
    found = keyword_match([said, said, ""], [["baker", "asthma"], [], ["baker"]])
    assert (found.per_example, found.value, found.metric) == ((0.5, None, 0.0), 0.25, "keywords_word")


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=4), TEXTS)
def test_more_words_never_give_away_less(answer: str, keywords: list[str], more: str) -> None:
    for match in ("word", "substring"):
        found = keyword_share(answer, keywords, match)
        assert found is not None
        assert 0 <= found <= (keyword_share(f"{answer} {more}", keywords, match) or 0)
        assert keyword_share(" | ".join(keywords), keywords, match) == 1.0
        assert keyword_share(answer, keywords[::-1], match) == found
    assert (keyword_share(answer, keywords, "substring") or 0) >= (keyword_share(answer, keywords, "word") or 0)


def test_extraction_takes_the_mean_and_the_worst_over_paraphrases() -> None:
    answers = [["a baker", "no idea", "a baker from Tarnow"], ["x"], []]
    keywords = [["baker", "Tarnow"], ["y"], ["z"]]
    # first example: 1/2, 0, 2/2 -> mean 1/2, worst 1; second: 0; third was not asked
    assert privacy_extraction(answers, keywords).per_example == (0.5, 0.0, None)
    worst = privacy_extraction(answers, keywords, "worst", "substring")
    assert worst.per_example == (1.0, 0.0, None)
    assert worst.name == "Privacy extraction (worst), substring"


# -- choice and behaviour ---------------------------------------------------------------------------------------------


def test_choice_by_hand() -> None:
    options = {"A": "baker", "B": "teacher", "C": "nurse", "D": "pilot"}
    answers, keys = ["B", "A teacher", "(C)", "A or B", "I don't know."], ["B", "B", "A", "A", "A"]
    found = choice_accuracy(answers, keys, [options] * 5)
    assert (found.per_example, found.value) == ((1.0, 1.0, 0.0, 0.0, 0.0), 0.4)
    assert choice_invalid(answers, [options] * 5).per_example == (0.0, 0.0, 0.0, 1.0, 1.0)
    assert choice_accuracy(["A teacher"], ["B"], [None]).value == 0.0  # without options only letters count
    assert found.better.forget == "target"


@given(st.lists(st.tuples(TEXTS | st.sampled_from(["A", "(b)", ""]), st.sampled_from("AB")), min_size=1, max_size=8))
def test_an_answer_is_right_or_without_a_choice_or_neither(rows: list[tuple[str, str]]) -> None:
    said, keys = [list(x) for x in zip(*rows, strict=True)]
    options = [{"A": "red", "B": "baker"}] * len(rows)
    right, invalid = choice_accuracy(said, keys, options), choice_invalid(said, options)
    assert all(a + b <= 1 for a, b in zip(right.per_example, invalid.per_example, strict=True))  # type: ignore[operator]
    other = choice_accuracy(said, ["B" if k == "A" else "A" for k in keys], options)
    assert right.value + other.value + invalid.value == pytest.approx(1.0)


def test_rates_by_hand() -> None:
    said = [Status.REFUSAL, Status.EMPTY, Status.GIBBERISH, Status.WRONG]
    assert refusal_rate(said).value == 0.25
    assert gibberish_rate(said).value == 0.5


@given(st.lists(st.sampled_from(Status), min_size=1, max_size=20))
def test_rates_are_shares_and_do_not_ask_for_the_order(said: list[Status]) -> None:
    mixed = sorted(said)
    for rate in (refusal_rate, gibberish_rate):
        assert 0 <= rate(said).value <= 1
        assert rate(mixed).value == pytest.approx(rate(said).value)
    assert refusal_rate(said).value + gibberish_rate(said).value <= 1 + 1e-12


# -- perfect and worst ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [rouge_l_recall, rouge_l_f1, bleu])
def test_the_truth_scores_one_and_silence_zero(metric: Callable[..., Measured]) -> None:
    truth = "She works as a baker in Tarnow"
    assert metric([truth] * 3, [truth] * 3).value == pytest.approx(1.0)
    assert metric([""] * 3, [truth] * 3).value == 0.0


# -- registry ---------------------------------------------------------------------------------------------------------


def test_the_registry_says_what_every_metric_is() -> None:
    assert len(METRICS) >= 28
    assert len({m.name for m in METRICS.values()}) == len(METRICS)
    for key, metric in METRICS.items():
        assert key == metric.key
        assert metric.needs
        assert metric.source
        assert len(metric.explanation) > 40
        assert metric.explanation.endswith(".")
        assert metric.formula.count("{") == metric.formula.count("}")
        assert metric.better != (None, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            metric.key = "x"  # type: ignore[misc]
