"""Requests larger than memory: what leaves memory comes back the same, and a fit cannot tell the difference."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from tests.unit.tiny_method import request_of
from unlearn_core.data import stored
from unlearn_core.data.augment import augment
from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import ForgetRequest
from unlearn_core.data.stored import Latest, StoredPicture
from unlearn_core.methods import METHODS, spilling
from unlearn_core.methods.spilling import Spilling
from unlearn_core.runs.requests import digests, export_folder, load_request
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import StorageFailed
from unlearn_core.vlm.images import to_rgb

Picture = Callable[..., Image.Image]


def test_what_was_spilled_comes_back_bit_by_bit() -> None:
    one = torch.randn(3, 40)
    values = {i: [one[:, i : i + 2], one.bfloat16(), torch.arange(i, i + 5)][i % 3] for i in range(30)}
    spilled: Spilling[int, torch.Tensor] = Spilling(memory=600)
    spilled.update(values)
    for key in [*values, *np.random.default_rng(0).integers(30, size=200).tolist()]:
        assert torch.equal(spilled[key], values[key])
        assert spilled[key].dtype == values[key].dtype
        assert len(spilled._held) == 1 or sum(p[""].nbytes for p in spilled._held.values()) <= 600
    assert list(spilled) == list(values)
    del spilled[3]
    assert 3 not in spilled
    with pytest.raises(KeyError):
        spilled[3]


def test_the_file_has_a_limit_and_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spilled: Spilling[int, torch.Tensor] = Spilling(memory=0, disk=5_000)
    for i in range(11):  # a number takes 4 bytes, and each entry some 70 more; the newest stays in memory
        spilled[i] = torch.zeros(100)
    with pytest.raises(StorageFailed, match="more than 0 GiB"):
        spilled[11] = torch.zeros(1)
    assert list(tmp_path.iterdir()) == [], "a crash would leave nothing"
    number = spilled._file.fileno()
    del spilled
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_stored_picture_is_a_picture(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    latest, reads = Latest(0), []
    monkeypatch.setattr(stored, "LATEST", latest)
    plain = [picture(i, (40, 30)) for i in range(3)]

    def one(i: int) -> StoredPicture:
        return StoredPicture(plain[i].size, lambda: reads.append(i) or plain[i].copy())

    for i, image in enumerate(plain):
        own = one(i)
        for do in (
            to_rgb,
            lambda x: x.convert("L"),
            lambda x: x.resize((7, 5)),
            lambda x: x.crop((1, 2, 9, 9)),
            lambda x: x.filter(ImageFilter.GaussianBlur(2)),
            lambda x: augment(x, np.random.default_rng(0)),
        ):
            assert np.array_equal(np.asarray(do(own)), np.asarray(do(image)))
        assert own.getpixel((3, 4)) == image.getpixel((3, 4))
        assert own.tobytes() == image.tobytes()
    assert len(latest._held) == 1
    changed = one(0)
    changed.thumbnail((8, 8))
    reads.clear()
    assert (changed.size, len(changed.tobytes()), reads) == ((8, 6), 144, [])


def test_a_picture_that_was_changed_meanwhile_is_noticed(tmp_path: Path, picture: Picture) -> None:
    folder = export_folder(request_of([picture(i) for i in range(3)]), tmp_path / "request")
    request = load_request(folder, held=False)
    for path in (folder / "pictures").iterdir():
        picture(9).save(path)
    assert request.forget[0].image is not None
    with pytest.raises(BadFile, match="not the one that its name says"):
        request.forget[0].image.tobytes()


@pytest.mark.parametrize("name", METHODS)
def test_a_fit_that_spills_learns_the_same_bits(
    name: str, tiny_vlm: VLM, tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_folder(request_of([picture(i) for i in range(8)]), tmp_path / "request")

    def learned(request: ForgetRequest) -> dict[str, torch.Tensor]:
        fit = METHODS[name].start(tiny_vlm, request, METHODS[name].config(steps=2))
        for _ in fit:
            pass
        return fit.module.tensors()

    whole, lazy = load_request(folder), load_request(folder, held=False)
    assert digests(whole) == digests(lazy)
    want = learned(whole)
    monkeypatch.setattr(spilling, "MEMORY", 0)
    monkeypatch.setattr(stored, "LATEST", Latest(0))
    got = learned(lazy)
    assert got.keys() == want.keys()
    assert all(torch.equal(got[key], want[key]) for key in want)
