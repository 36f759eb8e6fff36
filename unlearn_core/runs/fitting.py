"""Carry out one run on the calling thread: fit, write down, keep checkpoints, and stop where somebody wants it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, cast

from unlearn_core.methods.base import Fit, Method, Module, Step
from unlearn_core.methods.world import ALONE, World
from unlearn_core.runs.run import Run, RunState, Status, Wish
from unlearn_core.runs.tracking import Tracker, tracked
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import StudioError
from unlearn_core.vlm.room import short_of_memory

NO_MEMORY = "There was not enough memory. Please use fewer pictures or a smaller batch and start again."
UNEXPECTED = "The run stopped because of an unexpected error. Its kind and place are in the program's log."
OFTEN = 5.0
"""Seconds between two checkpoints, so that no more than these are lost when the power goes. [ours]"""
SHARE = 0.05
"""Most of the time that checkpoints should take; of a large module they are written less often, ... [ours]"""
SELDOM = 60
"""... but no more seldom than in so many times `OFTEN` seconds."""
WISHES = (None, *Wish)
"""As numbers, which processes can exchange."""

logger = logging.getLogger(__name__)


class Keeper:
    """Writes checkpoints of a run: often enough that little is lost, and seldom enough that it costs little.

    Args:
        often: least seconds between two of them; 0 for one after each step.
    """

    def __init__(self, run: Run, often: float) -> None:
        self.run, self.often = run, often
        self._next = time.monotonic() + often

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def keep(self, fit: Fit) -> None:
        """Raises StorageFailed; the checkpoint before is still there then."""
        began, checkpoint = time.monotonic(), fit.checkpoint()
        if checkpoint is not None:
            self.run.keep(checkpoint)
        now = time.monotonic()
        self._next = now + max(self.often, min((now - began) / SHARE, self.often * SELDOM))


def carry_out(
    run: Run,
    vlm: VLM,
    method: Method,
    config: Any,
    *,
    world: World = ALONE,
    wish: Callable[[], Wish | None] = lambda: None,
    watch: Callable[[Step], None] = lambda step: None,
    trackers: Sequence[Tracker] = (),
    often: float = OFTEN,
) -> tuple[Status, Module | None]:
    """Fit what the run's folder asks for, from its last checkpoint if there is one, and say how it ended.

    The request is read back from the folder, so that whoever goes on with it later has the very same pictures.

    Args:
        run: one that this process holds; its final state is for the caller to write.
        world: of several processes this is the first, and the others `go_along`.
        wish: what the caller wants now, asked after each step; what others want stands in the run's folder.
        watch: is told each new step. trackers: are told the numbers of each.
        often: least seconds between two checkpoints; 0 for one after each step.

    Returns:
        A final state, cancelled after Ctrl-C; and what was learned, if it is done. Whatever goes wrong is logged without
        texts of the request.
    """
    try:
        with tracked(trackers, run, config) as track:

            def note(step: Step) -> None:
                run.append(step)
                track(step)
                watch(step)

            return _carry_out(run, vlm, method, config, world, lambda: wish() or run.wish(), note, often)
    except KeyboardInterrupt:
        return Status(Wish.CANCEL.end), None
    except BaseException as error:  # whatever a method raises, the next run must still be able to go
        logger.error("Run %s failed.\n%s", run.id, trace(error))
        return Status(RunState.FAILED, sentence(error)), None


def _carry_out(
    run: Run,
    vlm: VLM,
    method: Method,
    config: Any,
    world: World,
    wish: Callable[[], Wish | None],
    note: Callable[[Step], None],
    often: float,
) -> tuple[Status, Module | None]:
    if world.size == 1 and (early := wish()):
        return Status(early.end), None
    run.set_state(RunState.RUNNING)
    fit, known = _taken_up(run, vlm, method, config, world)
    run.take_up(known)
    keeper = Keeper(run, often)
    # `Fit` promises that its iterator can be closed; the type Iterator cannot say so.
    with closing(cast(Generator[Step], iter(fit))) as steps:
        for step in steps:
            if step.losses or not known:  # steps of the preparation that is done again stand there already
                note(step)
            wanted = agreed(wish(), step, world)
            if wanted is Wish.CANCEL:
                return Status(wanted.end), None
            if step.index < step.total and (wanted or keeper.due):  # after the last step there is nothing to go on with
                keeper.keep(fit)
                if wanted:
                    return Status(wanted.end), None
    run.save(fit.module, fit.report)
    return Status(RunState.DONE), fit.module


def go_along(run: Run, vlm: VLM, method: Method, config: Any, world: World) -> None:
    """What the other processes of a fit do: its steps from the same checkpoint, and nothing is written. Whatever goes wrong is raised."""
    fit, _ = _taken_up(run, vlm, method, config, world)
    with closing(cast(Generator[Step], iter(fit))) as steps:
        for step in steps:
            wanted = agreed(None, step, world)
            if wanted is Wish.CANCEL or (wanted and step.index < step.total):
                return


def _taken_up(run: Run, vlm: VLM, method: Method, config: Any, world: World) -> tuple[Fit, int]:
    """The fit that a run's folder asks for, and the step after which it goes on."""
    request, checkpoint = run.request(), run.checkpoint()
    fit = method.start(vlm, request, config, world)
    if checkpoint is None:
        return fit, 0
    fit.restore(checkpoint)
    return fit, checkpoint.step


def agreed(wish: Wish | None, step: Step, world: World) -> Wish | None:
    """What the first process wants after a step, so that all end together: they train in step, but prepare each at its own pace."""
    if world.size > 1 and not step.losses:
        return None
    return WISHES[world.first(WISHES.index(wish))]


def sentence(error: BaseException) -> str:
    """What a user is told about an error."""
    if isinstance(error, StudioError):
        return str(error)
    return NO_MEMORY if short_of_memory(error) else UNEXPECTED


def trace(error: BaseException) -> str:
    """Where an error and its causes came from, without their texts: those may quote names or answers of the request."""
    parts: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        parts.append("".join(traceback.format_tb(cause.__traceback__)) + type(cause).__qualname__)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\ncaused by\n".join(parts)
