"""Files that people bring: every layout as its makers wrote it, nothing lost in silence, nothing hostile followed."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmark_files import ASKED, lines, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.bank import rows
from unlearn_core.data.bank import PRIVACY, Bank, bank_of, load_bank
from unlearn_core.data.errors import BadFile
from unlearn_core.data.readers import READERS, Dropped, Row, Rows, opened, read, stream, to_request
from unlearn_core.vlm.errors import BadOption, BadRequest, StudioError

Picture = Callable[..., Image.Image]


def reasons(table: Rows) -> list[tuple[int, str]]:
    return [(d.line, d.reason) for d in table.report.dropped]


# -- folders and tables ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image folder with a row of every kind that there may be, good and bad."""
    root = tmp_path / "people"
    (root / "sub").mkdir(parents=True)
    (root / "a.png").write_bytes(png(1))
    (root / "sub" / "b.png").write_bytes(png(2))
    (root / "broken.png").write_bytes(png()[:40])
    lines(
        root / "metadata.jsonl",
        {"file_name": "a.png", **ASKED, "id": "1", "subject": "Mira", "side": "forget", "keywords": ["baker"]},
        {"file_name": "./sub/b.png", **ASKED, "id": "2", "subject": "Otto", "side": "retain"},
        {"image": ["a.png"], "question": "Hat?", "answer": False, "id": "3", "kind": "visual", "subject": "Mira"},
        {"file_name": "a.png", **ASKED, "id": "1"},
        {"file_name": "nowhere.png", **ASKED},
        {"file_name": "a.png", "question": " ", "answer": "x"},
        {"file_name": "a.png", "question": "Half \ud800?", "answer": "x"},
        {**ASKED, "id": "words", "side": "forget"},
        {"images": ["a.png"], "messages": [{"role": "user", "content": "<image>\nWho?"}, {"role": "assistant", "content": "Mira"}]},
    )  # fmt: skip
    return root


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_an_image_folder_is_read_and_what_is_left_out_is_told(folder: Path, pack: Callable[[Path], Path]) -> None:
    table = read(pack(folder))
    assert [r.example.id for r in table.rows] == ["1", "2", "3", "words", "metadata.jsonl:9"]
    assert reasons(table) == [
        (4, "its id is that of line 1 of metadata.jsonl"),
        (5, "its picture is missing"),
        (6, "it has no question"),
        (7, "its question holds half of a character"),
    ]
    first, other, seen, words, turn = opened(table.rows)
    assert first.image is seen.image is turn.image  # one picture, one object
    assert first.image is not None
    assert other.image is not None
    assert words.image is None
    assert (first.image.getpixel((0, 0)), other.image.getpixel((0, 0))) == ((40, 90, 10), (80, 90, 10))
    assert (seen.answer, turn.question, turn.answer, first.keywords) == ("no", "Who?", "Mira", ("baker",))
    request, report = to_request(table, "Forget Mira")
    assert (request.subjects, len(request.forget), len(request.retain)) == (("Mira",), 1, 1)
    assert report.dropped[-1] == Dropped(
        "metadata.jsonl", 8, "without a picture it cannot be forgotten by these methods"
    )


@pytest.mark.parametrize("form", ["lines called .json", "array", "csv", "byte order mark"])
def test_a_table_is_told_by_its_content(tmp_path: Path, form: str) -> None:
    row = {**ASKED, "subject": "Mïra", "options": ["baker", "cook"]}
    if form == "csv":
        path = tmp_path / "t.csv"
        path.write_text('question,answer,subject,options\n"What is\nit, then?",baker,Mïra,"[""baker"", ""cook""]"\n')
    else:
        path = lines(tmp_path / "t.json", row, row)
        if form == "array":
            path.write_text(json.dumps([row, row], indent=1))
        if form == "byte order mark":
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    table = read(path)
    assert not table.report.dropped
    assert table.rows[0].example.subject == "Mïra"
    assert table.rows[0].example.options == {"A": "baker", "B": "cook"}
    if form == "array":
        assert [r.line for r in table.rows] == [2, 11]


