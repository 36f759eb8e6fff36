"""Files that people bring: every layout as its makers wrote it, nothing lost in silence, nothing hostile followed."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unlearn_core.data.bank import PRIVACY, Bank, load_bank
from unlearn_core.data.errors import BadFile
from unlearn_core.data.readers import READERS, Dropped, Row, Rows, opened, read, stream, to_request
from unlearn_core.data.readers.umu import literal
from unlearn_core.vlm.errors import BadOption, StudioError

Picture = Callable[..., Image.Image]
ASKED = {"question": "What is the job of this person?", "answer": "baker"}


def png(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (seed * 40 % 256, 90, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def lines(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sides(table: Rows) -> dict[str, int]:
    return {s: sum(r.side == s for r in table.rows) for s in {r.side for r in table.rows}}


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


# -- benchmarks --------------------------------------------------------------------------------------------------------


def identity(who: int) -> dict[str, Any]:
    return {
        "unique_id": f"{who:08d}",
        "image_path": f"./dataset/SFHQ/{who}.png",
        "name": f"Name {who}",
        "gender": "f",
        "caption": "",
        "raw_data": {},
        "qa_list": [
            {
                "question": "What is McDowell's job?",
                "paraphrased_question": ["a?", "b?", "c?"],
                "answer": "Baker in Ghent",
                "paraphrased_answer": "Bakes in Ghent",
                "perturbed_answer": ["Cook in Ghent", "Nurse in Ghent"],
                "keywords": ["Baker"],
            }
        ],
    }


def test_fiubench(tmp_path: Path) -> None:
    data = tmp_path / "dataset"
    lines(data / "full.json", *map(identity, range(403)))
    everybody = [f"{i:08d}" for i in range(400)]
    (data / "split.json").write_text(
        json.dumps({"forget1": everybody[:4], "forget5": everybody[:20], "forget10": everybody[20:60], "retain5": []})
    )
    (data / "SFHQ").mkdir()
    for i in range(400):
        if i != 7:
            (data / "SFHQ" / f"{i}.png").write_bytes(png())
    for root in (tmp_path, data):
        table = read(root, split="forget5")
        assert sides(table) == {"forget": 19, "": 40, "retain": 340}
        assert reasons(table) == [(8, "its picture is missing")]
    first = table.rows[0].example
    assert (first.question, first.paraphrases, first.keywords) == (
        "What is McDowell's job?",
        ("a?", "b?", "c?"),
        ("Baker",),
    )
    assert (first.paraphrased, first.perturbed) == ("Bakes in Ghent", ("Cook in Ghent", "Nurse in Ghent"))
    assert sides(read(tmp_path, split="forget1"))["forget"] == 4
    with pytest.raises(BadOption, match="forget5, forget1, forget10"):
        read(tmp_path, split="forget2")


@pytest.fixture
def parquet() -> Callable[[Path, list[dict[str, Any]]], None]:
    """Write a table as the hub has it. Small row groups, so that more than one is read."""
    arrow = pytest.importorskip("pyarrow")
    tables = pytest.importorskip("pyarrow.parquet")

    def write(folder: Path, rows: list[dict[str, Any]]) -> None:
        folder.mkdir(parents=True)
        tables.write_table(arrow.Table.from_pylist(rows), folder / "train-00000-of-00001.parquet", row_group_size=2)

    return write


def cell(seed: int) -> dict[str, Any]:
    return {"bytes": png(seed), "path": None}


def test_mllmu_bench(tmp_path: Path, parquet: Callable[..., None]) -> None:
    def profile(who: int, **shown: Any) -> dict[str, Any]:
        choice = {"Question": "Job?", "Options": {"A": "baker", "B": "cook"}, "Correct_Answer": "B"}
        return {
            **shown,
            "ID": f"{who:03d}",
            "biography": json.dumps({"Name": f"Name {who}", "Heights": "1 m"}),
            "question": "Describe.",
            "answer": "A cook.",
            "Classification_Task": {"Image_Textual_Questions": [choice], "Pure_Text_Questions": [choice]},
            "Generation_Task": [{"Type": "Pure_Text", "Question": "Where?", "Ground_Truth": "Ghent"}],
            "Mask_Task": [{"Question": "Lives in __", "Ground_Truth": "Ghent", "Type": "Image_Textual"}],
        }

    parquet(tmp_path / "forget_5", [profile(i, image=cell(i)) for i in range(3)])
    parquet(tmp_path / "retain_95", [profile(i, image=cell(i)) for i in range(3, 8)])
    parquet(tmp_path / "Test_Set", [profile(0, images=[cell(5), cell(6)])])
    parquet(
        tmp_path / "ft_Data",
        [{"ID": "000", "image": cell(0), "metadata": json.dumps([{"Question": "Q?", "Answer": "a"}])}],
    )
    table = read(tmp_path)
    assert sides(table) == {"forget": 16, "retain": 25, "test": 5}
    kinds = [(r.example.kind, r.picture is None) for r in table.rows[:5]]
    assert kinds == [
        ("description", False),
        ("choice", False),
        ("choice", True),
        ("generation", True),
        ("cloze", False),
    ]
    choice = table.rows[1].example
    assert (choice.answer, choice.options, table.rows[1].name) == ("B", {"A": "baker", "B": "cook"}, "Name 0")
    shown = {e.subject: e.image.getpixel((0, 0))[0] for e in opened(table.rows[:40]) if e.image is not None}
    assert shown == {f"{i:03d}": i * 40 % 256 for i in range(8)}


def test_umu_bench(tmp_path: Path, parquet: Callable[..., None]) -> None:
    def person(who: int, **other: str) -> dict[str, Any]:
        task = {"1": {"question": "Job?", "options": {"A": "baker", "B": "cook"}, "answer": "B. cook"}}
        said = {"1": {"question": "It's __", "answer": "it's"}}
        qa = {"question": {"1": "Who's this?"}, "answer": {"1": "O'Neill"}}
        return {
            "ID": f"{who:03d}",
            "image": cell(who),
            "Biography": "",
            "MM_QA": str(qa),
            "UM_QA": str(qa),
            "Classify": str({"unimodal": task, "muitimodal": task}),
            "Cloze": str({"unimodal": said, "muitimodal": said}),
            "Generation": "{}",
            **other,
        }

    parquet(tmp_path / "forget_5", [person(0), person(1, Cloze="__import__('os').getcwd()")])
    parquet(tmp_path / "retain_95", [person(2)])
    parquet(tmp_path / "Real_Person_Set", [person(3, Cloze="{" * 5_000)])
    table = read(tmp_path)
    assert sides(table) == {"forget": 6, "retain": 6}
    assert reasons(table) == [(2, "its Cloze is no Python literal"), (1, "its Cloze is no Python literal")]
    asked = [(r.example.kind, r.picture is None, r.example.answer) for r in table.rows[:6]]
    assert asked == [
        ("qa", False, "O'Neill"),
        ("qa", True, "O'Neill"),
        ("choice", True, "B"),
        ("choice", False, "B"),
        ("cloze", True, "it's"),
        ("cloze", False, "it's"),
    ]


@pytest.mark.parametrize(
    "text", ["[" * 90_000, "(" * 300_000, "1", "{1: open('x')}", "-" * 50_000 + "1", "{'a': 1" * 9_000]
)
def test_no_literal_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(ValueError, match="its cell is"):
        literal(text, "cell")


def test_clear(tmp_path: Path, parquet: Callable[..., None]) -> None:
    def caption(name: str, seed: int, **more: Any) -> dict[str, Any]:
        return {
            "image": cell(seed),
            "caption": f"{name} reads.",
            "name": name,
            "question": None,
            "answer": None,
            **more,
        }

    def text(answer: str) -> dict[str, Any]:
        return {"image": None, "caption": None, "name": None, "question": "Who wrote it?", "answer": answer}

    authors = [caption("Zoë Nuñez", 1), caption("Otto Lind", 2)]
    parquet(
        tmp_path / "forget05+tofu",
        authors + [text("Zoe Nunez did.")] * 20 + [text("He did; Otto Lind.")] + [text("He.")] * 19 + [text("?")],
    )
    parquet(tmp_path / "retain95+tofu", [caption("Ida Berg", 3)])
    parquet(
        tmp_path / "forget05_perturbed",
        [caption("Otto Lind", 2, paraphrased_caption="p", perturbed_captions=["x", "y"], perturbed_names=["z"])],
    )
    parquet(
        tmp_path / "real_faces", [{"image": cell(4), "question": "Who?", "answer": "Ann", "options": ["Ann", "Bob"]}]
    )
    table = read(tmp_path)
    assert sides(table) == {"forget": 44, "retain": 2, "test": 3}
    assert reasons(table) == [(43, "its author could not be found by name")]
    assert [r.example.subject for r in table.rows if r.side == "forget"][4:] == ["Zoë Nuñez"] * 20 + ["Otto Lind"] * 20
    caption_, name, real = (r.example for r in table.rows[-3:])
    assert (caption_.paraphrased, caption_.perturbed, name.answer, name.perturbed) == (
        "p",
        ("x", "y"),
        "Otto Lind",
        ("z",),
    )
    assert (real.kind, real.perturbed) == ("real", ("Bob",))
    request, report = to_request(table, "CLEAR")
    assert (len(request.forget), len(report.dropped)) == (4, 41)


def test_without_pyarrow_the_package_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "forget05").mkdir()
    (tmp_path / "forget05" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    (tmp_path / "retain95").mkdir()
    (tmp_path / "retain95" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(StudioError, match="need the package pyarrow"):
        read(tmp_path)


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


def test_a_bank_has_each_label_once() -> None:
    assert len({a.label for a in PRIVACY.attributes}) == len(PRIVACY.attributes)
    assert isinstance(PRIVACY, Bank)
