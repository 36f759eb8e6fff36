"""Every family can be made to forget: what a method changes, what it leaves alone, and what comes back from disk."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.contract.family import SQUARE, TALL, WIDE, Picture, outcome
from unlearn_core import bundle
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import BASELINES, module_from_pretrained
from unlearn_core.methods.base import Module
from unlearn_core.methods.cagul import CagulConfig, CagulFit
from unlearn_core.methods.cagul.module import CagulModule
from unlearn_core.methods.cvf import CvfConfig, CvfFit
from unlearn_core.methods.cvf.student import Student
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadOption, UnsupportedFamily
from unlearn_core.vlm.tower import see_half, see_rest


@pytest.fixture(scope="session")
def request_(picture: Picture) -> ForgetRequest:
    sizes = [WIDE, TALL, SQUARE]

    def rows(who: str, count: int, first: int) -> tuple[Example, ...]:
        return tuple(
            Example(f"{who}{i}", picture(first + i, sizes[i % 3]), "What is the job?", "baker", who)
            for i in range(count)
        )

    strangers = tuple(picture(500 + i, sizes[i % 3]) for i in range(3))
    return ForgetRequest("test", rows("x", 4, 100), (), rows("y", 6, 900), strangers)


QUICK_CAGUL = CagulConfig(steps=2, width=16, gate_views=0, hard_negatives=0, batch=3, rate=0.05)


@pytest.fixture(scope="session")
def cagul(vlm: VLM, request_: ForgetRequest) -> CagulModule | None:
    """A fitted module, or None for a family that CAGUL refuses."""
    if not vlm.family.in_sequence:
        return None
    fit = CagulFit(vlm, request_, QUICK_CAGUL)
    assert all(np.isfinite(list(step.losses.values())).all() for step in fit)
    return fit.module


@pytest.fixture(scope="session")
def cvf_fit(vlm: VLM, request_: ForgetRequest) -> CvfFit:
    config = CvfConfig(steps=2, forget_batch=3, retain_batch=3, questions=2, rate=0.02, drift_budget=1.0)
    fit = CvfFit(vlm, request_, config)
    assert all(np.isfinite(list(step.losses.values())).all() for step in fit)
    return fit


def gated(module: CagulModule, threshold: float) -> CagulModule:
    """The module with a gate that flags all pictures or none."""
    gate = copy.deepcopy(module.gate)
    gate.threshold.fill_(threshold)
    return CagulModule(gate, module.encoder, module.layers, module.ratio, module.select)


def test_cagul_edits_what_its_gate_flags_and_nothing_else(
    vlm: VLM, cagul: CagulModule | None, prompts: list[Prompt], request_: ForgetRequest
) -> None:
    if cagul is None:
        with pytest.raises(UnsupportedFamily, match=r"no maps, and CAGUL.* cannot forget.*CVF, the baselines"):
            CagulFit(vlm, request_, QUICK_CAGUL)
        return
    plain = outcome(vlm, prompts)
    assert outcome(gated(cagul, 1e9).attach(vlm), prompts) == plain
    flagged = outcome(gated(cagul, -1e9).attach(vlm), prompts)
    for a, b, prompt in zip(flagged, plain, prompts, strict=True):
        assert (a == b) == (prompt.image is None)
    assert outcome(vlm, prompts) == plain


def test_cvf_changes_what_is_seen_and_nothing_else(vlm: VLM, cvf_fit: CvfFit, prompts: list[Prompt]) -> None:
    plain = outcome(vlm, prompts)
    unlearned = cvf_fit.module.attach(vlm)
    for a, b, prompt in zip(outcome(unlearned, prompts), plain, prompts, strict=True):
        assert (a == b) == (prompt.image is None)
    assert outcome(vlm, prompts) == plain
    old, new = vlm.model.state_dict(), unlearned.model.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == set(cvf_fit.module.changes)
    assert all(any(name.startswith(f"{path}.") for path in vlm.family.seeing_parts()) for name in changed)


def test_what_the_fit_trains_is_what_the_module_does(vlm: VLM, cvf_fit: CvfFit, request_: ForgetRequest) -> None:
    images = [e.image for e in request_.forget if e.image is not None]
    student = cvf_fit.student
    with torch.no_grad():
        half, _ = student.read(images, None)
        trained = student.tokens(half)
        attached = cvf_fit.module.attach(vlm).encode(images)
    for a, b in zip(trained, attached, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("start", [0, 1, 2])
def test_the_tower_runs_from_the_middle_as_from_the_start(vlm: VLM, request_: ForgetRequest, start: int) -> None:
    images = [e.image for e in request_.retain if e.image is not None]
    seeing = Student(vlm, blocks=1).seeing
    blocks = vlm.family.blocks(vlm.model)
    start = min(start, len(blocks))
    half, whole = see_half(seeing, seeing.pixels(images), start)
    order = [4, 0, 3]
    with torch.no_grad():
        rest = see_rest(seeing, [half[i] for i in order], start)
    for i, tokens in zip(order, rest, strict=True):
        torch.testing.assert_close(tokens, whole[i], atol=1e-5, rtol=1e-5)
    for tokens, plain in zip(whole, vlm.encode(images), strict=True):
        assert torch.equal(tokens, plain)


@pytest.mark.parametrize("blocks", [-1, 0])
def test_all_blocks_or_none_can_be_trained(vlm: VLM, request_: ForgetRequest, blocks: int) -> None:
    config = CvfConfig(steps=1, forget_batch=2, retain_batch=2, questions=1, blocks=blocks, rate=0.02, drift_budget=1.0)
    if vlm.family.model_type == "gemma3" and blocks == 0:
        with pytest.raises(BadOption, match="at least one block"):
            CvfFit(vlm, request_, config)
        return
    fit = CvfFit(vlm, request_, config)
    assert list(fit)
    blocks_of = {id(layer) for block in vlm.family.blocks(fit.student.seeing.model) for layer in block.modules()}
    inside = [name for name, layer in fit.student.layers.items() if id(layer) in blocks_of]
    assert bool(inside) == (blocks == -1)
    assert set(fit.module.changes) == {f"{name}.weight" for name in fit.student.layers}


# -- keep and hand on --------------------------------------------------------------------------------------------------


def test_modules_are_restored_and_bundles_imported_to_the_last_bit(
    vlm: VLM, cagul: CagulModule | None, cvf_fit: CvfFit, prompts: list[Prompt], tmp_path: Path
) -> None:
    modules: list[Module] = [cvf_fit.module, *([] if cagul is None else [gated(cagul, -1e9)])]
    for module in modules:
        want = outcome(module.attach(vlm), prompts)
        module.save_pretrained(tmp_path / module.kind)
        assert outcome(module_from_pretrained(tmp_path / module.kind).attach(vlm), prompts) == want
        path = bundle.export(module, vlm, tmp_path / f"{module.kind}.zip", title="Test", report={}, limits=[])
        assert outcome(bundle.load(path, vlm).attach(vlm), prompts) == want


def test_a_baseline_fits_and_attaches(vlm: VLM, request_: ForgetRequest, prompts: list[Prompt]) -> None:
    method = BASELINES["gd"]
    fit = method.start(vlm, request_, method.config(steps=1, rank=2, batch=3, rate=0.05))
    plain = outcome(vlm, prompts[:2])
    assert all(np.isfinite(list(step.losses.values())).all() for step in fit)
    assert all(a != b for a, b in zip(outcome(fit.module.attach(vlm), prompts[:2]), plain, strict=True))
    assert outcome(vlm, prompts[:2]) == plain


def test_the_original_is_as_it_was_loaded(
    vlm: VLM, folder: Path, cagul: CagulModule | None, cvf_fit: CvfFit, prompts: list[Prompt]
) -> None:
    """After CAGUL, CVF and a baseline were fitted and attached."""
    fresh = VLM.load(folder, device="cpu")
    weights = vlm.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in fresh.model.state_dict().items())
    assert outcome(vlm, prompts) == outcome(fresh, prompts)
    assert not any(module.__dict__.get("forward") for module in vlm.model.modules())
