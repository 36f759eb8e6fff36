"""What browser sessions hold on the server: pictures, answers, comparisons. Pages keep no heavy object of their own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from threading import Event, Lock
from typing import Any, TypeVar

from unlearn_core.vlm.errors import StudioError

T = TypeVar("T")

SESSIONS = 24
BYTES = 2 * 2**30
"""What all sessions together may hold, as far as things tell their size."""


class Gone(StudioError):
    """What the page refers to is no longer held."""


class Desk:
    """One drawer per browser session, one thing per name in it. The drawer used longest ago is emptied first.

    Args:
        sessions: how many browser sessions may hold something at the same time.
        limit: how many bytes the things that have `nbytes()` may take in all; one session alone may take more.
    """

    def __init__(self, sessions: int = SESSIONS, limit: int = BYTES) -> None:
        self._sessions, self._bytes = sessions, limit
        self._drawers: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = Lock()

    def put(self, session: str | None, name: str, thing: Any) -> None:
        """Keep `thing` under `name`; what was there before is let go."""
        with self._lock:
            self._drawers.setdefault(str(session), {})[name] = thing
            self._drawers.move_to_end(str(session))
            while len(self._drawers) > 1 and (len(self._drawers) > self._sessions or self._nbytes() > self._bytes):
                self._drawers.popitem(last=False)

    def get(self, session: str | None, name: str, kind: type[T]) -> T:
        """Raises Gone if there is no such thing, or no longer."""
        with self._lock:
            thing = self._drawers.get(str(session), {}).get(name)
            if not isinstance(thing, kind):
                raise Gone(
                    "There is nothing here yet, or no longer. Please choose a picture again, or press Compare again."
                )
            self._drawers.move_to_end(str(session))
            return thing

    def find(self, session: str | None, name: str, kind: type[T]) -> T | None:
        """As `get`, None if there is no such thing."""
        try:
            return self.get(session, name, kind)
        except Gone:
            return None

    def stoppable(self, session: str | None, name: str) -> Event:
        """What tells the work that begins now under this name to end."""
        stop = Event()
        self.put(session, name, stop)
        return stop

    def stop(self, session: str | None, name: str) -> None:
        """Tell the work that goes on under this name, if any does, to end at its next step."""
        stop = self.find(session, name, Event)
        if stop is not None:
            stop.set()

    def copy(self, session: str, other: str, names: Collection[str]) -> bool:
        """Give another session what a session holds under these names, too; whether there was anything."""
        with self._lock:
            found = {name: thing for name, thing in self._drawers.get(session, {}).items() if name in names}
            if found:
                self._drawers.setdefault(other, {}).update(found)
                self._drawers.move_to_end(other)
        return bool(found)

    def clear(self, session: str | None) -> None:
        """Forget everything that a session holds."""
        with self._lock:
            self._drawers.pop(str(session), None)

    def nbytes(self) -> int:
        """Bytes of all that tells its size."""
        with self._lock:
            return self._nbytes()

    def _nbytes(self) -> int:
        things = (thing for drawer in self._drawers.values() for thing in drawer.values())
        return sum(thing.nbytes() for thing in things if hasattr(thing, "nbytes"))

    def __len__(self) -> int:
        return len(self._drawers)
