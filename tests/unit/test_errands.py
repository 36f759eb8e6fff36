"""Errands: one at a time, giving way, cancelled between steps, and never the end of the thread."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
from tiny_method import until

from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.runs import RunState
from unlearn_core.runs.errands import Errand, Errands
from unlearn_core.runs.fitting import UNEXPECTED
from unlearn_core.vlm.errors import BadRequest

busy = threading.Event()


@pytest.fixture
def errands() -> Iterator[Errands]:
    busy.clear()
    errands = Errands(busy.is_set)
    yield errands
    errands.close()


def counting(steps: int, seen: list[int], end: threading.Event | None = None) -> Job[object]:
    try:
        for i in range(steps):
            seen.append(i)
            yield Progress("counting", i + 1, steps)
        return sum(seen)
    finally:
        if end is not None:
            end.set()


def over(errand: Errand) -> bool:
    return errand.status.state.over


def test_errands_go_one_after_another_and_give_way(errands: Errands) -> None:
    busy.set()
    first, second = [], []
    one = errands.start("a", "A", lambda: counting(3, first))
    two = errands.start("b", "B", lambda: counting(3, second))
    until(lambda: one.status.state is RunState.RUNNING)
    time.sleep(0.05)
    assert (first, second, two.status.state) == ([], [], RunState.QUEUED)
    assert (one.gives_way, two.gives_way) == (True, False)
    busy.clear()
    until(lambda: over(two))
    assert not one.gives_way
    assert (one.result, two.result, one.progress) == (3, 3, Progress("counting", 3, 3))
    assert errands.find("a") is one
    assert errands.find("z") is None


def test_cancelling_ends_the_generator_at_its_next_step(errands: Errands) -> None:
    ended, seen = threading.Event(), []
    going = errands.start("a", "A", lambda: counting(10**9, seen, ended))
    waiting = errands.start("b", "B", lambda: counting(1, []))
    with pytest.raises(BadRequest, match="already"):
        errands.start("b", "B", lambda: counting(1, []))
    errands.cancel("b")
    assert waiting.status.state is RunState.CANCELLED
    until(lambda: seen)
    errands.cancel("a")
    until(lambda: over(going))
    assert ended.is_set()
    assert going.status.state is RunState.CANCELLED
    again = errands.start("a", "A", lambda: counting(2, []))
    until(lambda: over(again))
    assert (errands.find("a"), again.status.state) == (again, RunState.DONE)


def test_what_fails_says_so_without_names_in_the_log(errands: Errands, caplog: pytest.LogCaptureFixture) -> None:
    def failing(error: Exception) -> Job[object]:
        yield Progress("going", 0, 1)
        raise error

    with caplog.at_level(logging.ERROR):
        told = errands.start("a", "A", lambda: failing(NothingToMeasure("Please mark somebody.")))
        hidden = errands.start("b", "B", lambda: failing(ValueError("Mira Olden")))
        until(lambda: over(hidden))
    assert (told.status.state, told.status.message) == (RunState.FAILED, "Please mark somebody.")
    assert hidden.status.message == UNEXPECTED
    assert "ValueError" in caplog.text
    assert "Mira" not in caplog.text


def test_an_errand_that_is_over_holds_no_model(errands: Errands) -> None:
    class Model:
        pass

    def using(model: Model) -> Job[object]:
        yield Progress(str(type(model)), 1, 1)
        return None

    def begin() -> tuple[Errand, weakref.ref[Model]]:
        model = Model()
        return errands.start("a", "A", lambda: using(model)), weakref.ref(model)

    errand, model = begin()
    until(lambda: over(errand))
    until(lambda: gc.collect() >= 0 and model() is None)


def test_time_left_follows_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 10.0, 14.0])
    monkeypatch.setattr("unlearn_core.runs.errands.time.monotonic", lambda: next(clock))
    errand = Errand("a", "A")
    errand.seen(Progress("one", 0, 4))
    assert errand.seconds_left() is None
    errand.seen(Progress("two", 1, 4))
    errand.seen(Progress("two, further", 1, 4))
    assert errand.seconds_left() == 30.0
    assert errand.seconds_left() == 26.0


def test_closing_cancels_what_waits_and_what_goes() -> None:
    errands, seen = Errands(), []
    going, waiting = (errands.start(k, k, lambda: counting(10**9, seen)) for k in "ab")
    until(lambda: seen)
    errands.close()
    assert going.status.state is RunState.CANCELLED
    assert waiting.status.state is RunState.CANCELLED
