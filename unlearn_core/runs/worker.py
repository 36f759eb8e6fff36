"""Fits in the background, one at a time, each written down as a run."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import module_from_pretrained
from unlearn_core.methods.base import Method, Module
from unlearn_core.methods.options import from_values
from unlearn_core.runs.errors import RunDamaged, RunNotReady
from unlearn_core.runs.fitting import OFTEN, carry_out, trace
from unlearn_core.runs.run import Run, RunState, Status, Wish
from unlearn_core.runs.store import Workspace
from unlearn_core.runs.tracking import Tracker
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import StorageFailed

IN_MEMORY = 4
"""Modules kept in memory, latest used first; a page rarely compares more at a time."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """A fit that waits or is going, and what this process wants of it."""

    run: Run
    vlm: VLM
    method: Method
    config: Any
    wish: Wish | None = None


class Worker:
    """Runs fits on one thread of its own. All methods may be called from any thread.

    Args:
        load_module: reads a module from the folder that its `save_pretrained` wrote.
        trackers: are told the numbers of each step.
        often: least seconds between two checkpoints of a run; 0 for one after each step.
    """

    def __init__(
        self,
        workspace: Workspace,
        load_module: Callable[[Path], Module] = module_from_pretrained,
        trackers: Sequence[Tracker] = (),
        often: float = OFTEN,
    ) -> None:
        self.workspace = workspace
        self._load, self._trackers, self._often = load_module, trackers, often
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
        self._queue(Job(run, vlm, method, config))
        return run

    def resume(self, run_id: str, vlm: VLM, method: Method) -> Run:
        """Queue a run that was paused or failed, whoever started it; it goes on where it was.

        Raises:
            RunNotFound: no run by that id.
            RunNotReady: it is going, is done or was cancelled.
            RunDamaged, BadOption: its options can no longer be read.
            RuntimeError: the worker is closed.
        """
        config = from_values(method.config, self.workspace.run(run_id).config())
        run = self.workspace.take(run_id)
        self._queue(Job(run, vlm, method, config))
        return run

    def _queue(self, job: Job) -> None:
        with self._change:
            if self._closed:
                job.run.set_state(RunState.CANCELLED)
                raise RuntimeError("the worker is closed")
            self._waiting.append(job)
            self._change.notify()

    def cancel(self, run_id: str) -> None:
        """Cancel a run: at once if it waits here, after its next step if it is going, also in another program.

        A paused run is cancelled too, and can then no longer be resumed. One that is over otherwise stays as it is.

        Raises:
            RunNotFound: no run by that id.
            StorageFailed: the program that works on it could not be told.
        """
        if self._ask_for(run_id, Wish.CANCEL) and self.workspace.run(run_id).state is RunState.PAUSED:
            self.workspace.take(run_id).set_state(RunState.CANCELLED)

    def pause(self, run_id: str) -> None:
        """As `cancel`, but the run can be resumed, also after a restart. One that is over stays as it is."""
        self._ask_for(run_id, Wish.PAUSE)

    def _ask_for(self, run_id: str, wish: Wish) -> bool:
        """Whether nobody works on the run."""
        with self._change:
            if self._current is not None and self._current.run.id == run_id:
                self._current.wish = wish
                return False
            for job in self._waiting:
                if job.run.id == run_id:
                    self._waiting.remove(job)
                    self._end(job.run, Status(wish.end))
                    return False
        run = self.workspace.run(run_id)
        if run.state.over:
            return True
        run.ask_for(wish)
        return False

    def active(self) -> Run | None:
        """The run whose fit is going now."""
        with self._change:
            return None if self._current is None else self._current.run

    def ahead(self, run_id: str) -> int:
        """How many fits of this process go before one that waits; 0 for any other."""
        with self._change:
            waiting = [job.run.id for job in self._waiting]
            return waiting.index(run_id) + (self._current is not None) if run_id in waiting else 0

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
        """Pause what waits and what is going, and wait until that has taken effect."""
        with self._change:
            self._closed = True
            while self._waiting:
                self._end(self._waiting.popleft().run, Status(RunState.PAUSED))
            if self._current is not None:
                self._current.wish = self._current.wish or Wish.PAUSE
            self._change.notify()
        self._thread.join()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._take()) is not None:
            status, module = carry_out(
                job.run,
                job.vlm,
                job.method,
                job.config,
                wish=lambda job=job: job.wish,
                trackers=self._trackers,
                often=self._often,
            )
            if module is not None:
                self._remember(job.run.id, module)
            with self._change:
                self._current = None
                self._end(job.run, status)

    def _take(self) -> Job | None:
        """Wait for a job and make it the current one; None when the worker is closed."""
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._current = self._waiting.popleft()
            return self._current

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
