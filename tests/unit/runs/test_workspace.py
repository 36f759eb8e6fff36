"""A folder of runs that several programs look at, and that outlives each of them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.tiny_method import TinyConfig
from unlearn_core.data.example import ForgetRequest
from unlearn_core.runs import Run, RunDamaged, RunNotReady, RunState, Worker, Workspace
from unlearn_core.runs.files import lock_shared
from unlearn_core.runs.run import STOPPED
from unlearn_core.runs.store import KEPT
from unlearn_core.vlm.errors import RunNotFound

Picture = Callable[..., Image.Image]


def test_runs_are_listed_newest_first_and_seen_by_everybody(workspace: Workspace, request_: ForgetRequest) -> None:
    other = Workspace(workspace.root)
    assert other.runs() == []
    made = [w.create("tiny", str(i), request_, TinyConfig(), "demo") for i, w in enumerate((workspace, other) * 2)]
    assert [run.info.title for run in workspace.runs()] == ["3", "2", "1", "0"]
    assert [run.id for run in other.runs()] == [run.id for run in reversed(made)]
    made[0].set_state(RunState.FAILED, "Something went wrong.")
    assert (other.run(made[0].id).state, other.run(made[0].id).message) == ("failed", "Something went wrong.")
    other.delete(made[0].id)
    assert len(workspace.runs()) == 3
    with pytest.raises(RunNotFound):
        made[0].events()


@pytest.mark.parametrize(
    "run_id",
    ["", ".", "..", ".lock", "../x", "/etc", "20250101-000000-00000000", "20250101-000000-00000000\n", "x" * 999],
)
def test_an_id_is_no_path(workspace: Workspace, run: Run, run_id: str) -> None:
    for ask in (workspace.run, workspace.delete):
        with pytest.raises(RunNotFound):
            ask(run_id)


def test_a_link_is_no_run(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (workspace.root / "20250101-000000-00000000").symlink_to(outside)
    with pytest.raises(RunNotFound):
        workspace.delete("20250101-000000-00000000")
    assert [r.id for r in workspace.runs()] == [run.id]


def test_a_damaged_run_does_not_hide_the_others(
    workspace: Workspace, run: Run, request_: ForgetRequest, caplog: pytest.LogCaptureFixture
) -> None:
    bad = workspace.create("tiny", "", request_, TinyConfig(), "demo")
    (bad.folder / "info.json").write_text('{"id": 3}')
    assert [r.id for r in workspace.runs()] == [run.id]
    assert bad.id in caplog.text
    with pytest.raises(RunDamaged):
        workspace.run(bad.id)
    bad.set_state(RunState.CANCELLED)
    workspace.delete(bad.id)
    assert not bad.folder.exists()


def test_a_run_that_is_going_is_not_deleted(workspace: Workspace, run: Run) -> None:
    with pytest.raises(RunNotReady, match="still going"):
        workspace.delete(run.id)
    run.set_state(RunState.CANCELLED)
    workspace.delete(run.id)
    assert workspace.runs() == []
    assert [path.name for path in workspace.root.iterdir()] == [".lock"]


def test_what_a_killed_process_left_half_done_is_removed_once_nobody_can_be_at_it(
    workspace: Workspace, run: Run, request_: ForgetRequest
) -> None:
    left = workspace.root / ".unfinished-abc"
    (left / "pictures").mkdir(parents=True)
    with lock_shared(workspace.root / ".lock"):  # somebody else is making a run
        workspace.create("tiny", "", request_, TinyConfig(), "demo")
        assert left.exists()
    workspace.create("tiny", "", request_, TinyConfig(), "demo")
    assert not left.exists()


CHILD = """
import sys, time
from pathlib import Path
from PIL import Image
from tests.unit.tiny_method import TinyConfig, request_of
from unlearn_core.methods.base import Step
from unlearn_core.runs import RunState, Workspace

run = Workspace(Path(sys.argv[1])).create("tiny", "", request_of([Image.new("RGB", (2, 2))]), TinyConfig(), "demo")
run.set_state(RunState.RUNNING)
run.append(Step("fit", 1, 3))
with (run.folder / "events.jsonl").open("ab") as file:
    file.write(b'{"phase": "fi')
print(run.id, flush=True)
time.sleep(600)
"""


def test_a_run_whose_process_is_killed_reads_as_failed(workspace: Workspace, worker: Worker) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace.root)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert child.stdout is not None
        run = workspace.run(child.stdout.readline().strip())
        assert run.state == RunState.RUNNING
        with pytest.raises(RunNotReady, match="Another program"):
            worker.workspace.take(run.id)
        with pytest.raises(RunNotReady, match="still going"):
            workspace.delete(run.id)
    finally:
        child.kill()
        child.communicate()
    assert (run.state, run.message) == (RunState.FAILED, STOPPED)
    assert [step.index for step in run.events()] == [1]
    with pytest.raises(RunNotReady, match="failed"):
        worker.module(run.id)
    workspace.delete(run.id)


def test_a_run_that_ends_while_it_is_looked_at_never_reads_as_failed(
    workspace: Workspace, request_: ForgetRequest
) -> None:
    for _ in range(20):
        run = workspace.create("tiny", "", request_, TinyConfig(), "demo")
        run.set_state(RunState.RUNNING)
        end = threading.Thread(target=run.set_state, args=(RunState.DONE,))
        end.start()
        seen = {workspace.run(run.id).state for _ in range(20)}
        end.join()
        assert seen <= {RunState.RUNNING, RunState.DONE}


def test_a_discarded_run_comes_back_whole_until_its_time_is_up(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunNotReady, match="still going"):
        workspace.discard(run.id)
    run.set_state(RunState.CANCELLED)
    before = {p.name: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}
    workspace.discard(run.id)
    assert workspace.runs() == []
    with pytest.raises(RunNotFound):
        workspace.run(run.id)
    Workspace(workspace.root).restore(run.id)  # also from another program
    assert {p.name: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before

    workspace.discard(run.id)
    workspace.empty_bin()
    assert workspace.in_bin(run.id), "its time is not up"
    late = time.time() + KEPT
    monkeypatch.setattr("unlearn_core.runs.store.time.time", lambda: late)
    workspace.empty_bin()
    assert [path.name for path in workspace.root.iterdir()] == [".lock"], "nothing of it is left"
    with pytest.raises(RunNotFound, match="for good"):
        workspace.restore(run.id)


@pytest.mark.parametrize("run_id", ["", "..", "../x", "20250101-000000-00000000"])
def test_only_what_was_discarded_comes_back(workspace: Workspace, run: Run, run_id: str) -> None:
    with pytest.raises(RunNotFound):
        workspace.restore(run_id)


def test_the_next_change_removes_what_can_no_longer_come_back(
    workspace: Workspace, run: Run, request_: ForgetRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that was killed before its time was up leaves nothing for ever; a clock set back does not either."""
    run.set_state(RunState.CANCELLED)
    workspace.discard(run.id)
    back = time.time() - 3600
    monkeypatch.setattr("unlearn_core.runs.store.time.time", lambda: back)
    other = workspace.create("tiny", "", request_, TinyConfig(), "demo")
    assert {path.name for path in workspace.root.iterdir()} == {other.id, ".lock"}
