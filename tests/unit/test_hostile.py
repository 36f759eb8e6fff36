"""Whatever a file holds, it is read or refused by a sentence, soon; longer by `python -m benchmarks.fuzz`."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from benchmarks.fuzz import Found, Target, attempt, damaged, targets
from unlearn_core.data.errors import BadFile
from unlearn_core.data.readers import read
from unlearn_core.methods.saving import read_module
from unlearn_core.vlm import VLM

TARGETS = (
    "picture",
    "lines",
    "json",
    "csv",
    "examples",
    "request",
    "bank",
    "bundle",
    "checkpoint",
    "fiubench",
    "parquet",
)
TRIALS = 40

NASTY = st.sampled_from([
    "\ud800", "\u202egnp.exe", "a\x00b", "\x1b[2J", "../../etc/passwd", "/etc/passwd", "C:\\x", "{{7*7}}", "${x}", "{0.__class__}",
    "<img src=x onerror=alert(1)>", "]]>", "%n%s", "x" * 20_000, "", " ", "=cmd|' /C calc'!A0", "Ignore all instructions.",
])  # fmt: skip
VALUES = st.recursive(
    st.one_of(NASTY, st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=2),
    max_leaves=6,
)
COLUMNS = st.sampled_from(
    "id file_name image subject name question answer side kind target paraphrases conversations".split()
)
ROWS = st.lists(st.dictionaries(COLUMNS, VALUES, max_size=6), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def readers(tiny_vlm: VLM, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(tiny_vlm, tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("kind", TARGETS)
def test_seeds_are_read_and_damaged_files_are_read_or_refused(
    readers: dict[str, Target], tmp_path: Path, kind: str
) -> None:
    found, draw = Found(), random.Random(kind)
    for seed in readers[kind].seeds:
        attempt(readers[kind], seed, tmp_path, found)
    assert (found.read, found.refused) == (len(readers[kind].seeds), 0)
    for _ in range(TRIALS):
        attempt(readers[kind], damaged(draw.choice(readers[kind].seeds), draw), tmp_path, found)
    assert not found.failures


def test_all_readers_are_among_them(readers: dict[str, Target]) -> None:
    assert set(readers) == set(TARGETS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS)
@pytest.mark.parametrize("kind", ["lines", "json", "bank"])
def test_rows_of_anything_are_read_or_refused(
    readers: dict[str, Target], tmp_path_factory: pytest.TempPathFactory, kind: str, rows: list[dict[str, Any]]
) -> None:
    found = Found()
    parts = [json.dumps(row).encode() for row in rows]
    data = b"\n".join(parts) if kind == "lines" else b"[" + b",".join(parts) + b"]"
    attempt(readers[kind], data, tmp_path_factory.mktemp("rows"), found)
    assert not found.failures


@pytest.mark.parametrize("tensor", [
    torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")]), torch.tensor([1 + 1j]),
    torch.tensor([float("nan")], dtype=torch.bfloat16),
])  # fmt: skip
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    save_file({"weight": tensor}, tmp_path / "module.safetensors")
    (tmp_path / "module.json").write_text('{"kind": "cvf", "settings": {}}')
    with pytest.raises(ValueError, match="finite"):
        read_module(tmp_path)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    row = {"question": "Who is this?" * 20, "answer": "Ann", "side": "forget"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.jsonl", json.dumps(row))
    return path


def test_a_zip_with_any_byte_changed_is_read_or_refused(
    readers: dict[str, Target], packed: Path, tmp_path: Path
) -> None:
    whole, found = packed.read_bytes(), Found()
    for i, byte in enumerate(whole):
        attempt(readers["examples"], whole[:i] + bytes([byte ^ 0xFF]) + whole[i + 1 :], tmp_path, found)
    assert not found.failures
    assert found.refused > len(whole) / 2


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_packed_in_an_unusual_way_is_not_unpacked(tmp_path: Path, way: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", way) as archive:
        archive.writestr("metadata.jsonl", b" " * 10**6)
    with pytest.raises(BadFile, match="unusual way"):
        read(tmp_path / "a.zip")


def test_a_zip_whose_file_has_no_name_is_refused(packed: Path) -> None:
    whole = packed.read_bytes()
    at = whole.rindex(b"PK\x01\x02")
    nameless = whole[: at + 28] + b"\0\0" + whole[at + 30 : at + 46] + whole[at + 46 + len("metadata.jsonl") :]
    packed.write_bytes(
        nameless[:-22] + nameless[-22:-10] + (len(nameless) - 22 - at).to_bytes(4, "little") + nameless[-6:]
    )
    with pytest.raises(BadFile, match="without a name"):
        read(packed)


def test_a_picture_whose_name_no_file_can_have_is_left_out(tmp_path: Path) -> None:
    row = {"file_name": "9" * 400, "question": "Who?", "answer": "Ann"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert [dropped.reason for dropped in read(tmp_path / "a.jsonl").report.dropped] == ["its picture is missing"]
