"""One run on disk: a folder that can be read without the app.

    <run id>/  info.json  request.json  pictures/  config.json  state.json  events.jsonl  lock  module/  report.json

The process that made the run holds its lock as long as the run is going, so everybody else can tell when it has died.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from unlearn_core.data.example import ForgetRequest
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.methods.base import Module, Step
from unlearn_core.runs.errors import RunDamaged, RunNotReady
from unlearn_core.runs.files import append_line, is_locked, storing, sync, write_file
from unlearn_core.runs.requests import read_request
from unlearn_core.vlm.errors import RunNotFound

INFO, CONFIG, STATE, EVENTS, REPORT = "info.json", "config.json", "state.json", "events.jsonl", "report.json"
LOCK = "lock"
UNFINISHED = ".unfinished-"
STOPPED = "The program stopped while this run was going."


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True)
class Status:
    """Where a run stands, and a sentence about it where there is something to say."""

    state: RunState
    message: str = ""


@dataclass(frozen=True)
class RunInfo:
    """What does not change about a run.

    Args:
        title: what the user called it. method: name of the method. model: what the base model was loaded from.
        created: ISO 8601, UTC.
        subjects: what is to be forgotten. forget, keep, retain: numbers of examples.
    """

    id: str
    title: str
    method: str
    model: str
    created: str
    subjects: tuple[str, ...]
    forget: int
    keep: int
    retain: int


class Run:
    """One run. All that is read comes from the disk as it is now; only the process that made the run writes.

    Args:
        held: the run's lock, in the process that made it. The run counts as going while this is open.
    """

    def __init__(self, folder: Path, info: RunInfo, held: IO[bytes] | None = None) -> None:
        self.folder, self.info, self._held = folder, info, held

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def module_folder(self) -> Path:
        return self.folder / "module"

    # -- read; all raise RunDamaged where a file is missing or cannot be read ------------------------------------------

    @property
    def status(self) -> Status:
        """State and message, read together. A run whose process is gone reads as failed."""
        status = self._written_status()
        if status.state.over or is_locked(self.folder / LOCK):
            return status
        # The process may have ended the run between the two looks: what stands there now is final.
        status = self._written_status()
        return status if status.state.over else Status(RunState.FAILED, STOPPED)

    def _written_status(self) -> Status:
        with reading(self.folder):
            content = read_json(self.folder / STATE)
            return Status(RunState(content["state"]), content["message"])

    @property
    def state(self) -> RunState:
        return self.status.state

    @property
    def message(self) -> str:
        return self.status.message

    def events(self) -> list[Step]:
        """All steps so far. A last line without its end is one that was being written, and left out."""
        with reading(self.folder):
            lines = (self.folder / EVENTS).read_bytes().split(b"\n")[:-1]
            return [_step(from_json(line)) for line in lines]

    def request(self) -> ForgetRequest:
        return read_request(self.folder)

    def config(self) -> dict[str, Any]:
        with reading(self.folder):
            return read_json(self.folder / CONFIG)

    def report(self) -> dict[str, Any]:
        """Measurements of the fit. Raises RunNotReady before the run is done."""
        if not (self.folder / REPORT).exists() and self.state != RunState.DONE:
            raise RunNotReady("This run has no report yet: there is one when it is done.")
        with reading(self.folder):
            return read_json(self.folder / REPORT)

    # -- write; all raise StorageFailed --------------------------------------------------------------------------------

    def append(self, step: Step) -> None:
        append_line(self.folder / EVENTS, to_json(asdict(step), indent=None))

    def set_state(self, state: RunState, message: str = "") -> None:
        """Write where the run stands; a state that is final also gives back the lock."""
        write_file(self.folder / STATE, to_json(asdict(Status(state, message))))
        if state.over:
            self.release()

    def release(self) -> None:
        """Give back the lock. A run that is not over reads as failed from now on."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def save(self, module: Module, report: dict[str, Any]) -> None:
        """Write the result: the whole module and the report, or no module at all."""
        with storing():
            fresh = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.folder))
            try:
                module.save_pretrained(fresh)
                for file in fresh.iterdir():
                    file.chmod(0o600)
                    sync(file)
                os.rename(fresh, self.module_folder)
            except BaseException:
                shutil.rmtree(fresh)
                raise
            write_file(self.folder / REPORT, to_json(report))


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while reading a run's folder into RunNotFound if it is gone, else RunDamaged."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError) as error:
        if not folder.is_dir():
            raise RunNotFound("This run has been deleted. Please look at the list again.") from error
        raise RunDamaged(
            "A file of this run is missing or was changed. Please delete the run and start a new one."
        ) from error


def read_json(path: Path) -> Any:
    """Raises OSError or ValueError."""
    return from_json(path.read_bytes())


def _step(content: dict[str, Any]) -> Step:
    losses = {name: math.nan if value is None else value for name, value in content["losses"].items()}
    return Step(**{**content, "losses": losses})
