"""The null space keeps what it promises: bounds asserted, not snapshots."""

from __future__ import annotations

import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from unlearn_core.methods.null_space import ConstrainedChange, NullSpaceFitter


def retained(rank: int, width: int, count: int = 500, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, rank, dtype=torch.float64, generator=g) @ torch.randn(
        rank, width, dtype=torch.float64, generator=g
    )


def space_of(x: torch.Tensor):
    fitter = NullSpaceFitter(x.shape[1])
    fitter.update(x)
    return fitter.null_space


@given(chunks=st.integers(1, 20), merged=st.booleans(), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_streaming_equals_batch(chunks: int, merged: bool, seed: int) -> None:
    x = retained(9, 16, seed=seed)
    stream = NullSpaceFitter(16)
    for part in x.chunk(chunks):
        other = stream if not merged else NullSpaceFitter(16)
        other.update(part)
        if merged:
            stream.merge(other)
    assert stream.count == len(x)
    torch.testing.assert_close(stream.sum / stream.count, x.T @ x / len(x), rtol=1e-12, atol=1e-12)


def test_nothing_fitted_is_an_error() -> None:
    with pytest.raises(ValueError, match="no retained inputs"):
        _ = NullSpaceFitter(4).null_space


def test_hard_directions_see_no_retained_input() -> None:
    x = retained(40, 64)
    space = space_of(x)
    subspace = space.hard(torch.randn(12, 64), 1e-7, 1.0)
    assert subspace.free == 24
    projector = subspace.projector
    torch.testing.assert_close(projector @ projector, projector)
    torch.testing.assert_close(projector, projector.T)
    assert (x @ projector).abs().max() < 1e-6 * x.abs().max()


@given(budget=st.floats(1e-4, 2), reach=st.floats(0.01, 1), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_a_change_spread_over_the_free_directions_keeps_the_budget(budget: float, reach: float, seed: int) -> None:
    """On average over random changes of the stated size; and one more direction would break it."""
    space = space_of(retained(64, 32, seed=seed))
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(10, 32, dtype=torch.float64, generator=g)
    gains = space.hard(weight, budget, reach).gains
    free = int(gains.sum())
    assert bool((gains[:free] == 1).all())

    def expected(k: int) -> float:
        return reach * float(weight.norm()) * (float(space.energy[:k].mean()) / space.output_energy(weight)) ** 0.5

    if free:
        assert expected(free) <= budget * (1 + 1e-9)
        drifts = []
        for _ in range(200):
            change = torch.randn(10, free, dtype=torch.float64, generator=g) @ space.basis[:, :free].T
            drifts.append(space.drift(change * (reach * weight.norm() / change.norm()), weight) ** 2)
        assert (sum(drifts) / len(drifts)) ** 0.5 == pytest.approx(expected(free), rel=0.1)
    if free < 32:
        assert expected(free + 1) > budget


def test_soft_gains_fall_with_energy() -> None:
    gains = space_of(retained(40, 64)).soft(0.1).gains
    assert bool((gains[:-1] >= gains[1:]).all())
    assert float(gains[0]) == pytest.approx(1.0, abs=1e-6)


def test_ratio_directions_are_the_generalised_eigenvectors() -> None:
    keep, go = retained(32, 32, seed=1), retained(5, 32, seed=2)
    space, forget = space_of(keep), space_of(go)
    subspace = space.ratio(forget, 5, floor=1e-9)
    retained_energy = subspace.basis.T @ (keep.T @ keep / len(keep)) @ subspace.basis
    torch.testing.assert_close(subspace.root @ subspace.root.T, retained_energy)
    forget_energy = subspace.basis.T @ (go.T @ go / len(go)) @ subspace.basis
    ratios = (forget_energy.diagonal() / retained_energy.diagonal()).sort().values
    best = scipy.linalg.eigvalsh((go.T @ go / len(go)).numpy(), (keep.T @ keep / len(keep)).numpy())[-5:]
    torch.testing.assert_close(ratios, torch.from_numpy(best), rtol=1e-5, atol=0)


def test_predicted_drift_is_the_measured_one() -> None:
    x = retained(20, 24)
    space = space_of(x)
    weight, change = torch.randn(10, 24, dtype=torch.float64), torch.randn(10, 24, dtype=torch.float64)
    measured = ((x @ change.T).pow(2).sum() / (x @ weight.T).pow(2).sum()).sqrt()
    assert space.drift(change, weight) == pytest.approx(float(measured), rel=1e-9)


def train(layer: nn.Linear, x_forget: torch.Tensor, budget: float | None, change: ConstrainedChange) -> None:
    optimiser = torch.optim.Adam([change.change], lr=1e-2)
    target = torch.randn(len(x_forget), layer.out_features, generator=torch.Generator().manual_seed(5))
    for _ in range(200):
        optimiser.zero_grad()
        (layer(x_forget) - target).pow(2).mean().backward()
        optimiser.step()
        if budget is not None:
            change.restrict(budget)


def constrained(x: torch.Tensor, form: str) -> tuple[nn.Linear, torch.Tensor, ConstrainedChange]:
    torch.manual_seed(0)
    layer = nn.Linear(x.shape[1], 12).requires_grad_(False)
    before = layer.weight.detach().clone()
    space = space_of(x)
    forget = space_of(retained(6, x.shape[1], seed=3))
    subspace = {
        "hard": lambda: space.hard(before, 1e-6, 1.0),
        "soft": lambda: space.soft(0.1),
        "ratio": lambda: space.ratio(forget, 6),
        "free": space.free,
    }[form]()
    change = ConstrainedChange(before, subspace, space.output_energy(before))
    parametrize.register_parametrization(layer, "weight", change)
    return layer, before, change


def test_adam_inside_a_true_null_space_moves_retained_outputs_by_less_than_1e_6() -> None:
    x = retained(40, 64)
    layer, before, change = constrained(x, "hard")
    forget = torch.randn(30, 64, generator=torch.Generator().manual_seed(1))
    train(layer, forget, None, change)
    delta = layer.weight.detach() - before
    assert float((x.float() @ delta.T).norm() / (x.float() @ before.T).norm()) < 1e-6
    assert float((forget @ delta.T).norm() / (forget @ before.T).norm()) > 0.5


@pytest.mark.parametrize("form", ["soft", "ratio", "free"])
@pytest.mark.parametrize("budget", [0.003, 0.03, 0.3])
def test_drift_budget_is_kept_and_is_the_real_drift(budget: float, form: str) -> None:
    x = retained(64, 64)
    layer, before, change = constrained(x, form)
    train(layer, torch.randn(30, 64, generator=torch.Generator().manual_seed(1)), budget, change)
    delta = (layer.weight.detach() - before).double()
    measured = float((x @ delta.T).norm() / (x @ before.double().T).norm())
    assert measured <= budget * 1.001
    assert change.drift() == pytest.approx(measured, rel=1e-3)


def test_no_change_at_the_start() -> None:
    layer, before, _ = constrained(retained(30, 32), "soft")
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("form", ["hard", "soft", "ratio"])
def test_factors_make_the_change(form: str) -> None:
    layer, before, change = constrained(retained(40, 64), form)
    train(layer, torch.randn(30, 64, generator=torch.Generator().manual_seed(1)), None, change)
    left, right = change.factors()
    torch.testing.assert_close(layer.weight.detach() - before, (left @ right).detach(), rtol=1e-4, atol=1e-5)
    assert left.shape[1] == {"hard": 24, "soft": 64, "ratio": 6}[form]
