"""CVF + NCU on a tiny random model: what is trained, what is protected, what is stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import module_from_pretrained
from unlearn_core.methods.cvf import CvfConfig, CvfFit, CvfModule, Protected, in_sequence
from unlearn_core.methods.cvf.features import Pooling, nearest, pool
from unlearn_core.methods.cvf.module import smallest
from unlearn_core.methods.cvf.moments import Sums
from unlearn_core.methods.weights import dense
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest

QUICK = {"steps": 3, "forget_batch": 3, "retain_batch": 4, "questions": 3, "rate": 1e-2}


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 48, 3), dtype=np.uint8))


def request(subject: str = "x", seed: int = 0, retained: int = 8) -> ForgetRequest:
    def rows(who: str, count: int, first: int) -> tuple[Example, ...]:
        return tuple(Example(f"{who}{i}", picture(first + i), "What is the job?", "baker", who) for i in range(count))

    return ForgetRequest(
        "test", rows(subject, 4, seed), (), rows("y", retained, 900), tuple(picture(500 + i) for i in range(6))
    )


def fitted(vlm: VLM, asked: ForgetRequest, protected: Protected | None = None, **options: object) -> CvfFit:
    fit = CvfFit(vlm, asked, CvfConfig(**(QUICK | options)), protected)
    assert list(fit)
    return fit


# -- what is trained --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "parts"),
    [
        ("projector", {"model.multi_modal_projector"}),
        ("visual", {"model.multi_modal_projector", "model.vision_tower"}),
        ("everything", {"model.multi_modal_projector", "model.vision_tower", "model.language_model"}),
    ],
)
def test_the_parts_that_are_said_to_be_trained_change_and_no_other(train: str, parts: set[str], tiny_vlm: VLM) -> None:
    unlearned = fitted(tiny_vlm, request(), train=train).module.attach(tiny_vlm)
    old, new = tiny_vlm.model.state_dict(), unlearned.model.state_dict()
    assert {".".join(k.split(".")[:2]) for k in old if not torch.equal(old[k], new[k])} == parts


@pytest.mark.parametrize("off", ["contrast_weight", "answer_weight", "retain_weight"])
def test_a_term_of_weight_zero_is_not_computed(off: str, tiny_vlm: VLM) -> None:
    fit = CvfFit(tiny_vlm, request(), CvfConfig(**(QUICK | {off: 0.0})))
    losses = [step.losses for step in fit if step.losses]
    assert losses
    assert all(off.removesuffix("_weight") not in names for names in losses)


def test_the_reference_can_be_a_base_checkpoint(tiny_vlm: VLM, tiny_folder: Path) -> None:
    fitted(tiny_vlm, request(), reference="base", base_model=str(tiny_folder))


@pytest.mark.parametrize("how", ["mean+std", "mean"])
def test_pooled_features_are_centred_and_scaled_by_what_is_retained(how: str) -> None:
    tokens = torch.randn(50, 9, 4, generator=torch.Generator().manual_seed(0)) * 3 + 2
    pooled = Pooling.of(Sums.of(pool(tokens)), Sums.of(tokens), how)(pool(tokens))
    assert pooled.shape == (50, 8 if how == "mean+std" else 4)
    torch.testing.assert_close(pooled.mean(0), torch.zeros(pooled.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(pooled.std(0, correction=0), torch.ones(pooled.shape[1]), atol=1e-5, rtol=0)


# -- what is protected ------------------------------------------------------------------------------------------------


def test_the_retained_nearest_to_any_of_the_forgotten_are_found() -> None:
    kept, gone = torch.tensor([[0.0, 0], [9, 1], [5, 0], [0, 9], [50, 50]]), torch.tensor([[9.0, 0], [0, 8.5]])
    assert nearest(kept, gone, 2) == [3, 1, 2]
    assert nearest(kept, gone, 5) == [3]


def test_with_a_true_null_space_retained_tokens_stay_and_forgetting_succeeds(tiny_folder: Path) -> None:
    """One retained picture has 17 tokens in a tower 32 wide: every layer has directions that it does not use."""
    vlm = VLM.load(tiny_folder, device="cpu", dtype="float64")
    asked = dataclasses.replace(request(retained=1), strangers=())
    options = {
        "null_space": "hard",
        "drift_budget": 1e-6,
        "reach": 1.0,
        "retain_weight": 0.0,
        "retain_questions": 0,
        "company": 0,
    }
    fit = fitted(vlm, asked, **options, reference="blurred", blocks=-1, steps=60, rate=3e-2, contrast_weight=0.0)
    unlearned = fit.module.attach(vlm)
    kept, gone = [asked.retain[0].image], [e.image for e in asked.forget]
    old, new = torch.stack(vlm.encode(kept)), torch.stack(unlearned.encode(kept))
    assert float((new - old).norm() / old.norm()) < 1e-6
    old, new = torch.stack(vlm.encode(gone)), torch.stack(unlearned.encode(gone))
    assert float((new - old).norm() / old.norm()) > 0.5
    prompts, target = [e.prompt for e in asked.forget], asked.refusals[0]
    before = torch.stack(vlm.score(prompts, [target] * 4)).sum(1)
    assert bool((torch.stack(unlearned.score(prompts, [target] * 4)).sum(1) > before + 3).all())


def test_moments_alone_can_stand_for_retained_pictures(tiny_vlm: VLM, tmp_path: Path) -> None:
    first = fitted(tiny_vlm, request())
    first.protected().save(tmp_path)
    stored = Protected.load(tmp_path)
    for name, fitter in first.kept.layers.items():
        assert torch.equal(stored.kept.layers[name].sum, fitter.sum)
        assert stored.kept.layers[name].count == fitter.count
    bare = dataclasses.replace(request("z", 50), retain=())
    fit = fitted(tiny_vlm, bare, moments=str(tmp_path), drift_budget=0.01)
    assert all(layer["predicted_drift"] <= 0.01001 for layer in fit.report["layers"].values())
    assert "retain" not in [name for step in CvfFit(tiny_vlm, bare, fit.config) for name in step.losses]


def test_without_retained_pictures_or_moments_nothing_is_started(tiny_vlm: VLM) -> None:
    with pytest.raises(BadRequest, match="kept"):
        CvfFit(tiny_vlm, dataclasses.replace(request(), retain=()), CvfConfig(**QUICK))


def test_moments_of_other_layers_are_refused(tiny_vlm: VLM, tmp_path: Path) -> None:
    fitted(tiny_vlm, request(), blocks=1).protected().save(tmp_path)
    with pytest.raises(BadRequest, match="other layers"):
        CvfFit(tiny_vlm, request(), CvfConfig(**(QUICK | {"blocks": 2, "moments": str(tmp_path)})))


@pytest.mark.parametrize("damage", ["missing", "text", "pickle"])
def test_what_is_no_moments_is_refused(damage: str, tiny_vlm: VLM, tmp_path: Path) -> None:
    fitted(tiny_vlm, request()).protected().save(tmp_path)
    file = tmp_path / "kept" / "moments.safetensors"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"no tensors" if damage == "text" else b"\x80\x04K\x01.")
    with pytest.raises(BadRequest, match="No stored moments"):
        CvfFit(tiny_vlm, request(), CvfConfig(**(QUICK | {"moments": str(tmp_path)})))


def test_in_sequence_each_fit_goes_on_from_the_last_and_protects_it(tiny_vlm: VLM) -> None:
    requests = [request("x", 0), request("z", 50), request("w", 70)]
    steps = list(in_sequence(tiny_vlm, requests, CvfConfig(**(QUICK | {"drift_budget": 0.02}))))
    (first, after_first), (second, _), (third, last) = steps
    assert second.vlm is after_first
    name, change = next(iter(third.student.changes.items()))
    forgotten = third.gone.layers[name]
    assert forgotten.count == 2 * first.protected().gone.layers[name].count
    both = (third.kept + third.gone).layers[name].null_space
    weight = after_first.model.get_submodule(name).get_parameter("weight")
    assert both.drift(change.delta().detach(), weight) <= 0.021
    assert last.base is third.vlm
    unprotected = list(in_sequence(tiny_vlm, requests, CvfConfig(**QUICK), protect=False))
    assert not unprotected[-1][0].gone.layers


def test_stored_moments_hold_no_more_than_sums(tiny_vlm: VLM, tmp_path: Path) -> None:
    """Their size does not depend on how many pictures they are of."""
    sizes = []
    for retained in (4, 8):
        fitted(tiny_vlm, request(retained=retained)).protected().save(tmp_path / str(retained))
        sizes.append(sum(f.stat().st_size for f in (tmp_path / str(retained)).rglob("*.safetensors")))
    assert sizes[0] == sizes[1]


# -- what is stored ---------------------------------------------------------------------------------------------------


def test_a_change_is_stored_as_small_as_it_can_be(tiny_vlm: VLM, tmp_path: Path) -> None:
    whole, cut = fitted(tiny_vlm, request()).module, fitted(tiny_vlm, request(), rank=2).module
    narrow = fitted(tiny_vlm, request(), null_space="ratio", directions=3).module
    size = {id(m): sum(t.numel() for t in m.tensors().values()) for m in (whole, cut, narrow)}
    assert size[id(cut)] < size[id(whole)] / 4
    assert size[id(narrow)] < size[id(whole)] / 3
    for module in (cut, narrow):
        module.save_pretrained(tmp_path)
        again = module_from_pretrained(tmp_path)
        assert isinstance(again, CvfModule)
        assert all(torch.equal(dense(again.changes[k]), dense(v)) for k, v in module.changes.items())


def test_cutting_keeps_the_best_of_a_change() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(20, 6), torch.randn(6, 30)
    cut = dense(smallest(left, right, 4))
    singular = torch.linalg.svdvals(left @ right)
    assert int(torch.linalg.matrix_rank(cut)) == 4
    torch.testing.assert_close((left @ right - cut).norm(), singular[4:].norm(), rtol=1e-4, atol=1e-4)
