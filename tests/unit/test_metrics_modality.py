"""Metrics of the same question asked with and without the picture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_core.evaluation.metrics.modality import both_right, both_wrong, rouge_both_forgotten, rouge_both_retained

SHARES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8)


def test_both_ways_by_hand() -> None:
    pictured, text = [1.0, 1.0, 0.0, 0.0, None], [1.0, 0.0, 1.0, 0.0, 1.0]
    assert both_right(pictured, text).per_example == (1.0, 0.0, 0.0, 0.0, None)
    assert both_wrong(pictured, text).per_example == (0.0, 0.0, 0.0, 1.0, None)


def test_rouge_of_both_ways_by_hand() -> None:
    # 2 * 0.5 * 0.25 / 0.75 = 1/3 and (0.25 + 0.0625) / 0.75 = 5/12; nothing on either side is 0
    pictured, text = [0.5, 0.0], [0.25, 0.0]
    assert rouge_both_retained(pictured, text).per_example == (pytest.approx(1 / 3), 0.0)
    assert rouge_both_forgotten(pictured, text).per_example == (pytest.approx(5 / 12), 0.0)


@given(SHARES)
def test_the_retain_form_is_near_the_lower_score_and_the_forget_form_near_the_higher(
    pairs: list[tuple[float, float]],
) -> None:
    a, b = ([pair[i] for pair in pairs] for i in (0, 1))
    kept, leaked = rouge_both_retained(a, b), rouge_both_forgotten(a, b)
    for low, high, one, two in zip(map(min, pairs), map(max, pairs), kept.per_example, leaked.per_example, strict=True):
        assert one is not None
        assert two is not None
        assert low - 1e-9 <= one <= (low + high) / 2 + 1e-9 <= two + 2e-9 <= high + 3e-9
    assert rouge_both_retained(b, a).value == pytest.approx(kept.value)
    assert rouge_both_forgotten(b, a).value == pytest.approx(leaked.value)
