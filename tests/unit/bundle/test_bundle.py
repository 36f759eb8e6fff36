"""Bundles: what is exported comes back the same on the right model, and is only put in place when it does."""

from __future__ import annotations

import copy
import hashlib
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.unit.bundle.conftest import LIMITS, MADE
from tests.unit.tiny_method import TinyModule, load_tiny
from unlearn_core import bundle
from unlearn_core.bundle import Made, fingerprint
from unlearn_core.bundle.cards import OTHER
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.card import UNKNOWN
from unlearn_core.vlm.errors import BadOption, BundleDamaged, StorageFailed

NOTHING: dict[str, Any] = {"title": "", "report": {}, "limits": [], "load_module": load_tiny}


# -- there and back ----------------------------------------------------------------------------------------------------


def test_what_is_exported_comes_back_the_same(
    made: Path, tiny_vlm: VLM, module: TinyModule, picture: Callable[..., Image.Image]
) -> None:
    loaded = bundle.load(made, tiny_vlm, load_module=load_tiny)
    assert torch.equal(loaded.tensors()["shift"], module.shift)
    prompts = [Prompt(picture(0), "Who is this?")]
    before, after = tiny_vlm.see(prompts)[0].tokens, loaded.attach(tiny_vlm).see(prompts)[0].tokens
    assert torch.equal(after, before + module.shift)


def test_the_manifest_says_what_it_is_and_for_which_model(made: Path, tiny_vlm: VLM) -> None:
    manifest = bundle.verify(made, tiny_vlm)
    assert (manifest.format, manifest.kind, manifest.title) == (3, "tiny", "Forget one")
    assert Made(manifest.method, manifest.config, manifest.data) == MADE
    assert (manifest.report, manifest.limits) == ({"drift": 0.25, "threshold": None}, (OTHER[1], *LIMITS))
    assert manifest.fingerprint == manifest.fitted_on == fingerprint(tiny_vlm)
    assert (manifest.base, manifest.revision) == (Path(tiny_vlm.name).name, "")
    assert (manifest.base_license, manifest.data_license) == ("unknown", "unknown")
    assert manifest.versions.keys() == {"python", "vlm-unlearning-studio", "torch", "transformers", "safetensors"}
    with zipfile.ZipFile(made) as archive:
        assert set(archive.namelist()) == {"module.safetensors", "module.json", "README.md", "manifest.json"}
        for name, content in manifest.files.items():
            data = archive.read(name)
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (content.sha256, content.size)


def test_the_way_to_the_model_on_this_machine_is_not_told(made: Path, tiny_vlm: VLM) -> None:
    assert Path(tiny_vlm.name).is_absolute()
    assert bundle.verify(made, tiny_vlm).base == Path(tiny_vlm.name).name
    assert str(Path(tiny_vlm.name).parent).encode() not in made.read_bytes()


@pytest.mark.parametrize("kind", ["cagul", "cvf", "tiny"])
def test_the_card_tells_limits_and_how_to_load(tmp_path: Path, tiny_vlm: VLM, module: TinyModule, kind: str) -> None:
    named = copy.copy(module)
    named.kind = kind
    path = tmp_path / "a.zip"
    bundle.export(named, tiny_vlm, path, title="One\n# two", report={}, limits=LIMITS, load_module=lambda _: module)
    with zipfile.ZipFile(path) as archive:
        card = archive.read("README.md").decode()
    assert card.startswith("# One # two\n")
    assert f"- {LIMITS[0]}\n" in card
    assert "has the knowledge back" in card or "has it back" in card
    code = card.split("```")[1].removeprefix("python\n")
    compile(code, "card", "exec")
    assert f'from_pretrained("this file.zip", base="folder of {Path(tiny_vlm.name).name}")' in code


