"""Long work as a generator: it yields how far it is, and what it returns is the result. Closing it cancels."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from contextvars import copy_context
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is.

    Args:
        phase: what is being done, in plain words.
        done, total: units of this phase.
    """

    phase: str
    done: int
    total: int


Job = Generator[Progress, None, T]
"""Work that can be watched. Inside another job, `result = yield from job` passes its progress on."""


def retold(job: Job[T], tell: Callable[[Progress], U]) -> Generator[U, None, T]:
    """The same job with its progress told in other words, such as those of a part of more, or as a page shows it."""
    while True:
        try:
            progress = next(job)
        except StopIteration as end:
            return end.value
        yield tell(progress)


def aside(job: Job[T], look: float = 0.1) -> Job[T]:
    """The same job in a thread of its own, where it comes to its end also if nobody watches it any more.

    Args:
        look: seconds between two looks at how far it is.
    """
    done: Future[T] = Future()
    last: list[Progress] = []

    def work() -> None:
        try:
            done.set_result(finish(job, last.append))
        except BaseException as error:
            done.set_exception(error)

    Thread(target=copy_context().run, args=(work,), daemon=True).start()
    told = 0
    while not done.done():
        wait([done], look)
        if len(last) > told:
            told = len(last)
            yield last[-1]
    return done.result()


def finish(job: Job[T], watch: Callable[[Progress], object] = lambda progress: None) -> T:
    """Do a job to its end and return its result."""
    while True:
        try:
            progress = next(job)
        except StopIteration as end:
            return end.value
        watch(progress)
