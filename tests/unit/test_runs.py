"""Runs on disk and in the background: whole or not there, readable by others, and never the end of the worker."""

from __future__ import annotations

import collections
import errno
import json
import logging
import math
import resource
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_method import TinyConfig, TinyMethod, load_tiny, request_of, until

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.methods.base import Step
from unlearn_core.runs import Run, RunDamaged, RunNotReady, RunState, Worker, Workspace
from unlearn_core.runs.files import lock_shared, storing
from unlearn_core.runs.run import STOPPED
from unlearn_core.runs.worker import NO_MEMORY, UNEXPECTED
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption, RunNotFound, StorageFailed

Picture = Callable[..., Image.Image]


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size` bytes: the system refuses, as it does when a disk is full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "runs")


@pytest.fixture
def request_(picture: Picture) -> ForgetRequest:
    return request_of([picture(i) for i in range(4)])


@pytest.fixture
def run(workspace: Workspace, request_: ForgetRequest) -> Run:
    return workspace.create("tiny", "First try", request_, TinyConfig(steps=7), "demo")


@pytest.fixture
def worker(workspace: Workspace) -> Iterator[Worker]:
    worker = Worker(workspace, load_tiny)
    yield worker
    worker.close()


# -- a run on disk -----------------------------------------------------------------------------------------------------


def facts(examples: tuple[Example, ...]) -> list[tuple[object, ...]]:
    return [
        (e.id, e.question, e.answer, e.subject, e.kind, e.target, e.image and (e.image.size, e.image.tobytes()))
        for e in examples
    ]


def test_a_run_keeps_all_it_was_made_from(workspace: Workspace, run: Run, request_: ForgetRequest) -> None:
    found = Workspace(workspace.root).run(run.id)
    assert (found.info, found.state, found.message) == (run.info, RunState.QUEUED, "")
    assert (found.info.title, found.info.method, found.info.model) == ("First try", "tiny", "demo")
    assert (found.info.subjects, found.info.forget, found.info.keep, found.info.retain) == (("Mira Olden",), 2, 1, 3)
    assert (found.config(), found.events()) == ({"steps": 7, "size": 32}, [])
    again = found.request()
    assert (again.name, again.refusals, again.subjects) == (request_.name, request_.refusals, request_.subjects)
    for side in ("forget", "keep", "retain"):
        assert facts(getattr(again, side)) == facts(getattr(request_, side))
    assert again.strangers[0].tobytes() == request_.strangers[0].tobytes()


def test_each_distinct_picture_is_kept_once_and_comes_back_as_one_object(
    workspace: Workspace, picture: Picture
) -> None:
    twin = picture(0)
    run = workspace.create("tiny", "", request_of([picture(0), twin, picture(1, (20, 50))]), TinyConfig(), "demo")
    assert len(list((run.folder / "pictures").iterdir())) == 2
    request = run.request()
    assert request.forget[0].image is request.forget[1].image is request.keep[0].image is request.retain[0].image


def test_pictures_of_other_modes_come_back_upright_in_rgb(workspace: Workspace) -> None:
    clear = Image.new("RGBA", (5, 4), (255, 0, 0, 0))
    run = workspace.create("tiny", "", request_of([clear, Image.new("L", (4, 5), 7)]), TinyConfig(), "demo")
    images = [e.image for e in (*run.request().forget, *run.request().retain) if e.image is not None]
    assert {image.mode for image in images} == {"RGB"}
    assert images[0].getpixel((0, 0)) == (255, 255, 255)


def test_only_the_owner_may_read_and_no_name_is_in_a_path(run: Run) -> None:
    run.save(TinyMethod().start(None, None, TinyConfig()).module, {})  # type: ignore[arg-type]
    paths = [run.folder, *run.folder.rglob("*")]
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert not any(part in str(path.relative_to(run.folder.parent)).lower() for part in ("mira", "olden", "other"))
    assert {path.name for path in run.module_folder.iterdir()} == {"module.safetensors", "module.json"}


def test_hundreds_of_pictures_are_written_quickly(workspace: Workspace, picture: Picture) -> None:
    request = request_of([picture(i, (128, 128)) for i in range(400)])
    began = time.monotonic()
    workspace.create("tiny", "", request, TinyConfig(), "demo")
    assert time.monotonic() - began < 4  # 0.7 s on two idle cores


@pytest.mark.parametrize("change", ["missing", "other", "torn", "json", "unknown"])
def test_a_changed_request_is_noticed(run: Run, picture: Picture, change: str) -> None:
    file = next((run.folder / "pictures").iterdir())
    listed = run.folder / "metadata.jsonl"
    if change == "missing":
        file.unlink()
    elif change == "other":
        picture(99).save(file)
    elif change == "torn":
        file.write_bytes(file.read_bytes()[:60])
    elif change == "json":
        listed.write_bytes(listed.read_bytes()[:-20])
    else:
        listed.write_text(listed.read_text().replace(file.name, "../../secret.png"))
    with pytest.raises(RunDamaged):
        run.request()


# -- events ------------------------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.builds(
    Step,
    st.text(),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.dictionaries(st.text(), numbers),
    st.none() | numbers,
    st.none() | numbers,
    numbers,
    numbers,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, max_size=4))
def test_steps_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, wanted: list[Step]) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("steps"))
    run = workspace.create("tiny", "", request_of([Image.new("RGB", (2, 2))]), TinyConfig(), "demo")
    for step in wanted:
        run.append(step)
    assert workspace.run(run.id).events() == wanted


def test_a_loss_that_is_no_number_is_kept_as_such(run: Run) -> None:
    run.append(Step("fit", 1, 1, {"a": math.nan, "b": math.inf, "c": 1.0}))
    losses = run.events()[0].losses
    assert math.isnan(losses["a"])
    assert math.isnan(losses["b"])
    assert losses["c"] == 1
    assert b"NaN" not in (run.folder / "events.jsonl").read_bytes()


def test_a_torn_last_line_is_left_out_and_a_bad_one_before_is_not(run: Run) -> None:
    run.append(Step("fit", 1, 2))
    file = run.folder / "events.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:25])
    assert [step.index for step in run.events()] == [1]
    file.write_bytes(whole[:25] + b"\n" + whole)
    with pytest.raises(RunDamaged):
        run.events()


# -- a full disk -------------------------------------------------------------------------------------------------------


def test_a_step_that_does_not_fit_on_the_disk_leaves_the_others_whole(run: Run) -> None:
    with no_room_beyond(2_000), pytest.raises(StorageFailed, match="disk is full"):
        collections.deque(run.append(Step("fit", i, 99)) for i in range(100))
    written = len(run.events())
    assert 5 < written < 100
    assert [step.index for step in run.events()] == list(range(written))
    run.append(Step("fit", written, 99))
    assert len(run.events()) == written + 1


def test_a_run_that_does_not_fit_on_the_disk_leaves_nothing(workspace: Workspace, picture: Picture) -> None:
    request = request_of([Image.effect_noise((300, 300), 90).convert("RGB")])
    with no_room_beyond(10_000), pytest.raises(StorageFailed, match="free some space"):
        workspace.create("tiny", "", request, TinyConfig(), "demo")
    assert workspace.runs() == []
    assert [path.name for path in workspace.root.iterdir()] == [".lock"]


def test_a_result_that_does_not_fit_is_failed_whole_and_the_next_run_goes(
    worker: Worker, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    with no_room_beyond(100_000):
        run = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(size=50_000), "")
        until(lambda: run.state.over)
    assert run.state == RunState.FAILED
    assert "free some space" in run.message
    assert not run.module_folder.exists()
    assert not list(run.folder.glob(".*"))
    after = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: after.state == RunState.DONE)


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "space"), (errno.EROFS, "permissions"), (errno.ENOENT, "still there")]
)
def test_what_goes_wrong_on_the_disk_is_said_plainly(number: int, advice: str) -> None:
    with pytest.raises(StorageFailed, match=advice), storing():
        raise OSError(number, "what the system says")


# -- a workspace -------------------------------------------------------------------------------------------------------


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
from tiny_method import TinyConfig, request_of
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
    here = Path(__file__).parent
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace.root)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{here}:{here.parents[1]}"},
    )
    try:
        assert child.stdout is not None
        run = workspace.run(child.stdout.readline().strip())
        assert run.state == RunState.RUNNING
        with pytest.raises(RunNotReady, match="another program"):
            worker.cancel(run.id)
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


# -- JSON --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[1e999]",
        "-Infinity",
        '{"a": 1, "a": 2}',
        "[" * 40 + "]" * 40,
        "[" * 10**6,
        "",
        "{} x",
        "\xff",
        "9" * 9999,
    ],
)
def test_only_strict_json_is_read(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        from_json(text.encode("latin-1"))


def test_what_was_not_measured_is_null() -> None:
    assert json.loads(to_json({"a": [math.nan, 1.5], "b": (math.inf, "\ud800")})) == {
        "a": [None, 1.5],
        "b": [None, "\ud800"],
    }


# -- the worker --------------------------------------------------------------------------------------------------------


def test_a_fit_is_written_down_step_by_step_and_saved(
    workspace: Workspace, worker: Worker, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    gate = threading.Semaphore(0)
    run = worker.start(tiny_vlm, request_, TinyMethod(lambda i: i < 0 or gate.acquire()), TinyConfig(), "My title")
    assert run.info.title == "My title"
    until(lambda: run.state == RunState.RUNNING)
    active = worker.active()
    assert active is not None
    assert active.id == run.id
    with pytest.raises(RunNotReady, match="running"):
        worker.module(run.id)
    with pytest.raises(RunNotReady):
        run.report()
    gate.release()
    until(lambda: [step.index for step in run.events()] == [1])
    gate.release(2)
    until(lambda: workspace.run(run.id).state == RunState.DONE)
    assert worker.active() is None
    assert [step.losses for step in run.events()] == [{"refusal": 1.0}, {"refusal": 0.5}, {"refusal": 1 / 3}]
    assert run.report() == {"drift": 0.25, "threshold": None}
    module = worker.module(run.id)
    assert worker.module(run.id) is module
    other = Worker(Workspace(workspace.root), load_tiny)
    try:
        assert torch.equal(other.module(run.id).tensors()["shift"], module.tensors()["shift"])
        assert other.module(run.id) is other.module(run.id)
    finally:
        other.close()


def test_a_result_that_can_no_longer_be_read_is_said_to_be_damaged(
    workspace: Workspace, worker: Worker, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    run = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: run.state == RunState.DONE)
    (run.module_folder / "module.safetensors").write_bytes(b"x")
    other = Worker(workspace, load_tiny)
    try:
        with pytest.raises(RunDamaged):
            other.module(run.id)
    finally:
        other.close()


def test_fits_go_one_at_a_time_in_the_order_they_came(worker: Worker, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    going: list[str] = []

    def note(name: str) -> TinyMethod:
        return TinyMethod(lambda i: going.append(name))

    first = threading.Event()
    head = worker.start(tiny_vlm, request_, TinyMethod(lambda i: first.wait()), TinyConfig(), "")
    runs = [worker.start(tiny_vlm, request_, note(name), TinyConfig(), name) for name in "abc"]
    assert [run.state for run in runs] == [RunState.QUEUED] * 3
    first.set()
    until(lambda: all(run.state == RunState.DONE for run in (head, *runs)))
    assert "".join(going) == "aaaabbbbcccc"


def test_cancelling_closes_the_fit_at_its_next_step(worker: Worker, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    seen: list[int] = []
    gate = threading.Semaphore(1)
    method = TinyMethod(lambda i: (seen.append(i), i < 0 or gate.acquire()))
    run = worker.start(tiny_vlm, request_, method, TinyConfig(steps=100), "")
    until(lambda: run.events())
    worker.cancel(run.id)
    assert run.state == RunState.RUNNING
    gate.release()
    until(lambda: run.state.over)
    assert run.state == RunState.CANCELLED
    assert seen == [0, 1, -1]
    assert not run.module_folder.exists()
    worker.cancel(run.id)
    assert run.state == RunState.CANCELLED
    with pytest.raises(RunNotReady, match="cancelled"):
        worker.module(run.id)


def test_a_run_that_waits_is_cancelled_at_once(worker: Worker, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    gate, touched = threading.Event(), threading.Event()
    first = worker.start(tiny_vlm, request_, TinyMethod(lambda i: gate.wait()), TinyConfig(), "")
    second = worker.start(tiny_vlm, request_, TinyMethod(lambda i: touched.set()), TinyConfig(), "")
    worker.cancel(second.id)
    assert second.state == RunState.CANCELLED
    gate.set()
    until(lambda: first.state == RunState.DONE)
    assert not touched.is_set()
    with pytest.raises(RunNotFound):
        worker.cancel("nothing")


SECRET = "Mira Olden is a baker"


def fail(error: BaseException) -> None:
    raise error


def nested(i: int) -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise ValueError(f"cannot learn that {SECRET}") from error


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (lambda i: fail(BadOption("The ratio must lie between 0 and 1.")), "The ratio must lie between 0 and 1."),
        (lambda i: fail(MemoryError()), NO_MEMORY),
        (lambda i: fail(torch.OutOfMemoryError("CUDA out of memory")), NO_MEMORY),
        (lambda i: torch.empty(2**55), NO_MEMORY),
        (nested, UNEXPECTED),
        (lambda i: fail(SystemExit(SECRET)), UNEXPECTED),
    ],
)
def test_the_worker_survives_every_failure_and_tells_nobody_what_was_asked(
    worker: Worker,
    tiny_vlm: VLM,
    request_: ForgetRequest,
    caplog: pytest.LogCaptureFixture,
    failure: Callable[[int], object],
    message: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    run = worker.start(tiny_vlm, request_, TinyMethod(lambda i: i == 1 and failure(i)), TinyConfig(), "")
    until(lambda: run.state.over)
    assert (run.state, run.message) == (RunState.FAILED, message)
    assert [step.index for step in run.events()] == [1]
    assert "test_runs.py" in caplog.text
    assert "Mira" not in caplog.text
    if failure is nested:
        assert "ValueError" in caplog.text
        assert "KeyError" in caplog.text
    after = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: after.state == RunState.DONE)


def test_a_run_whose_end_cannot_be_written_is_over_all_the_same(
    workspace: Workspace, worker: Worker, tiny_vlm: VLM, request_: ForgetRequest, tmp_path: Path
) -> None:
    gate = threading.Event()
    run = worker.start(tiny_vlm, request_, TinyMethod(lambda i: gate.wait()), TinyConfig(), "")
    until(lambda: run.state == RunState.RUNNING)
    aside = tmp_path / "aside"
    run.folder.rename(aside)
    gate.set()
    until(lambda: worker.active() is None)
    aside.rename(run.folder)
    assert (run.state, run.message) == (RunState.FAILED, STOPPED)
    after = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: after.state == RunState.DONE)


def test_many_threads_may_ask_at_once(worker: Worker, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    made: list[Run] = []

    def ask(i: int) -> None:
        run = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), str(i))
        made.append(run)
        if i % 2:
            worker.cancel(run.id)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: all(run.state.over for run in made))
    states = {run.info.title: run.state for run in made}
    assert all(states[str(i)] == RunState.DONE for i in range(0, 8, 2))
    assert all(states[str(i)] in (RunState.DONE, RunState.CANCELLED) for i in range(1, 8, 2))
    assert len(worker.workspace.runs()) == 8


def test_closing_cancels_what_goes_and_what_waits(workspace: Workspace, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    worker = Worker(workspace, load_tiny)
    running = worker.start(tiny_vlm, request_, TinyMethod(lambda i: time.sleep(0.01)), TinyConfig(steps=10**6), "")
    waiting = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: running.events())
    worker.close()
    assert [running.state, waiting.state] == [RunState.CANCELLED] * 2
    with pytest.raises(RuntimeError):
        worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    assert all(run.state.over for run in workspace.runs())