HOSTILE: dict[str, tuple[bytes, int]] = {
    "deep": (b"{}\n" + b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 2),
    "deep array": (b"[" * 100_000, 1),
    "not a number": (b'{"question": NaN}\n', 1),
    "beyond numbers": (b'{"question": 1e999}\n', 1),
    "latin-1": ('{"question": "é"}'.encode("latin-1"), 1),
    "utf-16": ('{"question": "e"}'.encode("utf-16"), 1),
    "a name twice": (b'\n\n{"question": "a", "question": "b"}\n', 3),
    "a list in between": (b'{"question": "a", "answer": "b"}\n[1]\n', 2),
    "cut off": (b'[{"question": "a", "answer": "b"},\n{"question', 2),
    "path out": (b'{"question": "a", "answer": "b", "image": "../secret.png"}\n', 1),
    "absolute path": (b'{"question": "a", "answer": "b", "image": "/etc/passwd"}\n', 1),
    "link": (b'{"question": "a", "answer": "b", "image": "link.png"}\n', 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tables_are_refused_by_file_and_line(tmp_path: Path, name: str) -> None:
    data, line = HOSTILE[name]
    (tmp_path / "secret.png").write_bytes(png())
    root = tmp_path / "data"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "t.jsonl").write_bytes(data)
    with pytest.raises(BadFile) as caught:
        list(opened(read(root / "t.jsonl").rows))
    assert caught.value.line == line
    assert str(caught.value).startswith(f"t.jsonl, line {line}: ")


def test_a_picture_that_cannot_be_read_names_its_line(folder: Path) -> None:
    lines(folder / "metadata.jsonl", {"file_name": "a.png", **ASKED}, {"file_name": "broken.png", **ASKED})
    with pytest.raises(BadFile, match=r"metadata\.jsonl, line 2: .*could not be read as a picture"):
        list(opened(read(folder).rows))


@pytest.mark.parametrize("name", ["../out.png", "/abs.png", "a\\..\\b.png"])
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("metadata.jsonl", json.dumps({"file_name": name, **ASKED}))
        archive.writestr(name, png())
    with pytest.raises(BadFile):
        read(tmp_path / "z.zip")


def test_a_zip_with_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.jsonl", json.dumps({"file_name": "a.png", **ASKED}))
        archive.writestr("a.png", bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(BadFile, match="more than 30 MB"):
        list(opened(read(tmp_path / "z.zip").rows))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda t: json.dumps({"question": t, "answer": t}).encode()))
def test_any_bytes_are_rows_or_a_studio_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(data)
    try:
        table = read(path)
    except StudioError:
        return
    assert all(r.example.prompt.question for r in table.rows)


def test_twenty_thousand_rows_with_pictures_stream_in_little_memory(tmp_path: Path) -> None:
    """Goal: 500 MB. What Python holds of 2,000 rows, ten times over, and of the pictures only those at hand."""
    (tmp_path / "a.png").write_bytes(png())
    lines(tmp_path / "metadata.jsonl", *({"file_name": "a.png", **ASKED, "id": str(i)} for i in range(2000)))
    tracemalloc.start()
    rows = [row for row in stream(tmp_path) if isinstance(row, Row)]
    assert sum(example.image is not None for example in opened(rows)) == 2000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 10 * peak < 400_000_000, peak


def test_what_is_not_there_and_what_nobody_knows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadFile, match="no such file"):
        read(tmp_path / "nothing")
    with pytest.raises(BadFile, match="Nothing here looks like"):
        read(tmp_path)
    with pytest.raises(BadFile, match="on the hub can be reached"):
        read("nobody/nothing-of-the-kind")
    with pytest.raises(BadOption, match="no reader"):
        read(tmp_path, reader="other")


def test_each_reader_is_registered_under_its_name() -> None:
    assert all(name == reader.name and reader.about.endswith(".") for name, reader in READERS.items())


# -- the bank of questions ----------------------------------------------------------------------------------------------


def test_a_bank_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    PRIVACY.save(tmp_path / "bank.json")
    assert load_bank(tmp_path / "bank.json") == PRIVACY


@pytest.mark.parametrize(
    "content", ["[]", "{}", "nonsense", '[{"label": "a"}]', '[{"label": "a", "phrasings": [""]}]', '[{"label":"a","phrasings":["b?"]},{"label":"a","phrasings":["c?"]}]']
)  # fmt: skip
def test_what_is_no_bank_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "bank.json").write_text(content)
    with pytest.raises(BadFile, match=r"bank\.json"):
        load_bank(tmp_path / "bank.json")


def test_questions_in_a_table_are_a_bank_and_what_cannot_be_asked_is_told() -> None:
    assert bank_of(map(tuple, rows(PRIVACY))) == PRIVACY
    more = bank_of([("car", "Which car?"), ("", ""), ("car", "What does this person drive?"), ("car", "Which car?")])
    assert [(a.label, a.phrasings) for a in more.attributes] == [
        ("car", ("Which car?", "What does this person drive?"))
    ]
    for bad in ([], [("car", "")], [("", "Which car?")], [("car", "x" * 5_000)], [("c", f"{i}?") for i in range(99)]):
        with pytest.raises(BadRequest):
            bank_of(bad)


def test_a_bank_has_each_label_once() -> None:
    assert len({a.label for a in PRIVACY.attributes}) == len(PRIVACY.attributes)
    assert isinstance(PRIVACY, Bank)
