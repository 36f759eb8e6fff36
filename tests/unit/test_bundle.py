"""Bundles: what is exported comes back the same on the right model, and nothing else is believed."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import resource
import stat
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from tiny_method import WIDTH, TinyModule, load_tiny
from torch import nn
from transformers import AutoModelForImageTextToText

from unlearn_core import bundle
from unlearn_core.bundle import fingerprint
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BundleDamaged, BundleMismatch, StorageFailed

REPORT = {"drift": 0.25, "threshold": float("nan")}
LIMITS = ["Another photograph may get past the gate."]


@pytest.fixture(scope="module")
def module() -> TinyModule:
    return TinyModule(torch.linspace(-1, 1, WIDTH))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_vlm: VLM, module: TinyModule) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "result.zip"
    return bundle.export(module, tiny_vlm, path, title="Forget one", report=REPORT, limits=LIMITS)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A temp folder of its own for every test, which must be empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def other_weights(vlm: VLM) -> VLM:
    model = copy.deepcopy(vlm.model)
    with torch.no_grad():
        model.get_input_embeddings().weight[0, 0] += 1
    return VLM(model, vlm.processor, vlm.family, "another/model")


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
    assert (manifest.format, manifest.kind, manifest.title) == (1, "tiny", "Forget one")
    assert (manifest.report, manifest.limits) == ({"drift": 0.25, "threshold": None}, tuple(LIMITS))
    assert manifest.fingerprint == fingerprint(tiny_vlm)
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
    path = bundle.export(named, tiny_vlm, tmp_path / "a.zip", title="One\n# two", report={}, limits=LIMITS)
    with zipfile.ZipFile(path) as archive:
        card = archive.read("README.md").decode()
    assert card.startswith("# One # two\n")
    assert f"- {LIMITS[0]}\n" in card
    assert "has the knowledge back" in card or "has it back" in card
    code = card.split("```")[1].removeprefix("python\n")
    compile(code, "card", "exec")
    assert 'bundle.load("this file.zip", vlm).attach(vlm)' in code


def test_an_unlearned_model_may_export_and_load_as_well(
    tmp_path: Path, made: Path, tiny_vlm: VLM, module: TinyModule
) -> None:
    attached = module.attach(tiny_vlm)
    again = bundle.export(module, attached, tmp_path / "again.zip", title="", report={}, limits=[])
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
                bundle.export(TinyModule(torch.zeros(50_000)), tiny_vlm, path, title="", report={}, limits=[])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path, tiny_vlm: VLM, module: TinyModule) -> None:
    with pytest.raises(StorageFailed, match="still there"):
        bundle.export(module, tiny_vlm, tmp_path / "no" / "a.zip", title="", report={}, limits=[])


def test_what_could_not_be_read_back_is_never_put_in_place(tmp_path: Path, tiny_vlm: VLM, module: TinyModule) -> None:
    class Unreadable(TinyModule):
        def settings(self) -> dict[str, Any]:
            return {"strength": float("nan")}

    with pytest.raises(BundleDamaged):
        bundle.export(Unreadable(module.shift), tiny_vlm, tmp_path / "a.zip", title="", report={}, limits=[])
    assert not list(tmp_path.glob("*.zip"))


# -- fingerprint -------------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_that_of_the_model_below(tiny_vlm: VLM, module: TinyModule) -> None:
    attached = module.attach(module.attach(tiny_vlm))
    assert bundle.base_of(attached) is tiny_vlm
    path = tiny_vlm.family.projector
    changed = copy.deepcopy(tiny_vlm.model.get_submodule(path))
    nn.init.zeros_(next(changed.parameters()))
    assert fingerprint(attached) == fingerprint(tiny_vlm.with_parts({path: changed})) == fingerprint(tiny_vlm)


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_a_checkpoint_has_one_fingerprint_however_precisely_it_is_loaded(
    tmp_path: Path, tiny_folder: Path, tiny_vlm: VLM, stored: str
) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny_folder, dtype=getattr(torch, stored))
    model.save_pretrained(tmp_path / "checkpoint")
    tiny_vlm.processor.save_pretrained(tmp_path / "checkpoint")
    precisions = {"float32", "bfloat16", stored}
    prints = {fingerprint(VLM.load(tmp_path / "checkpoint", device="cpu", dtype=dtype)) for dtype in precisions}
    assert len(prints) == 1


def test_every_weight_name_and_shape_counts(tiny_vlm: VLM) -> None:
    def of(net: nn.Module) -> str:
        return fingerprint(VLM(net, None, tiny_vlm.family, ""))  # type: ignore[arg-type]

    def net(name: str, *shape: int) -> nn.Module:
        net = nn.Module()
        net.register_parameter(name, nn.Parameter(torch.ones(shape)))
        return net

    one = net("a", 2, 3)
    with torch.no_grad():
        one.a[1, 2] = 2
    whole = net("a", 2, 3)
    whole.a = nn.Parameter(torch.ones(2, 3, dtype=torch.int32), requires_grad=False)
    assert of(net("a", 2, 3)) == of(net("a", 2, 3))
    assert (
        len({of(n) for n in (net("a", 2, 3), net("a", 3, 2), net("b", 2, 3), net("a"), net("a", 0), one, whole)}) == 7
    )
    assert fingerprint(other_weights(tiny_vlm)) != fingerprint(tiny_vlm)


def test_the_fingerprint_is_quick_and_kept(tiny_vlm: VLM) -> None:
    vlm = VLM(nn.Linear(2_000, 2_500), None, tiny_vlm.family, "")  # type: ignore[arg-type]
    began = time.process_time()
    first = fingerprint(vlm)
    middle = time.process_time()
    assert fingerprint(vlm) == first
    assert middle - began < 0.5  # 0.01 s on an idle core
    assert time.process_time() - middle < 0.001


# -- another model -----------------------------------------------------------------------------------------------------


def test_a_bundle_for_another_model_says_which_one_it_needs(made: Path, tiny_vlm: VLM) -> None:
    for ask in (bundle.verify, bundle.load):
        with pytest.raises(BundleMismatch) as caught:
            ask(made, other_weights(tiny_vlm))
        assert f"Please load '{Path(tiny_vlm.name).name}'" in str(caught.value)
        assert "'another/model'" in str(caught.value)
        assert fingerprint(tiny_vlm)[:12] in str(caught.value)


# -- damage ------------------------------------------------------------------------------------------------------------


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forged(contents: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """These files with a manifest that fits them: what somebody can make who knows the format."""
    listed = {
        k: {"sha256": hashlib.sha256(v).hexdigest(), "size": len(v)} for k, v in contents.items() if "manifest" not in k
    }
    manifest = {**json.loads(contents["manifest.json"]), "files": listed, **changes}
    return {**contents, "manifest.json": json.dumps(manifest).encode()}


def packed(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def refused(path: Path, vlm: VLM) -> str:
    """The one sentence with which load and verify refuse a file."""
    with pytest.raises(BundleDamaged) as by_load:
        bundle.load(path, vlm, load_module=load_tiny)
    with pytest.raises(BundleDamaged) as by_verify:
        bundle.verify(path, vlm)
    assert str(by_load.value) == str(by_verify.value)
    return str(by_load.value)


@pytest.mark.parametrize("data", [b"", b"x", b"no zip at all" * 99, b"PK\5\6" + bytes(18), None])
def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path, tiny_vlm: VLM, data: bytes | None) -> None:
    path = tmp_path / "a.zip"
    if data is not None:
        path.write_bytes(data)
    refused(path, tiny_vlm)
    refused(tmp_path, tiny_vlm)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_bundle_cut_short_is_refused(made: Path, tiny_vlm: VLM, tmp_path_factory: Any, data: st.DataObject) -> None:
    whole = made.read_bytes()
    path = tmp_path_factory.getbasetemp() / "cut.zip"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refused(path, tiny_vlm)


@settings(max_examples=400, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@example(0.0, 1)
def test_a_flipped_byte_is_noticed_or_does_not_matter(
    made: Path, tiny_vlm: VLM, module: TinyModule, tmp_path_factory: Any, where: float, bits: int
) -> None:
    altered = bytearray(made.read_bytes())
    altered[int(where * len(altered))] ^= bits
    path = tmp_path_factory.getbasetemp() / "flipped.zip"
    path.write_bytes(altered)
    try:
        loaded = bundle.load(path, tiny_vlm, load_module=load_tiny)
    except BundleDamaged:
        return
    assert torch.equal(loaded.tensors()["shift"], module.shift)
    assert bundle.verify(path, tiny_vlm) == bundle.verify(made, tiny_vlm)
    assert contents(path) == contents(made)


@pytest.mark.parametrize("name", ["module.safetensors", "module.json", "README.md", "manifest.json"])
def test_a_missing_or_changed_file_is_refused(tmp_path: Path, made: Path, tiny_vlm: VLM, name: str) -> None:
    files = contents(made)
    without = {k: v for k, v in files.items() if k != name}
    assert refused(packed(tmp_path / "a.zip", {**without, "b": b""}), tiny_vlm).startswith("The bundle is incomplete")
    refused(packed(tmp_path / "a.zip", without), tiny_vlm)
    refused(
        packed(tmp_path / "a.zip", {**files, name: files[name] + b" "} if name != "manifest.json" else without),
        tiny_vlm,
    )


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "evil.pkl", "README.md/", "sub/"])
def test_a_file_more_is_refused_wherever_it_wants_to_go(tmp_path: Path, made: Path, tiny_vlm: VLM, name: str) -> None:
    refused(packed(tmp_path / "a.zip", {**contents(made), name: b"x"}), tiny_vlm)
    three = {k: v for k, v in contents(made).items() if k != "README.md"}
    refused(packed(tmp_path / "a.zip", {**three, name: b"x"}), tiny_vlm)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_is_refused(tmp_path: Path, made: Path, tiny_vlm: VLM) -> None:
    path = packed(tmp_path / "a.zip", {k: v for k, v in contents(made).items() if k != "README.md"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("module.json", b"{}")
    assert "incomplete" in refused(path, tiny_vlm)


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, made: Path, tiny_vlm: VLM, mode: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents(made).items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = ((mode if name == "module.safetensors" else stat.S_IFREG) | 0o777) << 16
            archive.writestr(entry, data)
    refused(path, tiny_vlm)


# -- bombs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_nothing_compressed_is_unpacked(tmp_path: Path, made: Path, tiny_vlm: VLM, method: int) -> None:
    files = forged({**contents(made), "module.safetensors": bytes(30_000_000)})
    path = packed(tmp_path / "a.zip", files, method)
    assert path.stat().st_size < 200_000
    assert "another program" in refused(path, tiny_vlm)


def test_a_bundle_above_the_limit_is_not_opened(made: Path, tiny_vlm: VLM) -> None:
    with pytest.raises(BundleDamaged, match="limit"):
        bundle.verify(made, tiny_vlm, max_bytes=made.stat().st_size - 1)
    bundle.verify(made, tiny_vlm, max_bytes=made.stat().st_size)


@pytest.mark.parametrize("name", ["module.json", "README.md", "manifest.json"])
def test_a_text_of_many_megabytes_is_not_read(tmp_path: Path, made: Path, tiny_vlm: VLM, name: str) -> None:
    files = contents(made)
    files[name] += b" " * bundle.MAX_TEXT
    assert "far too large" in refused(
        packed(tmp_path / "a.zip", files if "manifest" in name else forged(files)), tiny_vlm
    )


def test_sizes_that_are_lies_are_refused(tmp_path: Path, made: Path, tiny_vlm: VLM) -> None:
    whole = made.read_bytes()
    start = whole.index(b"PK\1\2")
    for size in (2**31, 2**32 - 1, 2**20):
        lie = bytearray(whole)
        lie[start + 20 : start + 28] = struct.pack("<2L", size, size)
        (tmp_path / "a.zip").write_bytes(lie)
        refused(tmp_path / "a.zip", tiny_vlm)


def test_a_list_of_very_many_files_is_not_read(tmp_path: Path, made: Path, tiny_vlm: VLM) -> None:
    path = packed(tmp_path / "a.zip", {**contents(made), **{f"{i}": b"" for i in range(50_000)}})
    began = time.process_time()
    refused(path, tiny_vlm)
    assert time.process_time() - began < 0.1
    whole = bytearray(path.read_bytes())
    whole[-14:-10] = struct.pack("<2H", 4, 4)
    path.write_bytes(whole)
    refused(path, tiny_vlm)


# -- forgeries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"NaN",
        b'{"kind": "tiny", "settings": {"a": NaN}}',
        b'{"kind": "tiny", "settings": {"a": 1e999}}',
        b'{"kind": "tiny", "settings": ' + b'{"a": ' * 40 + b"1" + b"}" * 41,
        b"[" * 2_000_000,
        b'{"kind": "other", "settings": {}}',
        b'{"settings": {}}',
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_settings_that_are_not_strict_json_are_refused(tmp_path: Path, made: Path, tiny_vlm: VLM, text: bytes) -> None:
    refused(packed(tmp_path / "a.zip", forged({**contents(made), "module.json": text})), tiny_vlm)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "1"},
        {"kind": 3},
        {"title": None},
        {"fingerprint": 7},
        {"limits": "abc"},
        {"versions": []},
        {"limits": [1]},
        {"versions": {"torch": 2}},
        {"report": []},
        {"files": {}},
        {"files": {"module.json": 3}},
        {"more": 1},
        {"base": "x" * 999},
        {"base": "a\nb"},
    ],
)
def test_a_manifest_of_another_shape_is_refused(
    tmp_path: Path, made: Path, tiny_vlm: VLM, change: dict[str, Any]
) -> None:
    refused(packed(tmp_path / "a.zip", forged(contents(made), **change)), tiny_vlm)
    refused(packed(tmp_path / "a.zip", {**contents(made), "manifest.json": b"[]"}), tiny_vlm)


def test_a_later_format_asks_for_an_update(tmp_path: Path, made: Path, tiny_vlm: VLM) -> None:
    path = packed(tmp_path / "a.zip", forged(contents(made), format=2))
    assert "Please update" in refused(path, tiny_vlm)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil",)


def test_a_pickle_is_never_run(tmp_path: Path, made: Path, tiny_vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = packed(tmp_path / "a.zip", forged({**contents(made), "module.safetensors": pickle.dumps(Evil())}))
    with pytest.raises(BundleDamaged):
        bundle.load(path, tiny_vlm, load_module=load_tiny)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "tensors", [{"shift": torch.zeros(WIDTH + 1)}, {"other": torch.zeros(WIDTH)}, {}, {"shift": torch.zeros(2, WIDTH)}]
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, made: Path, tiny_vlm: VLM, tensors: dict[str, torch.Tensor]
) -> None:
    path = packed(tmp_path / "a.zip", forged({**contents(made), "module.safetensors": save(tensors)}))
    with pytest.raises(BundleDamaged):
        bundle.load(path, tiny_vlm, load_module=load_tiny)


def test_a_kind_that_this_version_does_not_know_is_refused(made: Path, tiny_vlm: VLM) -> None:
    with pytest.raises(BundleDamaged):
        bundle.load(made, tiny_vlm)
