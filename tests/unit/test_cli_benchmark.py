"""`unlearn benchmark` dry-run on small files of every layout with a tiny random model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from benchmark_files import clear, fiubench, mllmu, umu

from unlearn_core import cli
from unlearn_core.bundle import export
from unlearn_core.methods.cvf.module import CvfModule
from unlearn_core.runs.requests import load_request
from unlearn_core.vlm import VLM

LISTS = {"forget1": range(1), "forget5": range(1, 3), "forget10": range(2), "retain5": range(3, 5)}
LAYER = "model.multi_modal_projector.linear_1.weight"
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "fiubench": lambda root: fiubench(root, 6, LISTS),
    "mllmu": mllmu,
    "clear": clear,
    "umu": umu,
}


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["unlearn", "benchmark", *map(str, words)])
    cli.main()


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_benchmark_gives_its_table_with_one_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_folder: Path
) -> None:
    data, out = LAYOUTS[name](tmp_path / "data"), tmp_path / "out"
    run(monkeypatch, name, data, "--model", tiny_folder, "--limit", 1, "--out", out)
    shown = capsys.readouterr().out
    (path,) = out.glob("*/table.json")
    table = json.loads(path.read_text())
    assert table["split"] in shown
    run(monkeypatch, name, data, "--model", tiny_folder, "--limit", 1, "--out", out, "--json")
    assert json.loads(capsys.readouterr().out) == table
    assert any(row["models"]["before"] is not None for row in table["numbers"])
    assert set(table["questions"].values()) <= {1, 3}


def test_a_bundle_and_a_retain_only_model_stand_beside_the_model(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_folder: Path,
    tiny_vlm: VLM,
) -> None:
    data, out = fiubench(tmp_path / "data", 6, LISTS), tmp_path / "out"
    for scale in (0.1, -2.0):
        change = torch.full_like(tiny_vlm.model.get_parameter(LAYER), scale)
        module, path = CvfModule({LAYER: (change,)}, {}), tmp_path / f"{scale}.zip"
        export(module, tiny_vlm, path, title="CVF", report={}, limits=())
        run(
            monkeypatch, "fiubench", data, "--model", tiny_folder, "--bundle", path, "--retain-only", tiny_folder,
            "--out", out,
        )  # fmt: skip
        assert "retain-only" in capsys.readouterr().out
    rows = {
        r["number"]: r["models"] for r in json.loads((out / "fiubench-forget5" / "table.json").read_text())["numbers"]
    }
    ks = {model: found["value"] for model, found in rows["KS-test, D"].items()}
    assert ks["before"] == ks["retain-only"] == 0.0
    assert rows["probability"]["after"]["value"] != rows["probability"]["before"]["value"]
    # what one bundle answered is not taken for another's
    assert len(list((out / "fiubench-forget5").glob("after-*"))) == 2
    assert len(list((out / "fiubench-forget5").glob("before-*"))) == 1


def test_the_forget_request_of_a_split_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = fiubench(tmp_path / "data", 6, LISTS)
    run(monkeypatch, "fiubench", data, "--split", "forget5", "--request", tmp_path / "request.zip", "--json")
    assert json.loads(capsys.readouterr().out)["forget"] == 2
    assert load_request(tmp_path / "request.zip").subjects == ("00000001", "00000002")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("fiubench", "DATA", "--split", "forget2"), "no split 'forget2'"),
        (("umu", "DATA"), "not the files of UMU-bench"),
        (("fiubench", "DATA", "--bundle", "a.zip", "--run", "b"), "not both"),
    ],
)
def test_mistakes_get_a_sentence(
    words: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    data = fiubench(tmp_path / "data", 6, LISTS)
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *(data if w == "DATA" else w for w in words))
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
