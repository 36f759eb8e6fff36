"""What the module of a baseline may touch, and of which models."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from tests.unit.baselines import fitted, request_about_two
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import Module
from unlearn_core.methods.baselines import LoraModule
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BundleMismatch

LAYERS = 2 * 7
"""Linear ones of the tiny decoder."""


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    return request_about_two()


def test_only_factors_are_new_and_all_weights_are_shared(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    places = {t.data_ptr() for t in (*tiny_vlm.model.parameters(), *tiny_vlm.model.buffers())}
    module = fitted("ga", tiny_vlm, request_)
    unlearned = module.attach(tiny_vlm)
    mine = [*unlearned.model.named_parameters(), *unlearned.model.named_buffers()]
    new = {name for name, t in mine if t.data_ptr() not in places}
    assert len(new) == len(module.tensors()) == 2 * LAYERS
    assert all(".lora_" in name for name in new)
    assert places <= {t.data_ptr() for _, t in mine}
    assert not any(t.requires_grad for _, t in mine)
    assert not unlearned.model.training
    assert not any("lora" in name for name, _ in tiny_vlm.model.named_parameters())


def test_every_linear_layer_of_the_decoder_has_factors(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    path = tiny_vlm.family.language
    decoder = tiny_vlm.model.get_submodule(path)
    layers = {f"{path}.{name}" for name, layer in decoder.named_modules() if isinstance(layer, torch.nn.Linear)}
    assert len(layers) == LAYERS
    tensors = fitted("ga", tiny_vlm, request_).tensors()
    assert {name.rsplit(".lora_", 1)[0] for name in tensors} == layers


def test_a_tied_head_stays_tied(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    model = copy.deepcopy(tiny_vlm.model)
    embeddings = model.get_input_embeddings()
    model.lm_head.weight = embeddings.weight
    tied = VLM(model, tiny_vlm.processor, tiny_vlm.family, "tied")
    module = fitted("gd", tied, request_)
    unlearned = module.attach(tied)
    theirs = unlearned.model.get_input_embeddings()
    assert theirs is not embeddings
    assert theirs.weight is unlearned.model.lm_head.weight is embeddings.weight
    prompts = [request_.forget[0].prompt]
    nothing = LoraModule("gd", {k: torch.zeros_like(v) for k, v in module.factors.items()}, 2, 4).attach(tied)
    assert torch.equal(nothing.score(prompts, ["baker"])[0], tied.score(prompts, ["baker"])[0])
    assert not torch.equal(unlearned.score(prompts, ["baker"])[0], tied.score(prompts, ["baker"])[0])


def test_a_change_is_what_its_factors_say(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    """W + (alpha / rank) B A in every layer of a full copy gives the same answers."""
    module = fitted("ga", tiny_vlm, request_, steps=20)
    full = copy.deepcopy(tiny_vlm.model)
    weights = dict(full.named_parameters())
    with torch.no_grad():
        for name in {name.rsplit(".lora_", 1)[0] for name in module.factors}:
            a, b = module.factors[f"{name}.lora_A.weight"], module.factors[f"{name}.lora_B.weight"]
            weights[f"{name}.weight"].add_(2 * b @ a)
    merged = VLM(full, tiny_vlm.processor, tiny_vlm.family, "merged")
    prompts = [e.prompt for e in request_.forget]
    says = ["baker"] * len(prompts)
    for one, two in zip(module.attach(tiny_vlm).score(prompts, says), merged.score(prompts, says), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_attention_of_the_unlearned_model_can_be_read(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    prompts = [request_.forget[0].prompt]
    unlearned = fitted("ga", tiny_vlm, request_, steps=20).attach(tiny_vlm)
    old = tiny_vlm.ask(prompts, rows=True, max_new_tokens=3)[0]
    new = unlearned.ask(prompts, rows=True, max_new_tokens=3)[0]
    assert old.rows is not None
    assert new.rows is not None
    assert new.rows.question.shape == old.rows.question.shape
    assert not torch.equal(new.rows.question, old.rows.question)
    batch = unlearned.batch(prompts)
    assert len(unlearned.question_attention(batch, unlearned.tokens(batch), [1])) == 1


def test_a_module_goes_on_after_another_one_that_changes_vision(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    projector = copy.deepcopy(tiny_vlm.model.get_submodule(tiny_vlm.family.projector))
    with torch.no_grad():
        for parameter in projector.parameters():
            parameter.add_(0.5)
    seeing = tiny_vlm.with_parts({tiny_vlm.family.projector: projector})
    unlearned = fitted("ga", seeing, request_).attach(seeing)
    assert unlearned.model.get_submodule(tiny_vlm.family.projector) is projector


def without_a_layer(factors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(list(factors.items())[:-2])


def of_another_width(factors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k: F.pad(v, (0, 1)) for k, v in factors.items()}


def of_other_names(factors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.replace("q_proj", "query"): v for k, v in factors.items()}


@pytest.mark.parametrize("spoil", [without_a_layer, of_another_width, of_other_names])
def test_a_module_of_another_model_is_refused(spoil, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    module = fitted("ga", tiny_vlm, request_)
    other: Module = LoraModule.restore(spoil(module.tensors()), module.settings())
    with pytest.raises(BundleMismatch, match="load the model it was made for"):
        other.attach(tiny_vlm)
