"""A workspace: a folder of runs, shared by all processes that look at it.

A run folder appears whole and goes whole: it is made, and removed, under another name.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from unlearn_core.data.example import ForgetRequest
from unlearn_core.data.strict_json import to_json
from unlearn_core.runs.errors import RunDamaged, RunNotReady
from unlearn_core.runs.files import NEW, clear, lock_alone, lock_shared, storing, sync, write_file
from unlearn_core.runs.requests import write_request
from unlearn_core.runs.run import (
    CONFIG,
    EVENTS,
    INFO,
    LOCK,
    STATE,
    UNFINISHED,
    Run,
    RunInfo,
    RunState,
    Status,
    read_json,
    reading,
)
from unlearn_core.vlm.errors import RunNotFound

ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")

PATIENCE = 0.5
"""Seconds; to look whether a run is going takes microseconds."""
DISCARDED = ".discarded-"
KEPT = 120.0
"""Seconds for which a discarded run can be brought back."""

logger = logging.getLogger(__name__)


class Workspace:
    """A folder of runs. Looking at it changes nothing on the disk.

    Args:
        root: made when the first run is.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def create(self, method: str, title: str, request: ForgetRequest, config: Any, model: str) -> Run:
        """Write a new run, queued. It is this process's as long as the returned object lives and the run is not over.

        Args:
            config: a dataclass.

        Raises:
            StorageFailed: the disk is full, or the folder must not be written to.
        """
        now = datetime.now(UTC)
        info = RunInfo(
            id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
            title=title,
            method=method,
            model=model,
            created=now.isoformat(timespec="microseconds"),
            subjects=request.subjects,
            forget=len(request.forget),
            keep=len(request.keep),
            retain=len(request.retain),
        )
        with storing(), self._changing():
            fresh = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.root))
            try:
                held = lock_alone(fresh / LOCK)
                write_request(fresh, request)
                write_file(fresh / INFO, to_json(asdict(info)))
                write_file(fresh / CONFIG, to_json(asdict(config)))
                write_file(fresh / STATE, to_json(asdict(Status(RunState.QUEUED))))
                write_file(fresh / EVENTS, b"")
                os.rename(fresh, self.root / info.id)
            except BaseException:
                shutil.rmtree(fresh)
                raise
            sync(self.root)
        return Run(self.root / info.id, info, held)

    def runs(self) -> list[Run]:
        """All runs, newest first, whoever made them. One that cannot be read is noted in the log and left out."""
        found = []
        for run_id in self.ids():
            try:
                found.append(self.run(run_id))
            except RunNotFound:  # deleted a moment ago
                continue
            except RunDamaged:
                logger.warning("Run %s cannot be read and is left out.", run_id)
        return sorted(found, key=lambda run: (run.info.created, run.id), reverse=True)

    def ids(self) -> list[str]:
        """Of all runs, in no order and without reading them."""
        return [name for name in os.listdir(self.root) if ID.fullmatch(name)] if self.root.is_dir() else []

    def info_path(self, run_id: str) -> Path:
        """The file that changes when a run is called otherwise."""
        return self._folder(run_id) / INFO

    def run(self, run_id: str) -> Run:
        """Look up one run, whoever made it.

        Raises:
            RunNotFound: no run by that id.
            RunDamaged: it is there but cannot be read.
        """
        folder = self._folder(run_id)
        with reading(folder):
            content = read_json(folder / INFO)
            return Run(folder, RunInfo(**{**content, "subjects": tuple(content["subjects"])}))

    def take(self, run_id: str) -> Run:
        """Make a run that was paused or failed this process's own, queued again.

        Raises:
            RunNotFound: no run by that id.
            RunNotReady: it is going, is done or was cancelled.
            StorageFailed: the folder must not be written to.
        """
        run = self.run(run_id)
        held = self._alone(run.folder)
        if held is None:
            raise RunNotReady("Another program is working on this run. Please pause it first.")
        state = run.written_status().state
        if state.over and not state.resumable:
            held.close()
            raise RunNotReady(f"This run cannot go on: it is {state}. Please start a new one like it.")
        taken = Run(run.folder, run.info, held)
        taken.drop_wish()
        taken.set_state(RunState.QUEUED)
        return taken

    def delete(self, run_id: str) -> None:
        """Remove a run with all its pictures.

        Raises:
            RunNotFound: no run by that id.
            RunNotReady: it is still going.
            StorageFailed: it must not be removed.
        """
        folder = self._folder(run_id)
        with self._at_rest(folder), storing(), self._changing():
            self._remove(folder)

    def discard(self, run_id: str) -> None:
        """Take a run out of sight. For `KEPT` seconds it can be brought back; then, or with a purge, it is removed for good.

        Raises:
            RunNotFound, RunNotReady, StorageFailed: as for `delete`.
        """
        folder = self._folder(run_id)
        with self._at_rest(folder), storing(), self._changing():
            os.utime(folder)  # the time begins now
            os.rename(folder, self.root / f"{DISCARDED}{run_id}")

    def in_bin(self, run_id: str) -> bool:
        """Whether a run was discarded and can still be brought back."""
        return ID.fullmatch(run_id) is not None and (self.root / f"{DISCARDED}{run_id}").is_dir()

    def restore(self, run_id: str) -> None:
        """Bring a discarded run back. Raises RunNotFound if it is gone for good, StorageFailed."""
        with storing(), self._changing():
            if not self.in_bin(run_id):
                raise RunNotFound("This run can no longer be brought back: it was removed for good.")
            os.rename(self.root / f"{DISCARDED}{run_id}", self.root / run_id)

    def empty_bin(self, older: float = KEPT) -> None:
        """Remove discarded runs for good, those of at least `older` seconds. Raises StorageFailed."""
        if any(self.root.glob(f"{DISCARDED}*")):
            with storing(), self._changing():
                self._empty(older)

    def _empty(self, older: float) -> None:
        """A time in the future, from a clock that was set back since, is old as well."""
        for folder in self.root.glob(f"{DISCARDED}*"):
            with suppress(FileNotFoundError):  # another program was faster
                if not 0 <= time.time() - folder.stat().st_mtime < older:
                    self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Renamed first, so that nobody meets half a run; what a crash leaves is removed with the next change."""
        gone = self.root / f"{UNFINISHED}{secrets.token_hex(4)}"
        os.rename(folder, gone)
        shutil.rmtree(gone)

    def _at_rest(self, folder: Path) -> IO[bytes]:
        """The run's lock. Raises RunNotReady if somebody works on it, RunNotFound."""
        held = self._alone(folder)
        if held is None:
            raise RunNotReady("This run is still going. Please cancel it before you delete it.")
        return held

    def sweep(self) -> None:
        """Remove what killed processes left half made, wherever in the workspace; what living ones write stays.

        Raises:
            StorageFailed: it must not be removed.
        """
        if self.root.is_dir():
            with storing(), self._changing():
                clear(self.root.rglob(f"{NEW}*"))

    @staticmethod
    def _alone(folder: Path) -> IO[bytes] | None:
        """The run's lock, if nobody works on it. Raises RunNotFound for one that was removed meanwhile."""
        with reading(folder):
            held = lock_alone(folder / LOCK, PATIENCE)
            if held is not None and os.fstat(held.fileno()).st_ino != (folder / LOCK).stat().st_ino:
                held.close()
                raise LookupError("another run's lock")
        return held

    def _folder(self, run_id: str) -> Path:
        folder = self.root / run_id if ID.fullmatch(run_id) else None
        if folder is None or folder.is_symlink() or not folder.is_dir():
            raise RunNotFound("There is no such run here. It may have been deleted; please look at the list again.")
        return folder

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """While runs are made or removed. Whoever is alone here first removes what a killed process left half done."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.root / ".lock"
        alone = lock_alone(path)
        if alone is not None:
            with alone:
                for folder in self.root.glob(f"{UNFINISHED}*"):
                    shutil.rmtree(folder)
        with lock_shared(path):
            self._empty(KEPT)
            yield
