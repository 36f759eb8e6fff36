"""Fits in the background: in order, paused, cancelled, resumed, and never the end of the worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.unit.forgetting import small_request
from tests.unit.runs.full import no_room_beyond
from tests.unit.test_checkpoint import OPTIONS
from tests.unit.tiny_method import TinyConfig, TinyMethod, load_tiny, until
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.runs import Run, RunDamaged, RunNotReady, RunState, Worker, Workspace
from unlearn_core.runs.fitting import NO_MEMORY, UNEXPECTED
from unlearn_core.runs.run import STOPPED
from unlearn_core.vlm import VLM, Answer
from unlearn_core.vlm.errors import BadOption, RunNotFound

Picture = Callable[..., Image.Image]


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


def test_a_question_need_not_even_wait_for_the_end_of_a_step(
    worker: Worker, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    inside, on = threading.Event(), threading.Event()

    def hold(step: int) -> None:
        inside.set()
        assert on.wait(30)

    run = worker.start(tiny_vlm, request_, TinyMethod(hold), TinyConfig(), "held")
    assert inside.wait(30)
    try:
        assert tiny_vlm.ask([request_.retain[0].prompt])
        assert run.state is RunState.RUNNING
    finally:
        on.set()
    until(lambda: run.state.over)


@pytest.mark.parametrize("name", METHODS)
def test_questions_and_a_fit_change_nothing_about_each_other(
    name: str, workspace: Workspace, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    """Answers are bit by bit those of the original all the while, and so is what is learned."""
    method, request, prompts = METHODS[name], small_request(), [e.prompt for e in request_.retain]
    config = from_values(method.config, OPTIONS[name])
    alone = method.start(tiny_vlm, request, config)
    assert list(alone)
    before, meanwhile = tiny_vlm.ask(prompts), []
    worker = Worker(workspace)
    try:
        run = worker.start(tiny_vlm, request, method, config, "asked meanwhile")
        while not run.state.over:
            meanwhile.append(tiny_vlm.ask(prompts))
            time.sleep(0.05)
        wanted, learned = alone.module.tensors(), worker.module(run.id).tensors()
    finally:
        worker.close()
    assert len(meanwhile) > 1
    assert all(told(answers) == told(before) for answers in meanwhile)
    assert all(torch.equal(tensor, learned[key]) for key, tensor in wanted.items())


def told(answers: list[Answer]) -> list[tuple[str, float]]:
    return [(answer.text, answer.probability) for answer in answers]


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
    assert "test_worker.py" in caplog.text
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


def test_closing_pauses_what_goes_and_what_waits(workspace: Workspace, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    worker = Worker(workspace, load_tiny)
    running = worker.start(tiny_vlm, request_, TinyMethod(lambda i: time.sleep(0.01)), TinyConfig(steps=10**6), "")
    waiting = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: running.events())
    worker.close()
    assert [running.state, waiting.state] == [RunState.PAUSED] * 2
    with pytest.raises(RuntimeError):
        worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    assert all(run.state.over for run in workspace.runs())


# -- pause and resume --------------------------------------------------------------------------------------------------


def test_a_paused_run_goes_on_where_it_was_also_in_another_program(
    workspace: Workspace, worker: Worker, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    gate = threading.Semaphore(2)
    run = worker.start(tiny_vlm, request_, TinyMethod(lambda i: i < 0 or gate.acquire()), TinyConfig(steps=5), "")
    until(lambda: len(run.events()) == 2)
    worker.pause(run.id)
    gate.release()
    until(lambda: run.state == RunState.PAUSED)
    stood = len(run.events())
    other, seen = Worker(Workspace(workspace.root), load_tiny), []
    try:
        other.resume(run.id, tiny_vlm, TinyMethod(seen.append))
        until(lambda: run.state == RunState.DONE)
    finally:
        other.close()
    assert seen == [*range(stood, 5), -1]
    assert [step.index for step in run.events()] == [1, 2, 3, 4, 5]
    assert not list(run.folder.glob("checkpoint*"))
    for refused in (other.resume, worker.resume):
        with pytest.raises(RunNotReady, match="it is done"):
            refused(run.id, tiny_vlm, TinyMethod())


@pytest.mark.parametrize(("ask", "end"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
def test_another_program_can_pause_and_cancel(
    workspace: Workspace, worker: Worker, tiny_vlm: VLM, request_: ForgetRequest, ask: str, end: RunState
) -> None:
    run = worker.start(tiny_vlm, request_, TinyMethod(lambda i: time.sleep(0.005)), TinyConfig(steps=10**6), "")
    waits = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: run.events())
    other = Worker(Workspace(workspace.root), load_tiny)
    try:
        for each in (waits, run):
            getattr(other, ask)(each.id)
        until(lambda: run.state.over and waits.state.over)
        assert [run.state, waits.state] == [end, end]
        assert not (run.folder / "wish").exists()
        other.cancel(run.id)
        assert run.state == RunState.CANCELLED
        with pytest.raises(RunNotReady, match="cancelled"):
            other.resume(run.id, tiny_vlm, TinyMethod())
    finally:
        other.close()


def test_a_run_without_a_checkpoint_starts_again(worker: Worker, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    run = worker.start(tiny_vlm, request_, TinyMethod(lambda i: i == 1 and fail(MemoryError())), TinyConfig(), "")
    until(lambda: run.state == RunState.FAILED)
    worker.resume(run.id, tiny_vlm, TinyMethod())
    until(lambda: run.state == RunState.DONE)
    assert (run.message, [step.index for step in run.events()]) == ("", [1, 2, 3])


def test_what_was_kept_survives_a_disk_that_fills(workspace: Workspace, tiny_vlm: VLM, request_: ForgetRequest) -> None:
    worker = Worker(workspace, load_tiny, often=0)
    try:
        with no_room_beyond(1_500):
            run = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(steps=100), "")
            until(lambda: run.state.over)
        assert (run.state, "disk is full" in run.message) == (RunState.FAILED, True)
        kept = run.checkpoint()
        assert kept is not None
        assert 3 < kept.step < 100
        worker.resume(run.id, tiny_vlm, TinyMethod())
        until(lambda: run.state == RunState.DONE)
        assert [step.index for step in run.events()] == list(range(1, 101))
    finally:
        worker.close()
