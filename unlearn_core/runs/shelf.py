"""Saved forget requests: a folder of zips, each as `export_request` writes it, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import ForgetRequest
from unlearn_core.runs.files import storing
from unlearn_core.runs.requests import export_request, load_request, request_name
from unlearn_core.runs.store import DISCARDED, ID, KEPT
from unlearn_core.vlm.errors import BadRequest

GONE = "This request is no longer here. Please choose another one."


@dataclass(frozen=True)
class Saved:
    """A request that can be taken up again."""

    id: str
    name: str


class Shelf:
    """Args: root: made when the first request is saved."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, request: ForgetRequest) -> Saved:
        """Raises StorageFailed."""
        with storing():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        saved = Saved(f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}", request.name)
        export_request(request, self._root / f"{saved.id}.zip")
        return saved

    def saved(self) -> list[Saved]:
        """Newest first; what cannot be read is left out."""
        found = []
        for path in sorted(self._root.glob("*.zip"), reverse=True):
            if ID.fullmatch(path.stem):
                try:
                    found.append(Saved(path.stem, request_name(path)))
                except BadFile:
                    continue
        return found

    def load(self, request_id: str) -> ForgetRequest:
        """Raises BadRequest for one that is gone, BadFile for one that cannot be read."""
        return load_request(self.path(request_id))

    def path(self, request_id: str) -> Path:
        """The zip itself, to be passed on. Raises BadRequest."""
        path = self._root / f"{request_id}.zip"
        if not ID.fullmatch(request_id) or not path.is_file():
            raise BadRequest(GONE)
        return path

    def discard(self, request_id: str) -> None:
        """Take a request out of sight. For `KEPT` seconds it can be brought back; then, or with a purge, it is removed for good.

        Raises:
            BadRequest, StorageFailed: as for `delete`.
        """
        path = self.path(request_id)
        with storing():
            os.utime(path)  # the time begins now
            path.rename(self._discarded(request_id))

    def in_bin(self, request_id: str) -> bool:
        """Whether a request was discarded and can still be brought back."""
        return ID.fullmatch(request_id) is not None and self._discarded(request_id).is_file()

    def restore(self, request_id: str) -> None:
        """Bring a discarded request back. Raises BadRequest if it is gone for good, StorageFailed."""
        if not self.in_bin(request_id):
            raise BadRequest("This request can no longer be brought back: it was removed for good.")
        with storing():
            self._discarded(request_id).rename(self._root / f"{request_id}.zip")

    def empty_bin(self, older: float = KEPT) -> None:
        """Remove discarded requests for good, those of at least `older` seconds. Raises StorageFailed.

        A time in the future, from a clock that was set back since, is old as well.
        """
        for path in self._root.glob(f"{DISCARDED}*"):
            with storing(), suppress(FileNotFoundError):  # another program was faster
                if not 0 <= time.time() - path.stat().st_mtime < older:
                    path.unlink()

    def _discarded(self, request_id: str) -> Path:
        return self._root / f"{DISCARDED}{request_id}.zip"

    def delete(self, request_id: str) -> None:
        """Raises BadRequest, StorageFailed."""
        path = self.path(request_id)
        with storing():
            path.unlink()
