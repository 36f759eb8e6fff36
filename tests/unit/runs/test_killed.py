"""Processes that are killed (SIGKILL) at the worst moment of making, exporting, importing and deleting; fits are killed
in `tests/integration/test_kills.py`. What is half done is never taken for something, and the same work can be done again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.unit.tiny_method import WIDTH, TinyConfig, TinyModule, load_tiny
from unlearn_core import bundle
from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import ForgetRequest
from unlearn_core.runs import Run, RunState, Workspace
from unlearn_core.runs.requests import export_request, load_request
from unlearn_core.vlm import VLM

Work = Callable[[], object]


def killed(work: Work, *where: str) -> None:
    """Do it in a process that kills itself as soon as it calls one of these functions, named as for monkeypatch."""
    child = os.fork()
    if child == 0:
        try:
            patch = pytest.MonkeyPatch()
            for name in where:
                patch.setattr(name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
            work()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, "it ended before it came there"


@pytest.mark.parametrize("where", ["unlearn_core.runs.store.write_request", "unlearn_core.runs.store.os.rename"])
def test_a_run_that_was_not_made_whole_is_not_there(workspace: Workspace, request_: ForgetRequest, where: str) -> None:
    def create() -> Run:
        return workspace.create("tiny", "Title", request_, TinyConfig(), "demo")

    killed(create, where)
    assert workspace.runs() == []
    run = create()
    assert [r.id for r in workspace.runs()] == [run.id]
    assert {path.name for path in workspace.root.iterdir()} == {run.id, ".lock"}, "what was left holds pictures"


def test_a_run_that_was_not_deleted_whole_is_gone(workspace: Workspace, request_: ForgetRequest, run: Run) -> None:
    run.set_state(RunState.DONE)
    killed(lambda: workspace.delete(run.id), "unlearn_core.runs.store.shutil.rmtree")
    assert workspace.runs() == []
    other = workspace.create("tiny", "Title", request_, TinyConfig(), "demo")
    assert {path.name for path in workspace.root.iterdir()} == {other.id, ".lock"}


def test_a_request_that_was_not_exported_whole_leaves_the_one_before(tmp_path: Path, request_: ForgetRequest) -> None:
    path = tmp_path / "request.zip"
    killed(lambda: export_request(request_, path), "unlearn_core.runs.files.os.replace")
    with pytest.raises(BadFile):
        load_request(path)
    before = export_request(request_, path).read_bytes()
    killed(lambda: export_request(request_, path), "unlearn_core.runs.files.os.fsync")
    assert path.read_bytes() == before


def test_a_bundle_that_was_not_exported_whole_is_not_there(tmp_path: Path, tiny_vlm: VLM) -> None:
    path, module = tmp_path / "bundle.zip", TinyModule(torch.ones(WIDTH))

    def export() -> Path:
        return bundle.export(module, tiny_vlm, path, title="T", report={}, limits=[], load_module=load_tiny)

    killed(export, "unlearn_core.runs.files.os.replace")
    assert not path.exists()
    assert bundle.verify(export(), tiny_vlm).title == "T"


def test_a_bundle_that_was_not_imported_whole_is_not_there(tmp_path: Path, tiny_vlm: VLM, tiny_folder: Path) -> None:
    from components.seats import Seat, Seats
    from components.studio import Studio
    from unlearn_core.methods.cvf import CvfModule
    from unlearn_core.vlm.loading import Choice

    weights = dict(tiny_vlm.model.named_parameters())
    name = next(n for n in weights if "multi_modal_projector" in n and n.endswith("weight"))
    module = CvfModule({name: (torch.ones_like(weights[name]),)}, {})
    path = bundle.export(module, tiny_vlm, tmp_path / "bundle.zip", title="T", report={}, limits=[])
    studio = Studio(Seats(Seat(Choice(str(tiny_folder), device="cpu"), tiny_vlm)), tmp_path / "workspace")
    try:
        killed(lambda: studio.bring(path), "unlearn_core.runs.files.os.replace")
        assert studio.results() == []
        ref = studio.bring(path)
        assert [r for _, r in studio.results()] == [ref]
    finally:
        studio.close()
    shutil.rmtree(tmp_path / "workspace")
