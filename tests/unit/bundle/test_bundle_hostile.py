"""Bundles from strangers: damaged, altered, forged, or made to fill memory and disk. None is believed, and none is run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import stat
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from tests.unit.tiny_method import WIDTH, TinyModule, load_tiny
from unlearn_core import bundle
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BundleDamaged

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


@settings(max_examples=150, deadline=None)
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
    path = packed(tmp_path / "a.zip", {**contents(made), **{f"{i}": b"" for i in range(20_000)}})
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
        {"base_license": "a\nb"},
        {"data_license": "x" * 999},
        {"data_license": None},
    ],
)
def test_a_manifest_of_another_shape_is_refused(
    tmp_path: Path, made: Path, tiny_vlm: VLM, change: dict[str, Any]
) -> None:
    refused(packed(tmp_path / "a.zip", forged(contents(made), **change)), tiny_vlm)
    refused(packed(tmp_path / "a.zip", {**contents(made), "manifest.json": b"[]"}), tiny_vlm)


def test_a_later_format_asks_for_an_update(tmp_path: Path, made: Path, tiny_vlm: VLM) -> None:
    path = packed(tmp_path / "a.zip", forged(contents(made), format=4))
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
