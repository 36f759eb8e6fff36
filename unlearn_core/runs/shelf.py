"""Saved forget requests: a folder of zips, each as `export_request` writes it, readable by its owner alone."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import ForgetRequest
from unlearn_core.runs.files import storing
from unlearn_core.runs.requests import export_request, load_request, request_name
from unlearn_core.runs.store import ID
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

    def delete(self, request_id: str) -> None:
        """Raises BadRequest, StorageFailed."""
        path = self.path(request_id)
        with storing():
            path.unlink()
