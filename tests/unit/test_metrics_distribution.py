"""Distance to a retain-only model, and utility. Cases are worked out by hand beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import hmean, ks_2samp

from unlearn_core.evaluation.errors import NotFinite, NothingToMeasure
from unlearn_core.evaluation.metrics import Measured
from unlearn_core.evaluation.metrics.distribution import forget_quality, jensen_shannon
from unlearn_core.evaluation.metrics.likelihood import loss, probability
from unlearn_core.evaluation.metrics.utility import model_utility

RATIOS = st.lists(st.floats(-5, 5), min_size=1, max_size=30)


def part(*probabilities: float) -> Measured:
    return probability([[math.log(p)] for p in probabilities])


# -- distribution -----------------------------------------------------------------------------------------------------


def test_forget_quality_by_hand() -> None:
    # all of one model's ratios lie below the other's: D = 1; of the C(6, 3) = 20 orders 2 are as extreme: p = 0.1
    p, d = forget_quality([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert (p.value, d.value) == (pytest.approx(0.1), 1.0)
    p, d = forget_quality([1.0, None, 2.0], [2.0, 1.0])
    assert (p.value, d.value, p.count, p.per_example) == (1.0, 0.0, 2, (1.0, None, 2.0))
    assert (p.low, p.high, p.better.forget, d.better.forget) == (None, None, "higher", "lower")


@given(RATIOS, RATIOS)
def test_forget_quality_agrees_with_scipy_and_is_symmetric(unlearned: list[float], gold: list[float]) -> None:
    p, d = forget_quality(unlearned, gold)
    theirs = ks_2samp(unlearned, gold)
    assert p.value == pytest.approx(theirs.pvalue)
    assert d.value == pytest.approx(theirs.statistic)
    back = forget_quality(gold, unlearned)
    assert [m.value for m in back] == pytest.approx([p.value, d.value])
    assert 0 <= p.value <= 1
    assert 0 <= d.value <= 1


def test_more_questions_lower_p_but_not_d() -> None:
    few = forget_quality([0.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    many = forget_quality([0.0, 1.0, 2.0] * 50, [1.0, 2.0, 3.0] * 50)
    assert many[0].value < few[0].value
    assert many[1].value == pytest.approx(few[1].value)


def test_jensen_shannon_by_hand() -> None:
    assert jensen_shannon([0.0, 0.1], [9.0, 10.0]).value == pytest.approx(1.0)
    # bins of half the range: P = (1, 0), Q = (1/2, 1/2), M = (3/4, 1/4)
    divergence = 0.5 * math.log2(1 / 0.75) + 0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25))
    assert jensen_shannon([0.0, 1.0], [0.0, 10.0], bins=2).value == pytest.approx(math.sqrt(divergence))
    assert jensen_shannon([3.0], [3.0, 3.0]).value == 0.0


@given(RATIOS, RATIOS)
def test_jensen_shannon_agrees_with_scipy_and_is_symmetric(unlearned: list[float], gold: list[float]) -> None:
    found = jensen_shannon(unlearned, gold).value
    edges = np.histogram_bin_edges(unlearned + gold, 50)
    p, q = np.histogram(unlearned, edges)[0], np.histogram(gold, edges)[0]
    theirs = float(jensenshannon(p, q, base=2))
    assert found == pytest.approx(0.0 if math.isnan(theirs) else theirs, abs=1e-7)
    assert jensen_shannon(gold, unlearned).value == pytest.approx(found, abs=1e-7)
    assert jensen_shannon(unlearned, unlearned[::-1] * 3).value == pytest.approx(0.0, abs=1e-7)
    assert 0 <= found <= 1


@pytest.mark.parametrize("metric", [forget_quality, jensen_shannon])
def test_distances_need_both_models(metric) -> None:
    for one, other in (([], [1.0]), ([1.0], [None])):
        with pytest.raises(NothingToMeasure):
            metric(one, other)
    with pytest.raises(NotFinite):
        metric([math.nan], [1.0])


# -- utility ----------------------------------------------------------------------------------------------------------


def test_utility_by_hand() -> None:
    # 3 / (1/0.5 + 1/0.25 + 1/1) = 3/7
    found = model_utility([part(0.5, 0.5), part(0.25), part(1.0)])
    assert found.value == pytest.approx(3 / 7)
    assert found.per_example == pytest.approx((0.5, 0.25, 1.0))
    assert (found.low, found.high) == (None, None)  # two parts have one example each


def test_one_zero_makes_it_zero() -> None:
    nothing = probability([[-1000.0], [-1000.0]])
    assert nothing.value == 0.0
    assert model_utility([part(0.9, 0.8), nothing]).value == 0.0


def test_only_shares_that_are_better_high_can_be_part() -> None:
    with pytest.raises(NothingToMeasure):
        model_utility([])
    with pytest.raises(ValueError, match="LOSS"):
        model_utility([loss([[-0.5]])])


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), min_size=1, max_size=5))
def test_utility_agrees_with_scipy(parts: list[list[float]]) -> None:
    measured = [part(*p) for p in parts]
    found = model_utility(measured)
    means = [m.value for m in measured]
    assert found.value == pytest.approx(hmean(means))
    assert min(means) - 1e-9 <= found.value <= np.mean(means) + 1e-9
    assert model_utility(measured[::-1]).value == pytest.approx(found.value)
    assert found == model_utility(measured)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
