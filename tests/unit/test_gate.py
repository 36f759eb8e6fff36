"""The gate: false alarms stay at the stated rate, and one subject's gate does not depend on the others'."""

from __future__ import annotations

import pytest
import torch

from unlearn_core.methods.cagul.gate import Gate, calibrate, fit_gate, token_statistics
from unlearn_core.methods.cagul.module import TokenEncoder, choose_tokens


def clouds(seed: int, count: int, centre: float) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 24, generator=g)
    x[:, 0] += centre
    return x


def test_token_statistics() -> None:
    tokens = torch.tensor([[1.0, 4.0], [3.0, 0.0]])
    assert token_statistics(tokens).tolist() == [2, 2, 3, 4, 1, 0, 1, 2]


@pytest.mark.parametrize("hidden", [0, 8])
def test_false_alarms_on_unseen_negatives_stay_near_the_stated_rate(hidden: int) -> None:
    gate = fit_gate([clouds(1, 60, 4)], clouds(2, 300, 0), hidden)
    measured = calibrate(gate, clouds(3, 60, 4), clouds(4, 400, 0), 0.05)
    assert measured["false_alarms"] <= 0.05
    fresh = float((gate.scores(clouds(5, 4000, 0)).amax(1) >= gate.threshold).float().mean())
    assert fresh <= 0.08
    caught = float((gate.scores(clouds(6, 500, 4)).amax(1) >= gate.threshold).float().mean())
    assert caught > 0.6


def test_threshold_moves_between_well_separated_classes() -> None:
    gate = fit_gate([clouds(1, 60, 30)], clouds(2, 300, 0), 0)
    measured = calibrate(gate, clouds(3, 60, 30), clouds(4, 400, 0), 0.05)
    assert measured["false_alarms"] == 0
    assert measured["caught"] > 0.95


def test_flags_use_the_highest_subject() -> None:
    gate = Gate(8, 2, 0)
    with torch.no_grad():
        gate.first[1, 0, 0] = 1.0
    gate.threshold.fill_(0.5)
    assert gate.flags([torch.ones(3, 2), torch.zeros(3, 2)]).tolist() == [True, False]


def test_encoder_starts_as_identity() -> None:
    tokens = torch.randn(5, 16)
    assert torch.equal(TokenEncoder(16, 8)(tokens), tokens)


@pytest.mark.parametrize(("select", "expected"), [("lowest", {0, 1}), ("highest", {2, 3})])
def test_choose_tokens(select: str, expected: set[int]) -> None:
    assert set(choose_tokens(torch.tensor([0.1, 0.2, 0.3, 0.4]), 0.5, select).tolist()) == expected


def test_random_choice_is_the_same_every_time_and_ignores_the_scores() -> None:
    one, two = choose_tokens(torch.rand(64), 0.25, "random"), choose_tokens(torch.rand(64), 0.25, "random")
    assert one.tolist() == two.tolist()
    assert len(set(one.tolist())) == 16
