"""The gate: false alarms stay at the stated rate, one subject's gate does not depend on the others', and it is measured right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods.cagul.crossfit import calibrate, gate_from
from unlearn_core.methods.cagul.encoder import TokenEncoder, choose_tokens
from unlearn_core.methods.cagul.gate import Gate, fit_gate, token_statistics
from unlearn_core.methods.cagul.pictures import FOLDS, HARD_VIEWS, gate_shots, hard_shots, nearest_subjects
from unlearn_core.methods.cagul.roc import roc
from unlearn_core.methods.cagul.whitening import Whitening


def clouds(seed: int, count: int, centre: float, channel: int = 0) -> torch.Tensor:
    x = torch.randn(count, 24, generator=torch.Generator().manual_seed(seed))
    x[:, channel] += centre
    return x


def scores(gate: Gate, x: torch.Tensor) -> torch.Tensor:
    return gate.scores(x).amax(1)


def reading(features: int) -> Gate:
    """A gate whose score is the first feature."""
    gate = Gate(features, 1, 0)
    with torch.no_grad():
        gate.first[0, 0, 0] = 1.0
    return gate.requires_grad_(False)


def test_token_statistics() -> None:
    tokens = torch.tensor([[1.0, 4.0], [3.0, 0.0]])
    assert token_statistics(tokens).tolist() == [2, 2, 3, 4, 1, 0, 1, 2]


@pytest.mark.parametrize("hidden", [0, 8])
def test_false_alarms_on_unseen_negatives_stay_near_the_stated_rate(hidden: int) -> None:
    gate = fit_gate([clouds(1, 60, 4)], [clouds(2, 300, 0)], hidden)
    measured = calibrate(gate, scores(gate, clouds(3, 60, 4)), scores(gate, clouds(4, 400, 0)), 0.05)
    assert measured["false_alarms"] <= 0.05
    fresh = float((gate.scores(clouds(5, 4000, 0)).amax(1) >= gate.threshold).float().mean())
    assert fresh <= 0.08
    caught = float((gate.scores(clouds(6, 500, 4)).amax(1) >= gate.threshold).float().mean())
    assert caught > 0.6


@pytest.mark.parametrize(("count", "promised"), [(19, 0.1), (199, 0.1), (4, 0.2)])
def test_the_expected_rate_of_false_alarms_is_the_promised_one(count: int, promised: float) -> None:
    """Over many calibrations with few pictures each, as the conformal quantile has it; also where few cannot do better."""
    gate, fresh = reading(24), clouds(0, 4000, 0)
    rates = []
    for seed in range(1, 200):
        measured = calibrate(gate, torch.zeros(0), clouds(seed, count, 0)[:, 0], 0.1)
        rates.append(float((gate.margins(fresh) >= 0).float().mean()))
    assert measured["promised"] == pytest.approx(promised)
    assert measured["caught"] is None
    assert np.mean(rates) <= promised + 3 * np.std(rates) / len(rates) ** 0.5
    assert np.mean(rates) >= promised - 0.06


def test_threshold_moves_between_well_separated_classes() -> None:
    gate = fit_gate([clouds(1, 60, 30)], [clouds(2, 300, 0)], 0)
    measured = calibrate(gate, scores(gate, clouds(3, 60, 30)), scores(gate, clouds(4, 400, 0)), 0.05)
    assert measured["false_alarms"] == 0
    assert measured["caught"] > 0.95


@pytest.mark.parametrize("hidden", [0, 4])
def test_adding_a_subject_changes_no_other(hidden: int) -> None:
    one, other, negatives = clouds(1, 40, 4), clouds(2, 40, 4, channel=1), clouds(3, 200, 0)
    alone, both = fit_gate([one], [negatives], hidden), fit_gate([one, other], [negatives], hidden)
    fresh = clouds(4, 50, 2)
    assert torch.equal(alone.first[0], both.first[0])
    assert torch.allclose(alone.scores(fresh)[:, 0], both.scores(fresh)[:, 0], atol=1e-5)


def test_a_small_group_of_others_counts_as_much_as_a_large_one() -> None:
    """Few pictures of a kind that lies half way to the forgotten are not given up for many of another kind."""
    positives, many, few = clouds(1, 100, 3), clouds(2, 1000, -3), clouds(3, 30, 0)
    fresh = clouds(4, 400, 0)
    apart, mixed = (fit_gate([positives], groups, 0) for groups in ([many, few], [torch.cat([many, few])]))
    alarms, more = (float((gate.scores(fresh) > 0).float().mean()) for gate in (apart, mixed))
    assert alarms < 0.5 * more


def test_whitening_is_the_inverse_root_of_the_shrunk_correlations() -> None:
    x = clouds(1, 15, 0) @ clouds(2, 24, 0)  # fewer pictures than statistics
    x = (x - x.mean(0)) / x.std(0, correction=0)
    white = Whitening.of(x, 0.3)(torch.eye(24))
    square = torch.linalg.inv(white @ white)
    wanted = x.T @ x / len(x) + 0.3 * torch.eye(24)
    torch.testing.assert_close(square / square.trace(), wanted / wanted.trace(), atol=1e-4, rtol=1e-3)
    assert float(white.diagonal().mean()) == pytest.approx(1, rel=1e-4)


def test_flags_use_the_highest_subject() -> None:
    gate = Gate(8, 2, 0)
    with torch.no_grad():
        gate.first[1, 0, 0] = 1.0
    gate.threshold.fill_(0.5)
    assert gate.flags([torch.ones(3, 2), torch.zeros(3, 2)]).tolist() == [True, False]


# -- measuring --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
def test_roc_is_that_of_scikit_learn(rounded: bool) -> None:
    high, low = clouds(1, 80, 1.5), clouds(2, 300, 0)
    if rounded:
        high, low = high.round(), low.round()
    measured = roc(high[:, 0], low[:, 0])
    truth = np.r_[np.ones(80), np.zeros(300)]
    both = torch.cat([high, low])[:, 0].numpy()
    alarms, caught, _ = roc_curve(truth, both, drop_intermediate=False)
    assert measured.false_alarms == pytest.approx(tuple(alarms))
    assert measured.caught == pytest.approx(tuple(caught))
    assert measured.auc == pytest.approx(roc_auc_score(truth, both))
    assert measured.caught_at(0.05) == max(caught[alarms <= 0.05])
    assert list(measured.summary()) == ["auc", "caught_at_0.1%", "caught_at_1%", "caught_at_2%", "caught_at_5%"]


# -- pictures ---------------------------------------------------------------------------------------------------------


def request(pictures: int = 7) -> ForgetRequest:
    def rows(subject: str) -> tuple[Example, ...]:
        return tuple(Example(f"{subject}{i}", Image.new("RGB", (8, 8)), "Who?", "x", subject) for i in range(pictures))

    return ForgetRequest("r", (*rows("b"), *rows("a")), (), (*rows("c"), *rows("d")), (Image.new("RGB", (8, 8)),))


def test_views_stay_in_their_picture_s_fold() -> None:
    shots = gate_shots(request(), 2, np.random.default_rng(0))
    assert {(s.subject, s.place) for s in shots if s.place >= 0} == {("a", 0), ("b", 1)}
    for image in {id(s.image) for s in shots}:
        assert len({s.fold for s in shots if id(s.image) == image}) == 1
    assert sum(s.place == 0 and s.view is not None for s in shots) == 14
    assert {s.fold for s in shots} == set(range(FOLDS))
    assert {s.fold for s in gate_shots(request(pictures=2), 2, np.random.default_rng(0)) if s.place >= 0} == {None}


def test_the_nearest_retained_subjects_are_found_in_standard_units() -> None:
    """The third channel is large and says nothing of who is near."""
    centres = {"far": 20.0, "near": 6.0, "away": -20.0, "beside": 2.0}
    retained = {name: clouds(1, 10, centre) for name, centre in centres.items()}
    for k, x in enumerate(retained.values()):
        x[:, 2] = x[:, 2] * 300 - 20 * k
    forgotten = [clouds(1, 10, 5)]
    assert nearest_subjects(forgotten, retained, 2) == ["near", "beside"]
    assert nearest_subjects(forgotten, retained, 0) == []
    assert len(nearest_subjects(forgotten, retained, 9)) == 4


def test_hard_negatives_are_views_of_the_nearest() -> None:
    shots = gate_shots(request(), 0, np.random.default_rng(0))
    statistics = [torch.tensor([{"a": 0.0, "b": 0.0, "c": 9.0, "d": 1.0}.get(str(s.subject), 5.0)]) for s in shots]
    hard = hard_shots(shots, statistics, 1, np.random.default_rng(1))
    assert len(hard) == HARD_VIEWS
    assert all(s.subject == "d" and s.place == -1 and s.view is not None and s.hard for s in hard)
    folds = {id(s.image): s.fold for s in shots if s.subject == "d"}
    assert all(folds[id(s.image)] == s.fold for s in hard)


def test_a_picture_is_measured_by_a_gate_that_never_saw_it() -> None:
    """With as many features as pictures a gate knows by heart whatever it was fitted on, and nothing of anything else."""
    shots = gate_shots(request(pictures=30), 0, np.random.default_rng(0))
    noise = torch.randn(len(shots), 400, generator=torch.Generator().manual_seed(0))
    gate, report = gate_from(shots, noise, 0, 0.1, 0)
    going = torch.tensor([s.place >= 0 for s in shots])
    assert roc(scores(gate, noise[going]), scores(gate, noise[~going])).auc > 0.99
    assert 0.3 < report["auc"] < 0.7


def test_what_could_not_be_measured_is_none() -> None:
    shots = gate_shots(request(pictures=2), 1, np.random.default_rng(0))
    statistics = torch.stack([clouds(i, 1, 9.0 if s.place >= 0 else 0.0)[0] for i, s in enumerate(shots)])
    _, report = gate_from(shots, statistics, 0, 0.1, 0)
    assert report["auc"] is report["caught"] is report["caught_in_views"] is None
    shots = gate_shots(request(pictures=30), 1, np.random.default_rng(0))
    statistics = torch.stack([clouds(i, 1, 9.0 if s.place >= 0 else 0.0)[0] for i, s in enumerate(shots)])
    _, report = gate_from(shots, statistics, 0, 0.1, 0)
    assert report["auc"] > 0.99
    assert report["caught_in_views"] > 0.9


# -- token encoder ----------------------------------------------------------------------------------------------------


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
