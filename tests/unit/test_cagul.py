"""CAGUL on a tiny random model: several requests side by side, withdrawal, options, caches, and the adversary."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import probe
from unlearn_core.methods.cagul import Cagul, CagulConfig, CagulModule, attached_modules, below, watch
from unlearn_core.methods.cagul.cache import Frozen
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate, token_statistics
from unlearn_core.methods.cagul.identity import Adversary, pooled, probe_accuracy, witnesses
from unlearn_core.methods.cagul.layers import layers_of
from unlearn_core.methods.cvf import Cvf, CvfConfig, CvfModule
from unlearn_core.methods.world import ALONE
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadOption, BadRequest, BundleMismatch

SMALL = {"steps": 3, "width": 8, "batch": 4, "hard_negatives": 1}


def coloured(seed: int, channel: int | None) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 110, (40, 48, 3), dtype=np.uint8)
    if channel is not None:
        pixels[..., channel] += 130
    return Image.fromarray(pixels)


def rows(subject: str, count: int, channel: int | None, seed: int) -> list[Example]:
    return [
        Example(f"{subject}{i}", coloured(seed + i, channel), "What is the job?", "baker", subject)
        for i in range(count)
    ]


RETAIN = (*rows("y", 9, None, 100), *rows("z", 9, None, 200))
STRANGERS = tuple(coloured(500 + i, None) for i in range(4))


def wanted(subject: str, channel: int, seed: int) -> ForgetRequest:
    return ForgetRequest(subject, tuple(rows(subject, 9, channel, seed)), (), RETAIN, STRANGERS)


RED, BLUE = wanted("red", 0, 300), wanted("blue", 2, 400)


def fitted(vlm: VLM, request: ForgetRequest, **options: object) -> CagulModule:
    fit = Cagul().start(vlm, request, CagulConfig(**SMALL | options))  # pyright: ignore
    list(fit)
    module = fit.module
    with torch.no_grad():
        module.encoder.up.weight.normal_(generator=torch.Generator().manual_seed(len(request.name)))
    return module


@pytest.fixture(scope="module")
def red(tiny_vlm: VLM) -> CagulModule:
    return fitted(tiny_vlm, RED)


@pytest.fixture(scope="module")
def blue(tiny_vlm: VLM) -> CagulModule:
    return fitted(tiny_vlm, BLUE)


PROMPTS = [*(e.prompt for e in (RED.forget[0], BLUE.forget[0], RETAIN[0])), Prompt(None, "What is the job?")]


def said(vlm: VLM) -> list[Tensor]:
    return vlm.score(PROMPTS, ["baker"] * len(PROMPTS))


def same(one: list[Tensor], two: list[Tensor]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(one, two, strict=True)]


# -- side by side -----------------------------------------------------------------------------------------------------


def test_each_request_changes_its_own_pictures_and_nothing_else(
    tiny_vlm: VLM, red: CagulModule, blue: CagulModule
) -> None:
    plain = said(tiny_vlm)
    assert same(said(red.attach(tiny_vlm)), plain) == [False, True, True, True]
    assert same(said(blue.attach(tiny_vlm)), plain) == [True, False, True, True]
    both = blue.attach(red.attach(tiny_vlm))
    assert attached_modules(both) == (red, blue)
    assert same(said(both), plain) == [False, False, True, True]
    assert same(said(both), said(red.attach(tiny_vlm))) == [True, False, True, True]
    assert same(said(both), said(blue.attach(tiny_vlm))) == [False, True, True, True]
    assert all(same(said(both), said(red.attach(blue.attach(tiny_vlm))))), "the order does not matter"
    assert attached_modules(red.attach(both)) == (blue, red), "attaching twice is attaching once"


def test_withdrawing_is_as_if_it_had_never_been(tiny_vlm: VLM, red: CagulModule, blue: CagulModule) -> None:
    plain, both = said(tiny_vlm), blue.attach(red.attach(tiny_vlm))
    assert all(same(said(red.withdraw(both)), said(blue.attach(tiny_vlm))))
    assert all(same(said(blue.withdraw(both)), said(red.attach(tiny_vlm))))
    assert red.withdraw(blue.withdraw(both)) is tiny_vlm
    assert all(same(said(red.withdraw(blue.withdraw(both))), plain))
    with pytest.raises(BadRequest, match="not attached"):
        blue.withdraw(red.attach(tiny_vlm))


def test_weights_are_not_changed_under_a_module_that_was_fitted_to_them(tiny_vlm: VLM, red: CagulModule) -> None:
    with pytest.raises(BadRequest, match="withdraw"):
        CvfModule({}, {}).attach(red.attach(tiny_vlm))
    both = red.attach(CvfModule({}, {}).attach(tiny_vlm))
    assert attached_modules(both) == (red,), "the other way round they stack"


def answering(vlm: VLM, bias: float, layer: int, seed: int) -> CagulModule:
    """A module whose gate has the same margin for every picture, and whose encoder does something of its own."""
    gate, encoder = Gate(4 * vlm.width, 1, 0), TokenEncoder(vlm.width, 8, seed)
    with torch.no_grad():
        gate.first_bias.fill_(bias)
        encoder.up.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return CagulModule(gate.requires_grad_(False), encoder.requires_grad_(False), (layer,), 0.5, "lowest")


def test_the_largest_margin_edits_and_reads_the_original_tokens(sharp_vlm: VLM) -> None:
    weak, strong, silent = (answering(sharp_vlm, b, k % 2, k) for k, b in enumerate((1.0, 3.0, -1.0)))
    batch = sharp_vlm.batch(PROMPTS)
    alone = strong.attach(sharp_vlm).tokens(batch)
    assert not torch.equal(alone[0], sharp_vlm.tokens(batch)[0])
    stack = silent.attach(weak.attach(strong.attach(sharp_vlm))).tokens(batch)
    assert all(same(stack, alone))
    weak.gate.threshold.fill_(-5.0)
    assert all(same(strong.attach(weak.attach(sharp_vlm)).tokens(batch), weak.attach(sharp_vlm).tokens(batch)))


def test_a_second_fit_starts_from_the_original_model(tiny_vlm: VLM, red: CagulModule, blue: CagulModule) -> None:
    before = {k: v.clone() for k, v in red.tensors().items()}
    again = fitted(red.attach(tiny_vlm), BLUE)
    assert all(torch.equal(v, blue.tensors()[k]) for k, v in again.tensors().items())
    assert all(torch.equal(v, before[k]) for k, v in red.tensors().items())


def test_cagul_stands_on_cvf(tiny_vlm: VLM) -> None:
    fit = Cvf().start(tiny_vlm, RED, CvfConfig(steps=1, forget_batch=3, retain_batch=4, questions=3))
    list(fit)
    changed = fit.module.attach(tiny_vlm)
    module = fitted(changed, BLUE)
    both = module.attach(changed)
    assert below(both) is changed
    assert same(said(both), said(changed)) == [True, False, True, True]
    assert module.withdraw(both) is changed


def test_a_module_for_another_model_is_refused(tiny_vlm: VLM) -> None:
    encoder = TokenEncoder(tiny_vlm.width, 8)
    for gate, layers in ((Gate(4, 1, 0), (0,)), (Gate(4 * tiny_vlm.width, 1, 0), (tiny_vlm.layers,))):
        with pytest.raises(BundleMismatch):
            CagulModule(gate, encoder, layers, 0.25, "lowest").attach(tiny_vlm)


# -- options ----------------------------------------------------------------------------------------------------------


def test_layers_are_read_from_words_and_numbers() -> None:
    assert layers_of("middle", 4) == (2,)
    assert layers_of("1", 4) == (1,)
    assert layers_of(" 3, 1,1 ", 4) == (1, 3)


@pytest.mark.parametrize("text", ["", "last", "1;2", "-1", "1.5", "1,,2", "²", "9" * 9])
def test_nonsense_for_layers_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="Attention layers"):
        CagulConfig(layer=text)


def test_layers_that_the_model_lacks_are_refused(tiny_vlm: VLM) -> None:
    with pytest.raises(BadOption, match="no layer 7"):
        Cagul().start(tiny_vlm, RED, CagulConfig(layer="0,7"))


def test_scores_are_the_mean_over_layers_and_survive_saving(sharp_vlm: VLM, tmp_path: Path) -> None:
    from unlearn_core.methods import module_from_pretrained

    one, two = answering(sharp_vlm, 1.0, 0, 1), answering(sharp_vlm, 1.0, 1, 1)
    both = CagulModule(one.gate, one.encoder, (0, 1), 0.5, "lowest")
    batch = sharp_vlm.batch([RED.forget[0].prompt])
    tokens = sharp_vlm.tokens(batch)
    first, second, mean = (m.scores(sharp_vlm, batch, tokens)[0] for m in (one, two, both))
    assert torch.allclose(mean, (first + second) / 2)
    assert not torch.allclose(first, second)
    both.save_pretrained(tmp_path)
    restored = module_from_pretrained(tmp_path)
    assert all(same(restored.attach(sharp_vlm).tokens(batch), both.attach(sharp_vlm).tokens(batch)))


def test_what_a_request_lacks_is_said_in_words(tiny_vlm: VLM) -> None:
    text_only = tuple(dataclasses.replace(e, image=None) for e in RETAIN)
    alone = dataclasses.replace(RED, strangers=())
    with pytest.raises(BadRequest, match="stranger"):
        Cagul().start(tiny_vlm, alone, CagulConfig(target="stranger"))
    with pytest.raises(BadRequest, match="pictures of others"):
        Cagul().start(tiny_vlm, dataclasses.replace(alone, retain=text_only), CagulConfig())
    with pytest.raises(BadRequest, match="KL"):
        Cagul().start(tiny_vlm, dataclasses.replace(RED, retain=text_only), CagulConfig(kl_weight=1))


def test_all_terms_at_once_run_reproducibly(tiny_vlm: VLM) -> None:
    options = SMALL | {"retain_weight": 1.0, "kl_weight": 1.0, "adversary": 1.0, "target": "stranger", "layer": "0,1"}
    request = dataclasses.replace(RED, keep=(dataclasses.replace(RED.forget[0], question="What colour?"),))
    results = []
    for _ in range(2):
        fit = Cagul().start(tiny_vlm, request, CagulConfig(**options))  # pyright: ignore
        steps = list(fit)
        assert set(steps[-1].losses) == {"forget", "keep", "retain", "kl", "adversary"}
        assert [s.index for s in steps] == list(range(1, steps[-1].total + 1))
        results.append((fit.module.tensors(), fit.report))
    assert all(torch.equal(v, results[1][0][k]) for k, v in results[0][0].items())
    assert results[0][1] == results[1][1]
    report = results[0][1]
    assert {"auc", "caught_at_1%", "caught_in_views", "promised", "hard_views"} <= set(report["gate"])
    assert report["gate"]["hard_views"] > 0
    assert report["identity"]["tested"] > 0


# -- caches -----------------------------------------------------------------------------------------------------------


def test_cached_batches_are_those_of_the_processor(tiny_vlm: VLM) -> None:
    examples = [RED.forget[0], dataclasses.replace(RED.forget[1], question="Why?"), RETAIN[0], RED.forget[0]]
    answers = ["baker", "a very long answer indeed", "x", "Mira"]
    frozen = Frozen(tiny_vlm, (1,), 0.25, "lowest")
    for _ in range(2):
        made = frozen.batch(examples, answers)
        whole = tiny_vlm.batch([e.prompt for e in examples], [tiny_vlm.answer_ids(a) for a in answers])
        assert torch.equal(made.ids, whole.ids)
        assert torch.equal(made.mask, whole.mask)
        for field in ("visual", "question", "targets"):
            assert all(same(list(getattr(made, field)), list(getattr(whole, field)))), field


def test_reference_logits_are_those_of_the_frozen_model_and_computed_once(
    tiny_vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, answers = Frozen(tiny_vlm, (1,), 0.25, "lowest"), ["baker", "a long answer"]
    examples = list(RETAIN[:2])
    first = frozen.reference(examples, answers)
    batch = frozen.batch(examples, answers)
    with torch.no_grad():
        whole = tiny_vlm.answer_logits(batch, frozen.tokens(examples))
    for a, b, target in zip(first, whole, batch.targets or (), strict=True):
        assert torch.equal(a[-len(target) :], b[-len(target) :])
    chosen = frozen.chosen(examples)
    monkeypatch.setattr(type(tiny_vlm.model), "forward", None)
    monkeypatch.setattr(type(tiny_vlm), "encode", None)
    assert torch.equal(frozen.reference(examples[::-1], answers[::-1]), first.flip(0))
    assert all(same(frozen.chosen(examples), chosen))


def test_a_watch_sees_what_asking_the_unlearned_model_would(tiny_vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    module, seen = fitted(tiny_vlm, RED), []
    for place in (watch, probe):
        monkeypatch.setattr(place, "right", lambda logits, targets: seen.append(logits) or 1)
    asked = [*RED.forget, *RETAIN, Example("t", None, "What is the job?", "baker")]
    watching = watch.Watch(module, Frozen(tiny_vlm, module.layers, module.ratio, module.select), asked, ALONE)
    assert watching.touched == asked[: len(RED.forget)], "the gate flags no other"
    with torch.no_grad():
        module.encoder.up.weight.mul_(-3)
    assert watching.answered() == 2 / len(asked), "what no step changes, and what was asked now"
    probe.hits(module.attach(tiny_vlm), asked)
    rest, now, whole = seen
    # Other batches round differently in bfloat16, by a step or two of the largest logits.
    torch.testing.assert_close(torch.cat([now, rest]), whole, rtol=0.016, atol=2**-7)


def test_the_gate_is_fitted_without_the_language_model(tiny_vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(Cagul().start(tiny_vlm, RED, CagulConfig(**SMALL)))  # pyright: ignore
    monkeypatch.setattr(tiny_vlm.model.model.language_model, "forward", None)
    while next(steps).phase != "Fitting the gate":
        pass


# -- identity ---------------------------------------------------------------------------------------------------------


def test_the_adversary_draws_subjects_together_and_then_lets_go() -> None:
    adversary, labels = Adversary(2), torch.tensor([0, 0, 1, 1])
    features = torch.tensor([[1.0, 5.0], [1.0, 6.0], [-1.0, 6.0], [-1.0, 5.0]], requires_grad=True)
    adversary.loss(features, labels).backward()
    gradient = features.grad
    assert gradient is not None
    assert bool((gradient[:2, 0] > 0).all() and (gradient[2:, 0] < 0).all()), "descent moves each towards the other"
    assert torch.equal(gradient[:, 1], torch.zeros(4)), "nothing pulls where subjects are alike"
    together = torch.tensor([[0.0, 5.0], [0.0, 6.0], [0.0, 6.0], [0.0, 5.0]])
    for _ in range(60):
        left = adversary.loss(together.requires_grad_(), labels)
    assert abs(float(left.detach())) < 1e-6


def people(seed: int, count: int, classes: int) -> tuple[Tensor, list[int]]:
    """Tokens (n, k, d) of pictures whose subjects differ in the tokens' mean."""
    generator = torch.Generator().manual_seed(seed)
    labels = [i % classes for i in range(count)]
    centres = torch.randn(classes, 16, generator=torch.Generator().manual_seed(99)) * 0.3
    return torch.randn(count, 12, 16, generator=generator) * 0.7 + centres[labels][:, None], labels


