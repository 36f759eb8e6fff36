"""What the pages explain is complete: no method, metric or attack without its words, and no method without its formulas."""

from __future__ import annotations

from components.explained import FORMULAS, attacks, methods, metrics
from unlearn_core.evaluation.attacks import ATTACKS
from unlearn_core.evaluation.metrics import METRICS
from unlearn_core.methods import ALL_METHODS


def test_every_method_has_formulas_and_says_whose_they_are() -> None:
    assert FORMULAS.keys() == ALL_METHODS.keys()
    assert all(m.title in methods() for m in ALL_METHODS.values())
    for said in FORMULAS.values():
        assert all(any(mark in text for mark in ("[paper]", "[paper:", "[ours", "arXiv")) for _, text in said)


def test_every_metric_has_its_formula_direction_and_source() -> None:
    text = metrics()
    for metric in METRICS.values():
        assert f"**{metric.name}**" in text
        assert metric.formula in text
        assert metric.source in text
    assert text.count("better") >= len(METRICS)


def test_every_attack_says_what_it_does_and_what_it_needs() -> None:
    assert all(a.title in attacks() and a.tries in attacks() and a.access in attacks() for a in ATTACKS.values())
