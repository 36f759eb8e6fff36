"""Who is at the door, which browser sessions are whose, and which files each may fetch or use."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from unlearn_core.accounts import Role

SESSIONS = 2_000
"""Sessions whose owner is remembered; the one used longest ago is forgotten first."""
LOGINS = 1_000
LASTING = 12 * 3600.0
"""Seconds after which somebody must log in again."""
MOST_BYTES = 2 * 2**30
"""Bytes of files that one visitor may have brought at the same time."""


@dataclass(frozen=True)
class Visitor:
    """Who sends a request.

    Args:
        key: of the browser, or of the login: what is whose hangs on it. Secret, since a cookie holds it.
        name: None where nobody needs to log in.
    """

    key: str
    role: Role
    name: str | None = None


@dataclass
class Holdings:
    """What a visitor has: sessions, and files with their sizes in bytes."""

    sessions: set[str] = field(default_factory=set)
    files: dict[Path, int] = field(default_factory=dict)


class Visits:
    """A session belongs to the visitor who used it first, until it ends; files go with the visitor's last session."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._holdings: dict[str, Holdings] = {}
        self._lock = Lock()

    def claim(self, session: str, visitor: Visitor) -> bool:
        """Whether the session is the visitor's: taken now, or before."""
        with self._lock:
            owner = self._owners.setdefault(session, visitor.key)
            self._owners.move_to_end(session)
            if owner == visitor.key:
                self._of(visitor.key).sessions.add(session)
            gone = self._end(next(iter(self._owners))) if len(self._owners) > SESSIONS else []
        _delete(gone)
        return owner == visitor.key

    def leave(self, session: str) -> None:
        """The session is over. Files that only its visitor had are deleted with the visitor's last one."""
        with self._lock:
            gone = self._end(session)
        _delete(gone)

    def give(self, visitor: Visitor, paths: Iterable[str]) -> None:
        """These files were brought by the visitor, or made for them."""
        with self._lock:
            files = self._of(visitor.key).files
            for path in map(Path, paths):
                files[path] = path.stat().st_size if path.is_file() else 0

    def has(self, visitor: Visitor, path: str) -> bool:
        """Whether the visitor may fetch or use the file."""
        with self._lock:
            return visitor.key in self._holdings and Path(path) in self._holdings[visitor.key].files

    def room(self, visitor: Visitor) -> int:
        """Bytes that the visitor may still bring."""
        with self._lock:
            held = self._holdings.get(visitor.key, Holdings()).files
            return MOST_BYTES - sum(size for path, size in held.items() if path.exists())

    def _of(self, key: str) -> Holdings:
        return self._holdings.setdefault(key, Holdings())

    def _end(self, session: str) -> list[Path]:
        """Files that nobody has any more."""
        key = self._owners.pop(session, None)
        if key is None or key not in self._holdings:
            return []
        own = self._holdings[key]
        own.sessions.discard(session)
        if own.sessions:
            return []
        del self._holdings[key]
        return [path for path in own.files if not any(path in h.files for h in self._holdings.values())]


def _delete(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


class Logins:
    """Who is logged in. Nothing of it outlives the program.

    Args:
        clock: seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tickets: OrderedDict[str, tuple[Visitor, float]] = OrderedDict()
        self._lock = Lock()

    def begin(self, name: str, role: Role) -> Visitor:
        visitor = Visitor(secrets.token_urlsafe(32), role, name)
        with self._lock:
            self._tickets[visitor.key] = (visitor, self._clock() + LASTING)
            while len(self._tickets) > LOGINS:
                self._tickets.popitem(last=False)
        return visitor

    def find(self, key: str) -> Visitor | None:
        with self._lock:
            visitor, until = self._tickets.get(key, (None, 0.0))
            if visitor is not None and self._clock() >= until:
                del self._tickets[key]
                return None
            return visitor

    def end(self, key: str) -> None:
        with self._lock:
            self._tickets.pop(key, None)


class Attempts:
    """Wrong passwords of late, counted by whatever they are held against.

    Args:
        most: after so many within `window` seconds the next one must wait.
        clock: seconds that never run backwards.
    """

    KEPT = 10_000

    def __init__(self, most: int, window: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._window, self._clock = most, window, clock
        self._times: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = Lock()

    def wait(self, key: str) -> float:
        """Seconds until the next attempt is allowed; 0 if it is now."""
        with self._lock:
            times = self._recent(key)
            return 0.0 if len(times) < self._most else times[-self._most] + self._window - self._clock()

    def note(self, key: str) -> None:
        """One more attempt."""
        with self._lock:
            self._times[key] = [*self._recent(key), self._clock()]
            self._times.move_to_end(key)
            while len(self._times) > self.KEPT:
                self._times.popitem(last=False)

    def forgive(self, key: str) -> None:
        with self._lock:
            self._times.pop(key, None)

    def _recent(self, key: str) -> list[float]:
        since = self._clock() - self._window
        return [t for t in self._times.get(key, []) if t > since]