def read(encoder: nn.Module, tokens: Tensor, labels: list[int]) -> float:
    with torch.no_grad():
        features = torch.stack([pooled(t) for t in encoder(tokens)])
    measured = probe_accuracy(features, labels, range(len(labels)))
    assert measured is not None
    return measured.accuracy


def test_probe_accuracy_finds_what_is_there_and_nothing_else() -> None:
    tokens, labels = people(0, 160, 4)
    assert read(nn.Identity(), tokens, labels) > 0.9
    noise = torch.randn(160, 12, 16, generator=torch.Generator().manual_seed(5))
    assert read(nn.Identity(), noise, labels) < 0.45
    measured = probe_accuracy(torch.randn(8, 3), [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3])
    assert measured is not None
    assert (measured.tested, measured.chance) == (4, 0.5), "rows of one picture stay together"
    assert probe_accuracy(torch.randn(4, 3), [0] * 4, range(4)) is None
    assert probe_accuracy(torch.randn(3, 3), [0, 0, 1], range(3)) is None


def test_the_adversary_makes_a_fresh_probe_guess() -> None:
    tokens, labels = people(0, 160, 4)
    fresh, encoder, adversary = people(7, 160, 4), TokenEncoder(16, 32), Adversary(4)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 200)
    generator = torch.Generator().manual_seed(1)
    before = read(encoder, *fresh)
    for _ in range(200):
        drawn = torch.randint(160, (32,), generator=generator)
        new = encoder(tokens[drawn])
        optimiser.zero_grad()
        stays = (new - tokens[drawn]).pow(2).mean()
        features = torch.stack([pooled(t) for t in new])
        (30 * adversary.loss(features, torch.tensor(labels)[drawn]) + 0.02 * stays).backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    assert before > 0.9
    assert read(encoder, *fresh) < 0.5


def test_witnesses_tell_subjects_apart_or_one_from_the_others() -> None:
    alone = witnesses(RED)
    assert [w.label for w in alone] == [0] * 9 + [1] * 9
    assert not {id(w.example.image) for w in alone[:9]} & {id(w.example.image) for w in alone[9:]}
    both = ForgetRequest("both", (*RED.forget, *BLUE.forget), (), RETAIN)
    assert sorted({(w.example.subject, w.label) for w in witnesses(both)}) == [("blue", 0), ("red", 1)]


# -- bypass -----------------------------------------------------------------------------------------------------------


def test_tokens_of_pictures_that_pass_are_the_same_tensors(
    tiny_vlm: VLM, red: CagulModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is computed for them beyond the statistics."""
    batch = tiny_vlm.batch([e.prompt for e in RETAIN[:3]])
    plain = tiny_vlm.tokens(batch)
    margins = red.gate.margins(torch.stack([token_statistics(t) for t in plain]))
    assert bool((margins < 0).all())
    refused: Callable[..., None] = lambda *_: pytest.fail("the attention of a picture that passes is not needed")  # noqa: E731
    monkeypatch.setattr(CagulModule, "scores", refused)
    assert all(same(red.attach(tiny_vlm).tokens(batch), plain))
