"""The losses of the baselines by hand, alone and in a fit's first step; order of examples and pace of learning."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.baselines import RETAINING, cross_entropy, request_about_two, start
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import BASELINES
from unlearn_core.methods.baselines.losses import ascent, log_probability, negative_preference
from unlearn_core.methods.baselines.schedule import Shuffled, pace
from unlearn_core.vlm import VLM


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    return request_about_two()


def example_logits() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Answers with probabilities 1/2 * 1/4 and 1/8, behind positions that no loss may read."""
    probabilities = torch.full((2, 3, 2), float("nan"))
    probabilities[0, 1, 0], probabilities[0, 2, 1] = 1 / 2, 1 / 4
    probabilities[1, 2, 0] = 1 / 8
    other = probabilities.nan_to_num(0).sum(-1, keepdim=True)
    probabilities = torch.where(probabilities.isnan(), 1 - other, probabilities)
    return probabilities.log().requires_grad_(), (torch.tensor([0, 1]), torch.tensor([0]))


def test_ascent_by_hand() -> None:
    logits, targets = example_logits()
    loss = ascent(logits, targets)
    expected = -((math.log(2) + math.log(4)) / 2 + math.log(8)) / 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert bool((logits.grad[0, 0] == 0).all())
    assert bool((logits.grad[1, :2] == 0).all())
    assert float(logits.grad[0, 1, 0]) > 0, "a step against the gradient makes the answer less likely"


def test_log_probability_is_that_of_the_whole_answer() -> None:
    assert log_probability(*example_logits()).tolist() == pytest.approx([math.log(1 / 8), math.log(1 / 8)], rel=1e-6)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.5])
def test_npo_by_hand(beta: float) -> None:
    new, old = torch.tensor([1 / 8, 1 / 2]).log(), torch.tensor([1 / 4, 1 / 2]).log()
    expected = (2 / beta) * (math.log(1 + 0.5**beta) + math.log(2)) / 2
    assert float(negative_preference(new, old, beta)) == pytest.approx(expected, rel=1e-6)


def test_npo_leaves_an_unlikely_answer_alone() -> None:
    new = torch.tensor([-500.0, -1.0], requires_grad=True)
    negative_preference(new, torch.tensor([-1.0, -1.0]), 0.1).backward()
    assert new.grad is not None
    assert float(new.grad[0]) < 1e-10
    assert float(new.grad[1]) == pytest.approx(0.5)


@given(seed=st.integers(0, 999), lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3))
@settings(deadline=None, max_examples=25)
def test_gradient_of_npo_tends_to_that_of_ascent_as_beta_goes_to_zero(seed: int, lengths: list[int]) -> None:
    """Ascent on whole answers, that is: for each answer, ascent's gradient times its number of tokens."""
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(lengths), 4, 6, generator=g, dtype=torch.float64, requires_grad=True)
    targets = [torch.randint(6, (n,), generator=g) for n in lengths]
    reference = 3 * torch.randn(len(lengths), generator=g)
    (rows_of_ascent,) = torch.autograd.grad(ascent(logits, targets), logits)
    wanted = rows_of_ascent * torch.tensor(lengths)[:, None, None]
    distances = []
    for beta in (1.0, 0.1, 0.01, 1e-4):
        loss = negative_preference(log_probability(logits, targets), reference, beta)
        (gradient,) = torch.autograd.grad(loss, logits)
        distances.append(float((gradient - wanted).norm() / wanted.norm()))
    assert distances[0] >= distances[1] >= distances[2] >= distances[3]
    assert distances[-1] < 2e-3


# -- in a fit ----------------------------------------------------------------------------------------------------------


def first_losses(name: str, vlm: VLM, request: ForgetRequest, **options: object) -> dict[str, float]:
    """Of the first step: the factors B are 0, so the trained model is still the original."""
    everything = {"batch": len(request.forget)} | options
    if name in RETAINING:
        everything["retain_batch"] = len(request.keep) + len(request.retain)
    return next(step.losses for step in start(name, vlm, request, **everything) if step.losses)


@pytest.mark.parametrize("name", BASELINES)
def test_first_step_of_a_fit_by_hand(name: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    request = dataclasses.replace(request_, refusals=("I do not know.",))
    losses = first_losses(name, tiny_vlm, request)
    stays = (*request.keep, *request.retain)
    truth = cross_entropy(tiny_vlm, request.forget, [e.answer for e in request.forget])
    expected = {
        "idk": cross_entropy(tiny_vlm, request.forget, ["I do not know."] * len(request.forget)),
        "npo": 2 / 0.1 * math.log(2),
    }.get(name, -truth)
    assert losses["forget"] == pytest.approx(expected, rel=0.01), "bfloat16 where the hardware has it"
    if name in RETAINING:
        kept = 0.0 if name == "kl" else cross_entropy(tiny_vlm, stays, [e.answer for e in stays])
        assert losses["retain"] == pytest.approx(kept, rel=0.01, abs=1e-4)


def test_targets_of_examples_come_before_refusals(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    forget = tuple(dataclasses.replace(e, target="a stranger") for e in request_.forget)
    losses = first_losses("idk", tiny_vlm, dataclasses.replace(request_, forget=forget))
    assert losses["forget"] == pytest.approx(cross_entropy(tiny_vlm, forget, ["a stranger"] * len(forget)), rel=0.01)


# -- order and pace ---------------------------------------------------------------------------------------------------


@given(count=st.integers(1, 12), size=st.integers(1, 20), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_no_example_comes_again_before_all_have_come(count: int, size: int, seed: int) -> None:
    batches = Shuffled(count, size, np.random.default_rng(seed))
    drawn = [place for _ in range(2 * count) for place in next(batches)]
    assert len(drawn) == 2 * count * size
    for at in range(0, len(drawn), count):
        assert sorted(drawn[at : at + count]) == list(range(count))


@given(steps=st.integers(1, 400))
@settings(deadline=None, max_examples=40)
def test_pace_rises_then_falls_to_nearly_nothing(steps: int) -> None:
    rates = [pace(i, steps) for i in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1)
    assert top + 1 == math.ceil(0.06 * steps)
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a > b > 0 for a, b in pairwise(rates[top:]))
