"""Long work as a generator: in a thread of its own."""

from __future__ import annotations

from contextvars import ContextVar
from threading import Event

import pytest

from tests.unit.tiny_method import until
from unlearn_core.evaluation.progress import Job, Progress, aside, finish

WHO: ContextVar[str] = ContextVar("who", default="nobody")


def steps(go: Event, ended: Event | None = None) -> Job[str]:
    yield Progress("one", 0, 2)
    assert go.wait(10)
    yield Progress("two", 1, 2)
    if ended is not None:
        ended.set()
    return WHO.get()


def test_a_job_aside_tells_and_gives_the_same_and_knows_for_whom_it_is() -> None:
    go, told = Event(), []

    def watch(p: Progress) -> None:
        told.append(p.phase)
        go.set()

    WHO.set("Vera")
    assert finish(aside(steps(go), look=0.01), watch) == "Vera"
    assert told in (["one"], ["one", "two"])


def test_a_job_aside_goes_on_where_nobody_watches_any_more() -> None:
    go, ended = Event(), Event()
    job = aside(steps(go, ended), look=0.01)
    next(job)
    job.close()
    go.set()
    until(ended.is_set, 10)


def test_what_a_job_aside_raises_is_raised_where_it_is_watched() -> None:
    def fails() -> Job[None]:
        yield Progress("one", 0, 1)
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        finish(aside(fails(), look=0.01))
