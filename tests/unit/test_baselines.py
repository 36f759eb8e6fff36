"""The five baselines on a tiny random model: contracts of fit and module, their losses, and what they may not touch."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import ALL_METHODS, BASELINES, METHODS, Module, module_from_pretrained
from unlearn_core.methods.baselines import BaselineFit, LoraModule
from unlearn_core.methods.baselines.losses import ascent, log_probability, negative_preference
from unlearn_core.methods.baselines.schedule import Shuffled, pace
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadOption, BadRequest, BundleMismatch

SMALL = {"steps": 3, "rank": 2, "alpha": 4, "batch": 3, "rate": 0.01}
RETAINING = ("gd", "kl", "idk", "npo")
LAYERS = 2 * 7


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8))


def rows(subject: str, count: int, seed: int, answer: str) -> tuple[Example, ...]:
    return tuple(Example(f"{subject}{i}", picture(seed + i), "What is the job?", answer, subject) for i in range(count))


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    """Answers of different length, a picture that two examples share, and a retained question without a picture."""
    gone = (*rows("x", 3, 0, "baker"), *rows("z", 2, 50, "a very good smith"))
    keep = (dataclasses.replace(gone[0], id="k", question="What colour?", answer="red", kind="visual"),)
    kept = (*rows("y", 5, 100, "tailor"), Example("t", None, "What is 1 + 1?", "2"))
    return ForgetRequest("test", gone, keep, kept, refusals=("I do not know.", "No idea."))


def start(name: str, vlm: VLM, request: ForgetRequest, **options: object) -> BaselineFit:
    method = BASELINES[name]
    batch = {"retain_batch": 4} if name in RETAINING else {}
    fit = method.start(vlm, request, from_values(method.config, SMALL | batch | options))
    assert isinstance(fit, BaselineFit)
    return fit


def fitted(name: str, vlm: VLM, request: ForgetRequest, **options: object) -> LoraModule:
    fit = start(name, vlm, request, **options)
    list(fit)
    return fit.module


def bits(vlm: VLM) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in vlm.model.state_dict().items()}


# -- contracts --------------------------------------------------------------------------------------------------------


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


# -- losses -----------------------------------------------------------------------------------------------------------


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


def first_losses(name: str, vlm: VLM, request: ForgetRequest, **options: object) -> dict[str, float]:
    """Of the first step: the factors B are 0, so the trained model is still the original."""
    everything = {"batch": len(request.forget)} | options
    if name in RETAINING:
        everything["retain_batch"] = len(request.keep) + len(request.retain)
    return next(step.losses for step in start(name, vlm, request, **everything) if step.losses)


def cross_entropy(vlm: VLM, examples: tuple[Example, ...], says: list[str]) -> float:
    scores = vlm.score([e.prompt for e in examples], says)
    return -float(torch.stack([s.mean() for s in scores]).mean())


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


# -- what a module may touch ------------------------------------------------------------------------------------------


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


# -- what is refused --------------------------------------------------------------------------------------------------


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