@pytest.mark.parametrize(("base", "data", "said"), [
    ("llama3.2", "cc-by-4.0\n# two", ("the licence `llama3.2`", "the licence `cc-by-4.0 # two`")),
    ("mit", "` <img src=x>", ("the licence `mit`", "the licence `' <img src=x>`")),
    (UNKNOWN, UNKNOWN, ("licence of the model is unknown", "answers that this was fitted on is unknown")),
])  # fmt: skip
def test_licences_are_named_or_called_unknown(
    tmp_path: Path, tiny_vlm: VLM, module: TinyModule, base: str, data: str, said: tuple[str, str]
) -> None:
    vlm = VLM(tiny_vlm.model, tiny_vlm.processor, tiny_vlm.family, tiny_vlm.name, license=base)
    path = bundle.export(module, module.attach(vlm), tmp_path / "a.zip", **NOTHING, made=Made(data_license=data))
    manifest = bundle.describe(path)
    assert (manifest.base_license, manifest.data_license) == (base, " ".join(data.split()))
    with zipfile.ZipFile(path) as archive:
        card = archive.read("README.md").decode()
    assert all(sentence in card for sentence in said)


@pytest.mark.parametrize("data", ["x" * 201, "cc-by\x07"])
def test_what_is_no_name_of_a_licence_is_refused(tmp_path: Path, tiny_vlm: VLM, module: TinyModule, data: str) -> None:
    with pytest.raises(BadOption, match=r"cc-by-4\.0"):
        bundle.export(module, tiny_vlm, tmp_path / "a.zip", **NOTHING, made=Made(data_license=data))
    assert not (tmp_path / "a.zip").exists()


def test_an_unlearned_model_may_export_and_load_as_well(
    tmp_path: Path, made: Path, tiny_vlm: VLM, module: TinyModule
) -> None:
    attached = module.attach(tiny_vlm)
    again = bundle.export(module, attached, tmp_path / "again.zip", **NOTHING)
    assert bundle.verify(again, tiny_vlm).fingerprint == bundle.verify(made, attached).fingerprint


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, tiny_vlm: VLM) -> None:
    path = tmp_path / "out" / "result.zip"
    path.parent.mkdir()
    path.write_bytes(b"old")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (100_000, 202_000):  # the module itself does not fit; the module fits, the zip does not
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
        try:
            with pytest.raises(StorageFailed, match="free some space"):
                bundle.export(TinyModule(torch.zeros(50_000)), tiny_vlm, path, **NOTHING)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path, tiny_vlm: VLM, module: TinyModule) -> None:
    with pytest.raises(StorageFailed, match="still there"):
        bundle.export(module, tiny_vlm, tmp_path / "no" / "a.zip", **NOTHING)


def test_what_could_not_be_read_back_is_never_put_in_place(tmp_path: Path, tiny_vlm: VLM, module: TinyModule) -> None:
    class Unreadable(TinyModule):
        def settings(self) -> dict[str, Any]:
            return {"strength": float("nan")}

    with pytest.raises(BundleDamaged):
        bundle.export(Unreadable(module.shift), tiny_vlm, tmp_path / "a.zip", **NOTHING)
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize("strength", [0.0, 1e-3])
def test_what_works_differently_after_reading_is_never_put_in_place(
    tmp_path: Path, tiny_vlm: VLM, module: TinyModule, picture: Callable[..., Image.Image], strength: float
) -> None:
    """Other numbers, and numbers that are the same but used otherwise: no checksum could tell."""

    class Careless(TinyModule):
        def attach(self, vlm: VLM) -> VLM:
            return TinyModule(self.shift * 40).attach(vlm)

    def read(folder: Path) -> TinyModule:
        return TinyModule(load_tiny(folder).shift + strength) if strength else Careless(load_tiny(folder).shift)

    prompts = [Prompt(picture(i), "Who is this?") for i in range(2)]
    path = tmp_path / "a.zip"
    with pytest.raises(BundleDamaged, match="does not work like the result"):
        bundle.export(module, tiny_vlm, path, **NOTHING | {"load_module": read}, prompts=prompts)
    assert not list(tmp_path.glob("*.zip"))
    bundle.export(module, tiny_vlm, path, **NOTHING, prompts=prompts)
