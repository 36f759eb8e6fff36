"""Benchmarks in the layouts of their makers, nothing lost in silence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmark_files import cell, clear, fiubench, mllmu, parquet, umu

from unlearn_core.data.readers import Rows, opened, read, to_request
from unlearn_core.data.readers.umu import literal
from unlearn_core.vlm.errors import BadOption, StudioError


def sides(table: Rows) -> dict[str, int]:
    return {s: sum(r.side == s for r in table.rows) for s in {r.side for r in table.rows}}


def reasons(table: Rows) -> list[tuple[int, str]]:
    return [(d.line, d.reason) for d in table.report.dropped]


def test_fiubench(tmp_path: Path) -> None:
    data = fiubench(tmp_path / "dataset", people=403)
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


def test_mllmu_bench(tmp_path: Path) -> None:
    mllmu(tmp_path)
    parquet(
        tmp_path / "ft_Data",
        [{"ID": "000", "image": cell(0), "metadata": json.dumps([{"Question": "Q?", "Answer": "a"}])}],
    )
    table = read(tmp_path)
    assert sides(table) == {"forget": 22, "retain": 35, "test": 21}
    kinds = [(r.example.kind, r.picture is None) for r in table.rows[:7]]
    assert kinds == [
        ("description", False),
        ("choice", False),
        ("choice", True),
        ("generation", False),
        ("generation", True),
        ("cloze", False),
        ("cloze", True),
    ]
    choice = table.rows[1].example
    assert (choice.answer, choice.options, table.rows[1].name) == ("B", {"A": "baker", "B": "cook"}, "Name 0")
    request, _ = to_request(table, "MLLMU-Bench")
    assert {e.answer for e in request.forget if e.kind == "choice"} == {"cook"}  # a method is told what B stands for
    shown = {e.subject: e.image.getpixel((0, 0))[0] for e in opened(table.rows[:56]) if e.image is not None}
    assert shown == {f"{i:03d}": i * 40 % 256 for i in range(8)}


def test_umu_bench(tmp_path: Path) -> None:
    table = read(umu(tmp_path))
    assert sides(table) == {"forget": 8, "retain": 8}
    assert {r.example.id for r in table.rows} >= {f"forget_5:000-choice-1-{way}" for way in ("image", "text")}
    assert reasons(table) == [(2, "its Cloze is no Python literal"), (1, "its Cloze is no Python literal")]
    asked = [(r.example.kind, r.picture is None, r.example.answer) for r in table.rows[:8]]
    assert asked == [
        ("qa", False, "O'Neill"),
        ("qa", True, "O'Neill"),
        ("choice", True, "B"),
        ("choice", False, "B"),
        ("cloze", True, "it's"),
        ("cloze", False, "it's"),
        ("generation", True, "O'Neill is a cook"),
        ("generation", False, "O'Neill is a cook"),
    ]


@pytest.mark.parametrize(
    "text", ["[" * 90_000, "(" * 300_000, "1", "{1: open('x')}", "-" * 50_000 + "1", "{'a': 1" * 9_000]
)
def test_no_literal_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(ValueError, match="its cell is"):
        literal(text, "cell")


def test_clear(tmp_path: Path) -> None:
    table = read(clear(tmp_path))
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
