"""Fits in the background, one at a time, each written down as a run."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import module_from_pretrained
from unlearn_core.methods.base import Method, Module, Step
from unlearn_core.runs.errors import RunDamaged, RunNotReady
from unlearn_core.runs.run import Run, RunState, Status
from unlearn_core.runs.store import Workspace
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import StorageFailed, StudioError
from unlearn_core.vlm.room import short_of_memory

IN_MEMORY = 4
"""Modules kept in memory, latest used first; a page rarely compares more at a time."""

NO_MEMORY = "There was not enough memory. Please use fewer pictures or a smaller batch and start again."
UNEXPECTED = "The run stopped because of an unexpected error. Its kind and place are in the program's log."

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Job:
    """A fit that waits or is going. `stop` is set when it is to be cancelled."""

    run: Run
    vlm: VLM
    request: ForgetRequest
    method: Method
    config: Any
    stop: threading.Event = field(default_factory=threading.Event)


class Worker:
    """Runs fits on one thread of its own. All methods may be called from any thread.

    Args:
        load_module: reads a module from the folder that its `save_pretrained` wrote.
    """

    def __init__(self, workspace: Workspace, load_module: Callable[[Path], Module] = module_from_pretrained) -> None:
        self.workspace = workspace
        self._load = load_module
        self._modules: OrderedDict[str, Module] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="fits", daemon=True)
        self._thread.start()

    def start(self, vlm: VLM, request: ForgetRequest, method: Method, config: Any, title: str) -> Run:
        """Write the run down and queue its fit.

        Raises:
            StorageFailed: the run could not be written.
            RuntimeError: the worker is closed.
        """
        run = self.workspace.create(method.name, title, request, config, vlm.name)
        with self._change:
            if self._closed:
                run.set_state(RunState.CANCELLED)
                raise RuntimeError("the worker is closed")
            self._waiting.append(Job(run, vlm, request, method, config))
            self._change.notify()
        return run

    def cancel(self, run_id: str) -> None:
        """Cancel a run: at once if it waits, at its next step if it is going. A run that is over stays as it is.

        Raises:
            RunNotFound: no run by that id.
            RunNotReady: another program is working on it.
        """
        with self._change:
            if self._current is not None and self._current.run.id == run_id:
                self._current.stop.set()
                return
            for job in self._waiting:
                if job.run.id == run_id:
                    self._waiting.remove(job)
                    self._end(job.run, Status(RunState.CANCELLED))
                    return
            if not self.workspace.run(run_id).state.over:
                raise RunNotReady("This run was started by another program. Please cancel it there.")

    def active(self) -> Run | None:
        """The run whose fit is going now."""
        with self._change:
            return None if self._current is None else self._current.run

    def module(self, run_id: str) -> Module:
        """What a run has learned, from memory where it was used lately, else from its folder.

        Raises:
            RunNotFound: no run by that id.
            RunNotReady: the run has no result, or none yet.
            RunDamaged: the result can no longer be read.
        """
        run = self.workspace.run(run_id)
        state = run.state
        if state != RunState.DONE:
            raise RunNotReady(f"This run has no result: it is {state}. Please choose one that is done.")
        with self._change:
            if run_id in self._modules:
                self._modules.move_to_end(run_id)
                return self._modules[run_id]
        try:
            module = self._load(run.module_folder)
        except Exception as error:
            raise RunDamaged(
                "The result of this run can no longer be read. Please delete the run and start a new one."
            ) from error
        self._remember(run_id, module)
        return module

    def close(self) -> None:
        """Cancel what waits and what is going, and wait until that has taken effect."""
        with self._change:
            self._closed = True
            while self._waiting:
                self._end(self._waiting.popleft().run, Status(RunState.CANCELLED))
            if self._current is not None:
                self._current.stop.set()
            self._change.notify()
        self._thread.join()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._take():
            self._one()

    def _take(self) -> bool:
        """Wait for a job and make it the current one; False when the worker is closed."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return False
            self._current = self._waiting.popleft()
            return True

    def _one(self) -> None:
        job = self._current
        assert job is not None
        try:
            status = self._fit(job)
        except BaseException as error:  # whatever a method raises, the next run must still be able to go
            logger.error("Run %s failed.\n%s", job.run.id, trace(error))
            status = Status(RunState.FAILED, sentence(error))
        with self._change:
            self._current = None
            self._end(job.run, status)

    def _fit(self, job: Job) -> Status:
        job.run.set_state(RunState.RUNNING)
        fit = job.method.start(job.vlm, job.request, job.config)
        # `Fit` promises that its iterator can be closed; the type Iterator cannot say so.
        with closing(cast(Generator[Step], iter(fit))) as steps:
            for step in steps:
                job.run.append(step)
                if job.stop.is_set():
                    return Status(RunState.CANCELLED)
        job.run.save(fit.module, fit.report)
        self._remember(job.run.id, fit.module)
        return Status(RunState.DONE)

    def _end(self, run: Run, status: Status) -> None:
        try:
            run.set_state(status.state, status.message)
        except StorageFailed as error:
            # The disk is full to the last byte, or the folder is gone. Without its lock the run reads as failed all the same.
            logger.error("The end of run %s could not be written.\n%s", run.id, trace(error))
            run.release()

    def _remember(self, run_id: str, module: Module) -> None:
        with self._change:
            self._modules[run_id] = module
            self._modules.move_to_end(run_id)
            if len(self._modules) > IN_MEMORY:
                self._modules.popitem(last=False)


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
