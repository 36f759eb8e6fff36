"""Metrics of probabilities: likelihood, memory, membership. Cases are worked out by hand beside them."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from unlearn_core.evaluation.errors import NotFinite, NothingToMeasure
from unlearn_core.evaluation.metrics.likelihood import (
    log_probability,
    log_truth_ratio,
    loss,
    normalised_probability,
    probability,
    truth_ratio_forget,
    truth_ratio_retain,
)
from unlearn_core.evaluation.metrics.membership import (
    LOSS_AUC,
    MIN_K,
    loss_score,
    membership_auc,
    min_k,
    min_k_mix,
    min_k_plus_plus,
    priv_leak,
    tpr_at_fpr,
    zlib_score,
)
from unlearn_core.evaluation.metrics.memory import exact_memorisation, extraction_strength

TOKENS = st.lists(st.floats(-50, 0), min_size=1, max_size=12)
ANSWERS = st.lists(TOKENS, min_size=1, max_size=5)
SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=25)  # few values, so that there are ties
HITS = st.lists(st.booleans(), min_size=1, max_size=15)
HALF, QUARTER, EIGHTH = (math.log(p) for p in (0.5, 0.25, 0.125))


# -- probability ------------------------------------------------------------------------------------------------------


def test_probability_and_loss_by_hand() -> None:
    # P = (1/2 * 1/8) ** (1/2) = 1/4; loss = ln 4
    assert probability([[HALF, EIGHTH]]).value == pytest.approx(0.25)
    assert loss([[HALF, EIGHTH]]).value == pytest.approx(math.log(4))
    assert probability([[HALF], [], [0.0]]).per_example == (pytest.approx(0.5), None, 1.0)
    with pytest.raises(NotFinite):
        probability([[HALF, -math.inf]])


def test_normalised_probability_by_hand() -> None:
    # 1/2 against 1/4 and 1/4: 0.5 / (0.5 + 0.25 + 0.25)
    assert normalised_probability([[HALF]], [[[QUARTER], [HALF, EIGHTH]]]).value == pytest.approx(0.5)
    assert normalised_probability([[HALF], [HALF]], [[], [[HALF]]]).per_example == (None, pytest.approx(0.5))


def test_nothing_underflows() -> None:
    # exp(-2000) is 0 in floating point, yet 2000 nats against 2001 is 1 / (1 + 1/e)
    assert normalised_probability([[-2000.0]], [[[-2001.0]]]).value == pytest.approx(1 / (1 + math.exp(-1)))
    ratio = log_truth_ratio([-1.0], [[-2000.0]], "right/wrong")
    assert ratio == pytest.approx(1999.0)
    assert truth_ratio_forget([ratio]).value == 0.0
    assert truth_ratio_retain([ratio], "right/wrong").value == 1.0


@given(TOKENS, ANSWERS)
def test_normalised_probability_is_a_share(true: list[float], perturbed: list[list[float]]) -> None:
    found = normalised_probability([true], [perturbed]).value
    assert 0 <= found <= 1
    assert normalised_probability([true], [perturbed[::-1]]).value == pytest.approx(found)
    assert normalised_probability([true], [[*perturbed, true]]).value <= found + 1e-12
    assert normalised_probability([true], [[true] * 3]).value == pytest.approx(1 / 4)
    assert loss([true]).value == pytest.approx(-math.log(probability([true]).value), abs=1e-9)


# -- truth ratio ------------------------------------------------------------------------------------------------------


def test_truth_ratio_by_hand() -> None:
    # right 1/2; wrong 1/4 and 1/8, geometric mean (1/32) ** (1/2); R = (1/2) * 32 ** (1/2) = 2 * 2 ** (1/2)
    ratio = log_truth_ratio([HALF], [[QUARTER], [EIGHTH]], "right/wrong")
    assert ratio == pytest.approx(math.log(2 * math.sqrt(2)))
    assert truth_ratio_forget([ratio]).value == pytest.approx(1 / (2 * math.sqrt(2)))
    assert truth_ratio_retain([ratio], "right/wrong").value == pytest.approx(1 - 1 / (2 * math.sqrt(2)))


def test_a_truth_that_is_not_preferred_has_no_retain_score() -> None:
    ratio = log_truth_ratio([EIGHTH], [[HALF]], "right/wrong")  # R = 1/4
    assert truth_ratio_retain([ratio], "right/wrong").value == 0.0
    assert truth_ratio_forget([ratio]).value == pytest.approx(0.25)
    assert log_truth_ratio([], [[HALF]], "right/wrong") is None
    assert log_truth_ratio([HALF], [], "right/wrong") is None
    assert truth_ratio_forget([None, 0.0]).per_example == (None, 1.0)


@given(TOKENS, ANSWERS)
def test_orientation_is_told_and_then_makes_no_difference(right: list[float], wrong: list[list[float]]) -> None:
    one = log_truth_ratio(right, wrong, "right/wrong")
    other = log_truth_ratio(right, wrong, "wrong/right")
    assert one is not None
    assert other == -one
    assert truth_ratio_forget([one]).value == truth_ratio_forget([other]).value
    assert truth_ratio_retain([one], "right/wrong").value == truth_ratio_retain([other], "wrong/right").value
    assert 0 <= truth_ratio_forget([one]).value <= 1
    assert 0 <= truth_ratio_retain([one], "right/wrong").value <= 1
    # and told wrongly it does: a preferred truth would count as not preferred
    if one > 1e-6:
        assert truth_ratio_retain([one], "wrong/right").value == 0 < truth_ratio_retain([one], "right/wrong").value


# -- memory -----------------------------------------------------------------------------------------------------------


def test_memory_by_hand() -> None:
    # 3 of 5 tokens hit; the last two follow, so 3 of 5 have to be given: 1 - 3/5
    hits = [True, False, False, True, True]
    assert exact_memorisation([hits]).value == pytest.approx(3 / 5)
    assert extraction_strength([hits]).value == pytest.approx(1 - 3 / 5)
    assert extraction_strength([[True] * 4]).value == 1.0
    assert extraction_strength([[True, True, False]]).value == 0.0  # not 1/3
    assert exact_memorisation([[], [True]]).per_example == (None, 1.0)
    assert extraction_strength([[], [True]]).per_example == (None, 1.0)


@given(HITS)
def test_what_comes_out_at_the_end_is_part_of_what_is_hit(hits: list[bool]) -> None:
    strength = extraction_strength([hits]).value
    assert 0 <= strength <= exact_memorisation([hits]).value <= 1
    k = round((1 - strength) * len(hits))
    assert all(hits[k:])
    assert k == 0 or not hits[k - 1]


# -- scores -----------------------------------------------------------------------------------------------------------


def test_min_k_by_hand() -> None:
    # 20 % of 6 is 1.2, so K = 2; 20 % of 5 is 1 exactly, so K = 1; at least one token of a short answer
    assert min_k([-1.0, -5.0, -2.0, -4.0, -3.0, 0.0]) == pytest.approx((-5 - 4) / 2)
    assert min_k([-1.0, -5.0, -2.0, -4.0, -3.0]) == -5.0
    assert min_k([-1.0]) == -1.0
    assert min_k([-1.0, -3.0], share=1.0) == pytest.approx(loss_score([-1.0, -3.0]))
    assert min_k([]) is None


def test_the_mixture_of_min_k_by_hand() -> None:
    # six tokens: 10 % is no whole token and left out; 20 % and 30 % are one, 40 % two, 50 % three
    tokens = [math.log(p) for p in (0.1, 0.4, 0.9, 0.9, 0.9, 0.9)]
    two, three = math.sqrt(0.1 * 0.4), (0.1 * 0.4 * 0.9) ** (1 / 3)
    found = min_k_mix([tokens, tokens[:1], []])
    assert found.per_example == (pytest.approx((0.5 * 0.1 + 0.1 * two + 0.1 * three) / 0.7), None, None)


@given(TOKENS)
def test_the_mixture_lies_between_the_least_and_the_most_probable_token(tokens: list[float]) -> None:
    if len(tokens) < 2:
        return
    found = min_k_mix([tokens]).value
    assert math.exp(min(tokens)) - 1e-9 <= found <= math.exp(max(tokens)) + 1e-9
    assert min_k_mix([tokens[::-1]]).value == pytest.approx(found)


def test_min_k_plus_plus_by_hand() -> None:
    # z = (-1 + 3) / 2 = 1 and (-5 + 2) / 1 = -3: the lowest
    assert min_k_plus_plus([-1.0, -5.0], [-3.0, -2.0], [2.0, 1.0]) == pytest.approx(-3.0)
    assert min_k_plus_plus([-1.0], [-1.0], [0.0]) == 0.0  # no spread: nothing else was possible
    assert min_k_plus_plus([], [], []) is None
    with pytest.raises(ValueError, match="each token"):
        min_k_plus_plus([-1.0], [-1.0, -1.0], [1.0])


def test_zlib_by_hand() -> None:
    text = "baker baker baker baker"
    assert zlib_score([-2.0, -4.0], text) == pytest.approx(-3.0 / len(zlib.compress(text.encode())))
    assert zlib_score([], text) is None


@given(TOKENS, st.floats(0.05, 1))
def test_min_k_lies_between_the_lowest_and_the_mean(tokens: list[float], share: float) -> None:
    found = min_k(tokens, share)
    assert found is not None
    assert min(tokens) - 1e-9 <= found <= np.mean(tokens) + 1e-9
    assert found == pytest.approx(min_k(tokens[::-1], share))
    scaled = min_k_plus_plus(tokens, [0.0] * len(tokens), [2.0] * len(tokens), share)
    assert scaled == pytest.approx(found / 2)


# -- telling members from strangers -----------------------------------------------------------------------------------


def test_auc_by_hand() -> None:
    # members 1, 3 against strangers 0, 1, 2: above 1.5 of 3 (one tie) and 3 of 3: 4.5 of 6 pairs
    found = membership_auc(MIN_K, [1.0, None, 3.0], [0.0, 1.0, None, 2.0])
    assert found.value == pytest.approx(4.5 / 6)
    assert (found.count, found.per_example, found.better.forget) == (2, (1.0, None, 3.0), "target")
    for members, strangers in (([], [1.0]), ([1.0], [None])):
        with pytest.raises(NothingToMeasure):
            membership_auc(LOSS_AUC, members, strangers)


@given(SCORES, SCORES)
def test_auc_agrees_with_scikit_learn(members: list[float], strangers: list[float]) -> None:
    labels = [1] * len(members) + [0] * len(strangers)
    found = membership_auc(LOSS_AUC, members, strangers)
    assert found.value == pytest.approx(roc_auc_score(labels, members + strangers))
    assert membership_auc(LOSS_AUC, strangers, members).value == pytest.approx(1 - found.value)
    assert (
        membership_auc(LOSS_AUC, [math.exp(m) for m in members], [math.exp(s) for s in strangers]).value == found.value
    )
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1


@given(SCORES, SCORES, st.sampled_from([0.01, 0.1, 0.5, 1.0]))
def test_tpr_agrees_with_scikit_learn(members: list[float], strangers: list[float], limit: float) -> None:
    labels = [1] * len(members) + [0] * len(strangers)
    fpr, tpr, _ = roc_curve(labels, members + strangers, drop_intermediate=False)
    assert tpr_at_fpr(members, strangers, limit).value == pytest.approx(tpr[fpr <= limit + 1e-12].max())


def test_tpr_by_hand() -> None:
    strangers = [float(i) for i in range(100)]  # one of them may pass: the threshold is 98
    assert tpr_at_fpr([97.0, 98.0, 98.5, 100.0], strangers).per_example == (0.0, 0.0, 1.0, 1.0)
    assert tpr_at_fpr([98.5, 99.5], [*strangers[:99], 99.0, 99.2], of="Min-20%").value == 0.5
    assert tpr_at_fpr([1.0, 2.0], [1.0, 0.0], of="Min-20%").name == "Min-20% TPR at 1 % FPR"


def test_resampled_auc_has_the_spread_of_theory() -> None:
    rng = np.random.default_rng(0)
    members, strangers = rng.normal(0.5, 1, 300), rng.normal(0, 1, 300)
    found = membership_auc(LOSS_AUC, members.tolist(), strangers.tolist())
    assert found.low is not None
    assert found.high is not None
    a = found.value  # Hanley and McNeil 1982
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = math.sqrt((a * (1 - a) + 299 * (q1 - a * a) + 299 * (q2 - a * a)) / 300**2)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.15)
    assert found == membership_auc(LOSS_AUC, members.tolist(), strangers.tolist())


def test_priv_leak_by_hand() -> None:
    fair = ([1.0, 2.0], [1.0, 2.0])  # AUC 1/2
    known, hidden = ([3.0, 4.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 4.0])  # AUC 1 and 0
    # ((1 - 1) - (1 - 1/2)) / (1 - 1/2) = -1: nothing was forgotten; ((1 - 0) - 1/2) / (1/2) = +1: too much
    assert priv_leak(*known, *fair).value == pytest.approx(-100)
    assert priv_leak(*hidden, *fair).value == pytest.approx(100)
    assert priv_leak(*fair, *fair).value == 0.0
    with pytest.raises(NothingToMeasure, match="retain-only"):
        priv_leak(*fair, *known)
    found = priv_leak(*fair, *fair)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


@settings(max_examples=25)
@given(SCORES, SCORES, SCORES, SCORES)
def test_priv_leak_has_the_sign_of_what_is_gone(a: list[float], b: list[float], c: list[float], d: list[float]) -> None:
    auc, reference = (float(np.mean([(m > s) + (m == s) / 2 for m in x for s in y])) for x, y in ((a, b), (c, d)))
    if reference == 1:
        return
    assert priv_leak(c, d, c, d).value == 0.0
    assert np.sign(round(priv_leak(a, b, c, d).value, 6)) == np.sign(round(reference - auc, 9))


@given(TOKENS, st.text(max_size=40))
def test_zlib_is_the_loss_score_made_smaller(tokens: list[float], text: str) -> None:
    score, plain = zlib_score(tokens, text), loss_score(tokens)
    assert score is not None
    assert plain is not None
    assert plain <= score <= 0
    assert score * len(zlib.compress(text.encode())) == pytest.approx(plain)


def test_log_probability_of_nothing_is_missing() -> None:
    assert log_probability([]) is None
