"""Forget requests as files: what is read is what was written, and nothing else is taken for one."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.data.readers import read
from unlearn_core.data.region import Region
from unlearn_core.runs.requests import TABLE, export_folder, export_request, load_request
from unlearn_core.runs.shelf import Shelf
from unlearn_core.runs.store import KEPT
from unlearn_core.vlm.errors import BadRequest, StorageFailed

Picture = Callable[..., Image.Image]


@pytest.fixture
def request_(picture: Picture) -> ForgetRequest:
    one, other = picture(1), picture(2, (20, 50))
    secret = Example(
        "a",
        one,
        "Who is it? 🙂\u2028",
        "Zoë",
        "Zoë",
        "private",
        "Nobody.",
        ("W?",),
        "z",
        ("x", "y"),
        ("Zoë",),
        {"A": "q"},
        Region(0.1, 0, 0.5, 1),
    )
    return ForgetRequest(
        "Forget <Zoë>\n",
        (secret,),
        (Example("b", one, "Hat?", "no", "Zoë", "visual"),),
        (Example("c", other, "Job?", "cook", "Otto"), Example("d", None, "Capital of France?", "Paris")),
        (picture(3), one),
        ("No idea.", "I cannot say."),
    )


def content(request: ForgetRequest) -> Any:
    def pixels(image: Image.Image | None) -> Any:
        return image and (image.size, image.tobytes())

    examples = [
        [pixels(e.image) if f.name == "image" else getattr(e, f.name) for f in fields(Example)]
        for e in (*request.forget, *request.keep, *request.retain)
    ]
    return request.name, request.refusals, request.subjects, examples, [pixels(i) for i in request.strangers]


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_a_request_comes_back_exactly(tmp_path: Path, request_: ForgetRequest, form: str) -> None:
    path = (export_request if form == "zip" else export_folder)(request_, tmp_path / f"out.{form}")
    again = load_request(path)
    assert content(again) == content(request_)
    assert again.forget[0].image is again.keep[0].image is again.strangers[1]
    assert path.stat().st_mode & 0o077 == 0
    rows = read(path, "folder").rows  # it is an image folder for others, too
    assert [(r.example.id, r.side) for r in rows] == [("a", "forget"), ("b", "keep"), ("c", "retain"), ("d", "retain")]


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path, request_: ForgetRequest) -> None:
    with pytest.raises(StorageFailed):
        export_folder(request_, tmp_path)


def other(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def line_of(key: str, value: Any) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        first, rest = files[TABLE].split(b"\n", 1)
        files[TABLE] = json.dumps({**json.loads(first), key: value}).encode() + b"\n" + rest

    return change


def swap(files: dict[str, bytes]) -> None:
    one, two, *_ = [name for name in files if name.startswith("pictures/")]
    files[one], files[two] = files[two], files[one]


@pytest.mark.parametrize(
    "change",
    [
        line_of("side", "nowhere"),
        line_of("question", 7),
        line_of("keywords", [1]),
        line_of("file_name", "../../etc/passwd"),
        line_of("unheard", "of"),
        line_of("region", [0, 0, 2, 1]),
        lambda files: files.pop("request.json"),
        lambda files: files.update({"request.json": b"[]"}),
        lambda files: files.update({TABLE: b"\xff"}),
        swap,
    ],
    ids=["side", "question", "list", "path", "extra", "region", "no head", "other head", "no text", "swapped"],
)
def test_what_was_changed_is_refused(
    tmp_path: Path, request_: ForgetRequest, change: Callable[[dict[str, bytes]], None]
) -> None:
    path = other(export_request(request_, tmp_path / "r.zip"), change)
    with pytest.raises(BadFile):
        load_request(path)


def test_more_pictures_than_may_be_held_are_refused_before_they_are_opened(
    tmp_path: Path, request_: ForgetRequest
) -> None:
    path = export_request(request_, tmp_path / "r.zip")
    with zipfile.ZipFile(path) as archive:
        held = sum(3 * i.width * i.height for i in {id(i): i for i in pictures_of(archive)}.values())
    assert content(load_request(path, most=held)) == content(request_)
    with pytest.raises(BadFile, match=r"3 pictures .* fewer or smaller"):
        load_request(path, most=held - 1)


def pictures_of(archive: zipfile.ZipFile) -> list[Image.Image]:
    return [Image.open(archive.open(name)) for name in archive.namelist() if name.startswith("pictures/")]


def test_requests_are_saved_listed_and_deleted(tmp_path: Path, request_: ForgetRequest) -> None:
    shelf = Shelf(tmp_path / "requests")
    assert shelf.saved() == []
    saved = shelf.save(request_)
    (tmp_path / "requests" / f"{saved.id[:-8]}{'0' * 8}.zip").write_bytes(b"broken")
    assert [s for s in shelf.saved() if s.id == saved.id] == [saved]
    assert content(shelf.load(saved.id)) == content(request_)
    shelf.delete(saved.id)
    for wrong in (saved.id, "../requests/x", ""):
        with pytest.raises(BadRequest):
            shelf.load(wrong)


def test_a_discarded_request_comes_back_until_its_time_is_up(
    tmp_path: Path, request_: ForgetRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path / "requests")
    shelf.empty_bin()
    saved = shelf.save(request_)
    shelf.discard(saved.id)
    assert shelf.saved() == []
    with pytest.raises(BadRequest):
        shelf.load(saved.id)
    Shelf(tmp_path / "requests").restore(saved.id)  # also from another program
    assert content(shelf.load(saved.id)) == content(request_)

    shelf.discard(saved.id)
    shelf.empty_bin()
    assert shelf.in_bin(saved.id), "its time is not up"
    late = time.time() + KEPT
    monkeypatch.setattr("unlearn_core.runs.shelf.time.time", lambda: late)
    shelf.empty_bin()
    assert list((tmp_path / "requests").iterdir()) == [], "nothing of it is left"
    for gone in (saved.id, "../requests/x", ""):
        with pytest.raises(BadRequest, match="for good"):
            shelf.restore(gone)
