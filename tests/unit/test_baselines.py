"""What the fit of every baseline guarantees on a tiny model: its contract, what it learns, where it stops."""

from __future__ import annotations

import dataclasses
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.baselines import RETAINING, cross_entropy, fitted, request_about_two, start
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import ALL_METHODS, BASELINES, METHODS, module_from_pretrained
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadOption, BadRequest


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    return request_about_two()


def bits(vlm: VLM) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in vlm.model.state_dict().items()}


def test_registries() -> None:
    assert set(METHODS) == {"cagul", "cvf"}
    assert list(BASELINES) == ["ga", "gd", "kl", "idk", "npo"]
    assert set(ALL_METHODS) == set(METHODS) | set(BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_every_option_explains_itself(name: str) -> None:
    config = BASELINES[name].config
    assert config.__dataclass_params__.frozen
    names = {f.name for f in fields(config)}
    assert ("retain_batch" in names) == (name in RETAINING)
    assert ("beta" in names) == (name == "npo")
    for f in fields(config):
        assert f.metadata["label"]
        assert "[" in f.metadata["help"] or f.name == "seed"
    with pytest.raises(BadOption):
        from_values(config, {"stop": "never"})


@pytest.mark.parametrize("name", BASELINES)
def test_fit_attach_save_restore(name: str, tiny_vlm: VLM, request_: ForgetRequest, tmp_path: Path) -> None:
    before = bits(tiny_vlm)
    prompts = [request_.forget[0].prompt, request_.retain[0].prompt, Prompt(None, "What is the job?")]
    said = tiny_vlm.score(prompts, ["baker"] * 3)
    fit = start(name, tiny_vlm, request_)
    steps = list(fit)
    assert [s.index for s in steps] == list(range(1, steps[-1].total + 1))
    assert len({s.total for s in steps}) == 1
    assert steps[-1].seconds_left == pytest.approx(0, abs=0.01)
    assert steps[-1].forget is not None
    assert steps[-1].retain is not None
    trained = [s.losses for s in steps if s.losses]
    assert len(trained) == 3
    assert all(set(losses) == ({"forget", "retain"} if name in RETAINING else {"forget"}) for losses in trained)
    assert all(np.isfinite(list(losses.values())).all() for losses in trained)
    assert fit.report == {"parameters": fit.report["parameters"], "steps": 3, "stopped_by": "steps"}

    module = fit.module
    module.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"module.safetensors", "module.json"}
    restored = module_from_pretrained(tmp_path)
    assert restored.kind == "lora"
    assert restored.settings() == module.settings() == {"method": name, "rank": 2, "alpha": 4}
    one, two = module.attach(tiny_vlm), restored.attach(tiny_vlm)
    scores = one.score(prompts, ["baker"] * 3)
    assert all(torch.equal(a, b) for a, b in zip(scores, two.score(prompts, ["baker"] * 3), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(scores, said, strict=True))

    assert all(torch.equal(v, before[k]) for k, v in tiny_vlm.model.state_dict().items())
    again = tiny_vlm.score(prompts, ["baker"] * 3)
    assert all(torch.equal(a, b) for a, b in zip(said, again, strict=True))


@pytest.mark.parametrize("name", BASELINES)
def test_a_fit_is_reproducible_and_leaves_the_global_generator_alone(
    name: str, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    state = torch.get_rng_state()
    one = fitted(name, tiny_vlm, request_).tensors()
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(7)
    two = fitted(name, tiny_vlm, request_).tensors()
    assert one.keys() == two.keys()
    assert all(torch.equal(v, two[k]) for k, v in one.items())
    other = fitted(name, tiny_vlm, request_, seed=1).tensors()
    assert not any(torch.equal(v, other[k]) for k, v in one.items())


@pytest.mark.parametrize("name", BASELINES)
def test_closing_the_iterator_cancels(name: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    prompts = [request_.forget[0].prompt]
    said = tiny_vlm.score(prompts, ["baker"])
    fit = start(name, tiny_vlm, request_, steps=500)
    steps = iter(fit)
    while not (step := next(steps)).losses:
        assert step.total > 500
    assert step.seconds_left > 0
    steps.close()
    assert fit.report["steps"] == 1
    assert torch.equal(tiny_vlm.score(prompts, ["baker"])[0], said[0])
    fit.module.attach(tiny_vlm)


# -- what a fit does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ga", "gd", "kl", "npo"])
def test_forgotten_answers_become_less_likely(name: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    unlearned = fitted(name, tiny_vlm, request_, steps=20).attach(tiny_vlm)
    says = [e.answer for e in request_.forget]
    assert cross_entropy(unlearned, request_.forget, says) > cross_entropy(tiny_vlm, request_.forget, says) + 0.1


def test_refusals_become_more_likely(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    unlearned = fitted("idk", tiny_vlm, request_, steps=20).attach(tiny_vlm)
    says = ["I do not know."] * len(request_.forget)
    assert cross_entropy(unlearned, request_.forget, says) < cross_entropy(tiny_vlm, request_.forget, says) - 0.1


def test_pictures_are_encoded_once(tiny_vlm: VLM, request_: ForgetRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    tokens = type(tiny_vlm.family).tokens

    def counted(family: object, model: object, pixels: list[dict[str, torch.Tensor]]) -> object:
        read.append(len(pixels))
        return tokens(family, model, pixels)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(type(tiny_vlm.family), "tokens", counted)
    list(start("kl", tiny_vlm, request_, steps=6))
    assert sum(read) == len({id(e.image) for e in (*request_.forget, *request_.keep, *request_.retain) if e.image})


@pytest.mark.parametrize("name", BASELINES)
def test_stop_rule_ends_at_the_first_probe_that_is_low_enough(
    name: str, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    fit = start(name, tiny_vlm, request_, steps=40, stop="forgotten", stop_at=0.0)
    steps = list(fit)
    last = steps[-1]
    assert last.forget == 0, "a random model knows no answer"
    assert fit.report["stopped_by"] == "forgotten"
    assert fit.report["steps"] == 10
    assert last.total == last.index == len(steps)
    assert last.seconds_left == 0
    assert all(s.total == len(steps) + 30 for s in steps[:-1])
    assert [s.forget is not None for s in steps].count(True) == 1


def test_stop_rule_goes_on_while_too_much_is_known(
    tiny_vlm: VLM, request_: ForgetRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter([(0.5, 0.0), (0.25, 1.0), (0.2, 1.0), (0.0, 1.0)])
    probed = (share for pair in shares for share in pair)
    monkeypatch.setattr("unlearn_core.methods.baselines.fit.answered", lambda *_: next(probed))
    fit = start("ga", tiny_vlm, request_, steps=4, stop="forgotten", stop_at=0.2)
    assert [(s.forget, s.retain) for s in fit if s.losses] == [(0.5, 0.0), (0.25, 1.0), (0.2, 1.0)]
    assert fit.report["steps"] == 3
    assert fit.report["stopped_by"] == "forgotten"


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASELINES)
def test_a_fit_starts_from_the_original_model(name: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    class Blind:
        def tokens(self, base: VLM, batch: object) -> list[torch.Tensor]:
            return []

    with pytest.raises(BadRequest, match="before CAGUL"):
        start(name, tiny_vlm.with_sight(Blind()), request_)
    with pytest.raises(BadRequest, match="already carries"):
        start(name, fitted("ga", tiny_vlm, request_).attach(tiny_vlm), request_)


@pytest.mark.parametrize("name", BASELINES)
def test_a_fit_needs_retained_examples(name: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    with pytest.raises(BadRequest, match="Nothing is marked to be kept"):
        start(name, tiny_vlm, dataclasses.replace(request_, retain=()))
