"""Both methods on a tiny random model: contracts of fit and module, without regard to what is learned."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import METHODS, module_from_pretrained
from unlearn_core.methods.cagul import CagulModule
from unlearn_core.methods.options import from_values
from unlearn_core.methods.probe import answered
from unlearn_core.methods.weights import dense
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadRequest, BundleMismatch


def picture(seed: int, red: bool = False) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 120, (40, 48, 3), dtype=np.uint8)
    if red:
        pixels[..., 0] += 120
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    def rows(subject: str, count: int, red: bool, seed: int) -> list[Example]:
        out = []
        for i in range(count):
            image = picture(seed + i, red)
            out.append(Example(f"{subject}{i}", image, "What is the job?", "baker", subject))
            out.append(Example(f"{subject}{i}v", image, "What colour?", "red", subject, "visual"))
        return out

    gone, kept = rows("x", 8, True, 0), rows("y", 12, False, 100)
    strangers = tuple(picture(500 + i) for i in range(6))
    return ForgetRequest("test", tuple(gone[::2]), tuple(gone[1::2]), tuple(kept), strangers)


OPTIONS = {
    "cagul": {"steps": 3, "width": 8, "batch": 4},
    "cvf": {"steps": 3, "forget_batch": 3, "retain_batch": 4, "questions": 3},
}


@pytest.mark.parametrize("name", METHODS)
def test_fit_attach_save_restore(name: str, tiny_vlm: VLM, request_: ForgetRequest, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in tiny_vlm.model.state_dict().items()}
    prompts = [request_.forget[0].prompt, request_.retain[0].prompt, Prompt(None, "What is the job?")]
    said = tiny_vlm.score(prompts, ["baker"] * 3)
    method = METHODS[name]
    fit = method.start(tiny_vlm, request_, from_values(method.config, OPTIONS[name]))
    steps = list(fit)
    assert [s.index for s in steps] == list(range(1, steps[-1].total + 1))
    assert steps[-1].seconds_left == pytest.approx(0, abs=0.01)
    assert steps[-1].forget is not None
    assert steps[-1].retain is not None
    assert all(np.isfinite(list(s.losses.values())).all() for s in steps)

    assert all(torch.equal(v, before[k]) for k, v in tiny_vlm.model.state_dict().items())
    again = tiny_vlm.score(prompts, ["baker"] * 3)
    assert all(torch.equal(a, b) for a, b in zip(said, again, strict=True))

    fit.module.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"module.safetensors", "module.json"}
    one, two = fit.module.attach(tiny_vlm), module_from_pretrained(tmp_path).attach(tiny_vlm)
    scores = one.score(prompts, ["baker"] * 3)
    assert all(torch.equal(a, b) for a, b in zip(scores, two.score(prompts, ["baker"] * 3), strict=True))
    assert torch.equal(scores[2], said[2]), "text-only prompts are bit-identical"


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_is_reproducible(name: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS[name]
    results = []
    for _ in range(2):
        fit = method.start(tiny_vlm, request_, from_values(method.config, OPTIONS[name]))
        list(fit)
        results.append(fit.module.tensors())
    assert all(torch.equal(v, results[1][k]) for k, v in results[0].items())


@pytest.mark.parametrize("name", METHODS)
def test_closing_the_iterator_cancels(name: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS[name]
    prompts = [request_.forget[0].prompt]
    said = tiny_vlm.score(prompts, ["baker"])
    steps = iter(method.start(tiny_vlm, request_, from_values(method.config, OPTIONS[name] | {"steps": 500})))
    while not (step := next(steps)).losses:
        assert step.total > 500
    steps.close()
    assert torch.equal(tiny_vlm.score(prompts, ["baker"])[0], said[0])


def fitted_cagul(vlm: VLM, request: ForgetRequest, **options: object) -> CagulModule:
    method = METHODS["cagul"]
    fit = method.start(vlm, request, from_values(method.config, OPTIONS["cagul"] | options))
    list(fit)
    return fit.module


def test_cagul_bypass_is_bit_identical_and_flagged_pictures_change(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    module = fitted_cagul(tiny_vlm, request_)
    with torch.no_grad():
        module.encoder.up.weight.normal_()
    prompts = [request_.forget[0].prompt, request_.retain[0].prompt]
    flags = module.gate.flags(tiny_vlm.encode([p.image for p in prompts])).tolist()
    assert flags == [True, False]
    old, new = tiny_vlm.score(prompts, ["baker", "baker"]), module.attach(tiny_vlm).score(prompts, ["baker", "baker"])
    assert not torch.equal(old[0], new[0])
    assert torch.equal(old[1], new[1])


@pytest.mark.parametrize("select", ["lowest", "highest", "random"])
def test_cagul_changes_exactly_the_chosen_share_of_tokens(select: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    module = fitted_cagul(tiny_vlm, request_, select=select, ratio=0.25)
    with torch.no_grad():
        module.encoder.up.weight.normal_()
    prompt = request_.forget[0].prompt
    batch = tiny_vlm.batch([prompt])
    plain, edited = tiny_vlm.tokens(batch)[0], module.attach(tiny_vlm).tokens(batch)[0]
    moved = (plain != edited).any(-1)
    assert int(moved.sum()) == 4
    alpha = module.scores(tiny_vlm, batch, [plain])[0]
    if select == "lowest":
        assert float(alpha[moved].max()) <= float(alpha[~moved].min())
    if select == "highest":
        assert float(alpha[moved].min()) >= float(alpha[~moved].max())


def test_cagul_retain_and_kl_terms_run(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS["cagul"]
    fit = method.start(
        tiny_vlm,
        request_,
        from_values(method.config, OPTIONS["cagul"] | {"retain_weight": 1, "kl_weight": 1, "target": "stranger"}),
    )
    assert {"forget", "keep", "retain", "kl"} <= set(list(fit)[-1].losses)


@pytest.mark.parametrize("space", ["soft", "hard", "ratio"])
def test_cvf_keeps_its_drift_budget(space: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS["cvf"]
    options = OPTIONS["cvf"] | {"null_space": space, "drift_budget": 0.001, "rate": 0.1, "directions": 8}
    fit = method.start(tiny_vlm, request_, from_values(method.config, options))
    list(fit)
    assert all(layer["predicted_drift"] <= 0.001001 for layer in fit.report["layers"].values())


def test_cvf_changes_only_vision_and_projector(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS["cvf"]
    fit = method.start(tiny_vlm, request_, from_values(method.config, OPTIONS["cvf"]))
    list(fit)
    unlearned = fit.module.attach(tiny_vlm)
    old, new = tiny_vlm.model.state_dict(), unlearned.model.state_dict()
    changed = {k for k in old if not torch.equal(old[k], new[k])}
    assert changed
    assert all(
        k.startswith(("model.vision_tower.", "model.multi_modal_projector.")) and k.endswith("weight") for k in changed
    )
    shared = {k for k in old if k.startswith(("model.language_model", "lm_head"))}
    assert all(old[k].data_ptr() == new[k].data_ptr() for k in shared)


@pytest.mark.parametrize("reference", ["stranger", "blurred"])
def test_cvf_references_run(reference: str, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS["cvf"]
    list(method.start(tiny_vlm, request_, from_values(method.config, OPTIONS["cvf"] | {"reference": reference})))


def test_cvf_needs_what_its_reference_needs(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS["cvf"]
    with pytest.raises(BadRequest, match="stranger"):
        method.start(tiny_vlm, dataclasses.replace(request_, strangers=()), from_values(method.config, {}))
    with pytest.raises(BadRequest, match="base checkpoint"):
        method.start(tiny_vlm, request_, from_values(method.config, {"reference": "base"}))


def test_cvf_comes_before_cagul(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS["cvf"]
    with pytest.raises(BadRequest, match="before CAGUL"):
        method.start(fitted_cagul(tiny_vlm, request_).attach(tiny_vlm), request_, from_values(method.config, {}))


def test_a_module_for_other_layers_is_refused(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    method = METHODS["cvf"]
    fit = method.start(tiny_vlm, request_, from_values(method.config, OPTIONS["cvf"]))
    list(fit)
    module = fit.module
    module.changes = {k: (dense(v)[:-1],) for k, v in module.changes.items()}
    with pytest.raises(BundleMismatch):
        module.attach(tiny_vlm)


def test_a_request_with_a_subject_on_both_sides_is_refused(request_: ForgetRequest) -> None:
    with pytest.raises(BadRequest, match="both"):
        ForgetRequest("both", request_.forget, (), request_.forget)


def test_probe_equals_greedy_decoding(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    rows = list(request_.retain[:6])
    said = tiny_vlm.ask([e.prompt for e in rows], max_new_tokens=4)
    for row, answer in zip(rows, said, strict=True):
        if answer.text and len(answer.ids) < 4:
            assert answered(tiny_vlm, [dataclasses.replace(row, answer=answer.text)]) == 1
    assert answered(tiny_vlm, [dataclasses.replace(rows[0], answer="surely not this")]) == 0
