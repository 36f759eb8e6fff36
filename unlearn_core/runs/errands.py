"""Long work beside the fits: one errand at a time on a thread of its own, watched from anywhere, cancelled between two steps.

An errand gives way: as long as somebody else needs the machine, it waits where it is. What it has done it keeps by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.runs.fitting import sentence, trace
from unlearn_core.runs.run import RunState, Status
from unlearn_core.vlm.errors import BadRequest

PATIENCE = 0.2
"""Seconds between two looks whether the machine is free."""
REMEMBERED = 64
"""Errands whose end can still be asked for."""

Work = Callable[[], Job[object]]

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Errand:
    """A piece of work and how far it is.

    Args:
        key: what it is about; no two errands about the same wait or go at a time.
        title: what a page calls it.
        result: what came of it, once it is done.
        gives_way: whether it waits where it is, for somebody else who needs the machine.
    """

    key: str
    title: str
    status: Status = field(default_factory=lambda: Status(RunState.QUEUED))
    progress: Progress | None = None
    result: object = None
    gives_way: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    _clock: list[tuple[float, float]] = field(default_factory=list)

    def seen(self, progress: Progress) -> None:
        """Note a step, and when the share that is done was last another one."""
        share = progress.done / max(1, progress.total)
        if not self._clock or share != self._clock[-1][1]:
            self._clock = [*self._clock[:1], (time.monotonic(), share)]
        self.progress = progress

    def seconds_left(self) -> float | None:
        """From the pace so far; None until something is done."""
        if len(self._clock) < 2:
            return None
        (began, at), (now, share) = self._clock
        pace = (now - began) / (share - at)
        return max(1.0, pace * (1 - share) - (time.monotonic() - now))


class Errands:
    """All methods may be called from any thread.

    Args:
        give_way: whether somebody else needs the machine now.
    """

    def __init__(self, give_way: Callable[[], bool] = lambda: False) -> None:
        self._give_way = give_way
        self._waiting: deque[tuple[Errand, Work]] = deque()
        self._known: dict[str, Errand] = {}
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="errands", daemon=True)
        self._thread.start()

    def start(self, key: str, title: str, work: Work) -> Errand:
        """Queue an errand. The progress of `work` counts all of it, not a phase.

        Raises:
            BadRequest: one about the same waits or is going.
        """
        with self._change:
            before = self._known.get(key)
            if before is not None and not before.status.state.over:
                raise BadRequest("This is being examined already. Please wait until that is done, or cancel it.")
            errand = Errand(key, title)
            self._known.pop(key, None)
            self._known[key] = errand
            if len(self._known) > REMEMBERED:
                self._known.pop(next(k for k, e in self._known.items() if e.status.state.over or e is errand))
            self._waiting.append((errand, work))
            self._change.notify()
        return errand

    def find(self, key: str) -> Errand | None:
        """The latest errand about this, if there was one."""
        with self._change:
            return self._known.get(key)

    def cancel(self, key: str) -> None:
        """Cancel an errand: at once if it waits, at its next step if it is going; one that is over stays as it is."""
        with self._change:
            errand = self._known.get(key)
            if errand is None:
                return
            errand.stop.set()
            if errand.status.state is RunState.QUEUED:
                self._waiting = deque(pair for pair in self._waiting if pair[0] is not errand)
                errand.status = Status(RunState.CANCELLED)

    def close(self) -> None:
        """Cancel what waits and what is going, and wait until that has taken effect."""
        with self._change:
            self._closed = True
            for errand in self._known.values():
                errand.stop.set()
            for errand, _ in self._waiting:
                errand.status = Status(RunState.CANCELLED)
            self._waiting.clear()
            self._change.notify()
        self._thread.join()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            errand, work = taken
            try:
                status = self._go(errand, work)
            except BaseException as error:  # whatever an errand raises, the next one must still be able to go
                logger.error("An errand failed.\n%s", trace(error))
                status = Status(RunState.FAILED, sentence(error))
            errand.status = status
            del taken, work  # it may hold models, and the next errand may be long in coming

    def _take(self) -> tuple[Errand, Work] | None:
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            errand, work = self._waiting.popleft()
            errand.status = Status(RunState.RUNNING)
            return errand, work

    def _go(self, errand: Errand, work: Work) -> Status:
        with closing(work()) as job:
            while self._may_go_on(errand):
                try:
                    errand.seen(next(job))
                except StopIteration as end:
                    errand.result = end.value
                    return Status(RunState.DONE)
        return Status(RunState.CANCELLED)

    def _may_go_on(self, errand: Errand) -> bool:
        """Wait while somebody else needs the machine; False when the errand is cancelled."""
        while not errand.stop.is_set() and self._give_way():
            errand.gives_way = True
            errand.stop.wait(PATIENCE)
        errand.gives_way = False
        return not errand.stop.is_set()
