"""One run on disk: a folder that can be read without the app.

    <run id>/  info.json  request.json  metadata.jsonl  pictures/  config.json  state.json  events.jsonl  lock
               checkpoint.safetensors (while it is not done)  module/  report.json (when it is)

The process that works on a run holds its lock: the system gives it back when the process dies, however it does, so
everybody else can tell. What others want of the run (`Wish`) they leave in its folder.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from unlearn_core.data.example import ForgetRequest
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.methods.base import Module, Step
from unlearn_core.methods.checkpoint import Checkpoint
from unlearn_core.runs.checkpoints import FRESH, read_checkpoint, write_checkpoint
from unlearn_core.runs.errors import RunDamaged, RunNotReady
from unlearn_core.runs.files import NEW, append_line, clear, is_locked, storing, sync, write_file
from unlearn_core.runs.requests import read_request
from unlearn_core.vlm.errors import BadOption, RunNotFound

INFO, CONFIG, STATE, EVENTS, REPORT = "info.json", "config.json", "state.json", "events.jsonl", "report.json"
CHECKPOINT = "checkpoint.safetensors"
LOCK, WISH = "lock", "wish"
UNFINISHED = ".unfinished-"
STOPPED = "The program stopped while this run was going. It can go on where it was."
MAX_TITLE, MAX_NOTE = 200, 4000
"""Characters."""
TAIL = 2**16
"""Bytes at the end of the events in which the latest numbers are looked for; they hold some hundred steps."""


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Nobody works on it and nobody will, unless it is resumed."""
        return self not in (RunState.QUEUED, RunState.RUNNING)

    @property
    def resumable(self) -> bool:
        return self in (RunState.PAUSED, RunState.FAILED)


class Wish(StrEnum):
    """What somebody wants of a run that waits or is going."""

    PAUSE = "pause"
    CANCEL = "cancel"

    @property
    def end(self) -> RunState:
        """What the run becomes."""
        return RunState.PAUSED if self is Wish.PAUSE else RunState.CANCELLED


@dataclass(frozen=True)
class Status:
    """Where a run stands, and a sentence about it where there is something to say."""

    state: RunState
    message: str = ""


@dataclass(frozen=True)
class RunInfo:
    """What a run is. Only title and note ever change.

    Args:
        title, note: what the user called it, and wrote about it. method: name of the method. model: what the base model was loaded from.
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
    note: str = ""


@dataclass(frozen=True)
class Latest:
    """The last step of a run, and the last shares that were probed."""

    step: Step
    forget: float | None
    retain: float | None


class Run:
    """One run. All that is read comes from the disk as it is now; only the process that works on the run writes.

    Args:
        held: the run's lock, in the process that works on it. The run counts as going while this is open.
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
        status = self.written_status()
        if status.state.over or is_locked(self.folder / LOCK):
            return status
        # The process may have ended the run between the two looks: what stands there now is final.
        status = self.written_status()
        return status if status.state.over else Status(RunState.FAILED, STOPPED)

    def written_status(self) -> Status:
        """What the folder says, whether or not there still is a process behind it."""
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

    def latest(self) -> Latest | None:
        """From the end of the events alone, however many there are; None before the first."""
        with reading(self.folder), (self.folder / EVENTS).open("rb") as file:
            begin = max(0, os.fstat(file.fileno()).st_size - TAIL)
            file.seek(begin)
            lines = file.read().split(b"\n")[1 if begin else 0 : -1]
            steps = [_step(from_json(line)) for line in lines]
        if not steps:
            return None
        forget, retain = (
            next((share for step in reversed(steps) if (share := getattr(step, side)) is not None), None)
            for side in ("forget", "retain")
        )
        return Latest(steps[-1], forget, retain)

    def nbytes(self) -> int:
        """What the folder takes on the disk, as far as its files tell."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.exists())

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

    def checkpoint(self) -> Checkpoint | None:
        """Where training stood when that was last written."""
        return read_checkpoint(self.folder / CHECKPOINT)

    def wish(self) -> Wish | None:
        """What somebody wants, if the run is still going."""
        try:
            return Wish((self.folder / WISH).read_text())
        except (OSError, ValueError):  # none, or one whose writing was cut off
            return None

    # -- write; all raise StorageFailed --------------------------------------------------------------------------------

    def ask_for(self, wish: Wish) -> None:
        """Tell the process that works on the run, whichever it is; it looks after each step."""
        write_file(self.folder / WISH, wish.encode())

    def drop_wish(self) -> None:
        with storing():
            (self.folder / WISH).unlink(missing_ok=True)

    def describe(self, title: str, note: str) -> None:
        """Call it otherwise. Raises BadOption for an empty title or a text that is too long."""
        title, note = title.strip(), note.strip()
        if not title or len(title) > MAX_TITLE or len(note) > MAX_NOTE:
            raise BadOption(
                f"A run needs a name of at most {MAX_TITLE} characters; a note may have {MAX_NOTE}. Please change them."
            )
        info = replace(self.info, title=title, note=note)
        write_file(self.folder / INFO, to_json(asdict(info)))
        self.info = info

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write where training stands; the steps up to there are forced to the disk first."""
        with storing():
            sync(self.folder / EVENTS)
        write_checkpoint(self.folder / CHECKPOINT, checkpoint)

    def take_up(self, step: int) -> None:
        """Before it goes on after `step` (0: from the beginning): later steps and what was left half done are removed."""
        with storing(), reading(self.folder):
            lines = (self.folder / EVENTS).read_bytes().split(b"\n")[:-1]
            write_file(self.folder / EVENTS, b"".join(line + b"\n" for line in lines[:step]))
            for left in (*self.folder.glob(f"{UNFINISHED}*"), self.module_folder):
                shutil.rmtree(left, ignore_errors=True)
            clear(self.folder.glob(f"{NEW}*"))
            for left in (self.folder / FRESH, self.folder / REPORT):
                left.unlink(missing_ok=True)

    def append(self, step: Step) -> None:
        append_line(self.folder / EVENTS, to_json(asdict(step), indent=None))

    def set_state(self, state: RunState, message: str = "") -> None:
        """Write where the run stands; a state that is final also gives back the lock."""
        write_file(self.folder / STATE, to_json(asdict(Status(state, message))))
        if state.over:
            self.drop_wish()
            if not state.resumable:
                with storing():
                    (self.folder / CHECKPOINT).unlink(missing_ok=True)
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
