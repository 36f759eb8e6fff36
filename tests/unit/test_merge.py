"""A merged checkpoint is an ordinary one that answers like the attached module, and is written whole or not at all."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor

sys.path.append(str(Path(__file__).parents[1] / "contract"))
from tests.contract.zoo import save
from unlearn_core import bundle, cli
from unlearn_core.methods import CagulModule, CvfModule, LoraModule, Module
from unlearn_core.methods.baselines.adapter import first_factors
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.capture import IMPLEMENTATION
from unlearn_core.vlm.errors import BadOption, BadRequest, NotMergeable, StorageFailed

Picture = Callable[..., Image.Image]
STEPS = 5


@pytest.fixture(scope="module", params=["llava", "qwen2_5_vl", "gemma3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints that differ in all that merging could get wrong: projector inside the tower or beside it, names on disk."""
    folder = tmp_path_factory.mktemp(request.param)
    save(request.param, folder)
    return folder


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def vlm(request: pytest.FixtureRequest, folder: Path) -> VLM:
    return VLM.load(folder, device="cpu", dtype=request.param)


def cvf_of(vlm: VLM) -> CvfModule:
    """Changes of every linear layer of tower and projector, by turns dense and of low rank."""
    generator = torch.Generator().manual_seed(0)
    changes = {}
    for path in vlm.family.seeing_parts():
        for name, layer in vlm.model.get_submodule(path).named_modules():
            if isinstance(layer, nn.Linear):
                o, d = layer.weight.shape
                shapes = [(o, 2), (2, d)] if len(changes) % 2 else [(o, d)]
                parts = tuple(torch.randn(shape, generator=generator) * 0.1 for shape in shapes)
                changes[f"{path}.{name}.weight"] = parts
    return CvfModule(changes, {"train": "vision"})


def lora_of(vlm: VLM) -> LoraModule:
    path = vlm.family.language
    factors = first_factors(vlm.model.get_submodule(path), 2, 0)
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(factor.shape, generator=generator) * 0.05 for name, factor in factors.items()}
    return LoraModule("gd", {f"{path}.{name}": factor for name, factor in drawn.items()}, 2, 4)


def cagul_of(vlm: VLM) -> CagulModule:
    return CagulModule(Gate(4 * vlm.width, 1, 0), TokenEncoder(vlm.width, 4), (0,), 0.5, "lowest")


def scores(vlm: VLM, image: Image.Image) -> list[Tensor]:
    return vlm.score([Prompt(image, "What is the job of this person?"), Prompt(None, "Who?")], ["baker", "Mira"])


def same_answers(one: VLM, other: VLM, image: Image.Image) -> None:
    """The same tokens; their probabilities up to rounding, which depends on where in memory a weight lies."""
    prompt = [Prompt(image, "What is the job of this person?")]
    assert one.ask(prompt, max_new_tokens=STEPS)[0].ids == other.ask(prompt, max_new_tokens=STEPS)[0].ids
    for a, b in zip(scores(one, image), scores(other, image), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


# -- what is written ---------------------------------------------------------------------------------------------------


def test_a_merged_cvf_has_the_weights_of_the_attached_one_to_the_last_bit(
    vlm: VLM, picture: Picture, tmp_path: Path
) -> None:
    module, image = cvf_of(vlm), picture(1, (64, 64))
    attached = module.attach(vlm)
    out = bundle.merge(module, vlm, tmp_path / "merged", title="Test", shard="50KB")
    assert len(list(out.glob("model-*-of-*.safetensors"))) > 1
    merged = VLM.load(out, device="cpu", dtype=bundle.stored_precision(out))
    before, wanted, after = (v.model.state_dict() for v in (vlm, attached, merged))
    assert all(
        torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype for name, tensor in wanted.items()
    )
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(module.changes)
    same_answers(merged, attached, image)
    assert scores(merged, image)[0].tolist() != scores(vlm, image)[0].tolist()


def test_plain_transformers_loads_it_and_answers_the_same(tiny_vlm: VLM, picture: Picture, tmp_path: Path) -> None:
    out = bundle.merge(cvf_of(tiny_vlm), tiny_vlm, tmp_path / "merged", title="Test")
    model, info = AutoModelForImageTextToText.from_pretrained(out, dtype="auto", output_loading_info=True)
    assert not any(info.values())
    processor = AutoProcessor.from_pretrained(out)
    image = picture(1)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who is this?"}]}]
    text = processor.apply_chat_template(asked, add_generation_prompt=True)
    inputs = processor(images=image, text=text, add_special_tokens=False, return_tensors="pt")
    said = model.generate(**inputs, max_new_tokens=STEPS, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    wanted = cvf_of(tiny_vlm).attach(tiny_vlm).ask([Prompt(image, "Who is this?")], max_new_tokens=STEPS)[0]
    assert tuple(said.tolist())[: len(wanted.ids)] == wanted.ids
    assert IMPLEMENTATION not in (out / "config.json").read_text()


def test_a_merged_lora_answers_like_the_attached_one_up_to_rounding(
    tiny_vlm: VLM, picture: Picture, tmp_path: Path
) -> None:
    module, image = lora_of(tiny_vlm), picture(1)
    out = bundle.merge(module, tiny_vlm, tmp_path / "merged", title="Test")
    merged = VLM.load(out, device="cpu")
    same_answers(merged, module.attach(tiny_vlm), image)
    assert all(not torch.allclose(a, b) for a, b in zip(scores(merged, image), scores(tiny_vlm, image), strict=True))
    assert "language model were changed" in (out / "README.md").read_text()


def test_all_that_is_not_weights_is_the_originals(vlm: VLM, folder: Path, tmp_path: Path) -> None:
    out = bundle.merge(cvf_of(vlm), vlm, tmp_path / "merged", title="Forget\none", limits=["A limit."])
    kept = {p.name for p in folder.iterdir()} - {"config.json", "model.safetensors"}
    assert kept >= {"tokenizer.json", "processor_config.json", "generation_config.json"}
    assert all((out / name).read_bytes() == (folder / name).read_bytes() for name in kept)
    assert {p.name for p in out.iterdir()} == kept | {"config.json", "model.safetensors", "README.md"}
    assert load_file(out / "model.safetensors").keys() == load_file(folder / "model.safetensors").keys()
    card = (out / "README.md").read_text()
    assert "# Forget one\n" in card
    assert "- A limit.\n" in card
    assert "Its licence applies here too.\nThe licence of the model is unknown" in card
    assert bundle.fingerprint(vlm) in card
    assert str(folder.parent) not in card


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_cagul_is_refused_with_the_way_to_serve_it(tiny_vlm: VLM, tmp_path: Path) -> None:
    with pytest.raises(NotMergeable, match=r"docs/serving\.md"):
        bundle.merge(cagul_of(tiny_vlm), tiny_vlm, tmp_path / "merged", title="")
    attached = cagul_of(tiny_vlm).attach(tiny_vlm)
    with pytest.raises(BadRequest, match="withdraw"):
        bundle.merge(cvf_of(tiny_vlm), attached, tmp_path / "merged", title="")
    assert not (tmp_path / "merged").exists()
    assert (Path(__file__).parents[2] / "docs" / "serving.md").is_file()


def test_nothing_is_overwritten_or_left_half_written(tiny_vlm: VLM, tmp_path: Path) -> None:
    module: Module = cvf_of(tiny_vlm)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    with pytest.raises(BadOption, match="empty folder"):
        bundle.merge(module, tiny_vlm, mine, title="")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
    try:
        with pytest.raises(StorageFailed, match="free some space"):
            bundle.merge(module, tiny_vlm, tmp_path / "merged", title="")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert (mine / "file").read_text() == "mine"


# -- command line ------------------------------------------------------------------------------------------------------


def test_the_command_keeps_the_precision_of_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_vlm: VLM, tmp_path: Path
) -> None:
    half = VLM.load(tiny_vlm.name, device="cpu", dtype="bfloat16")
    stored = bundle.merge(CvfModule({}, {}), half, tmp_path / "stored", title="As it was")
    path = bundle.export(
        cvf_of(half), VLM.load(stored), tmp_path / "a.zip", title="Forget one", report={}, limits=["No."]
    )
    words = ["unlearn", "merge", "--json", str(path), "--model", str(stored), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    cli.main()
    assert json.loads(capsys.readouterr().out) == {"folder": words[-1], "kind": "cvf", "base": "stored"}
    tensors: dict[str, Tensor] = load_file(tmp_path / "out" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert "# Forget one\n" in (tmp_path / "out" / "README.md").read_text()
