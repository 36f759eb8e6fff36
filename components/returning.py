"""A window that is reloaded finds what it held: the answer on Inspect, the draft of a request, a comparison.

The browser keeps a random word for each of its windows, and nothing of what they show.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Timer

from components.doors.visits import Visitor
from components.session import Desk
from unlearn_core.vlm.loading import Choice

GRACE = 60.0
"""Seconds for which a window may be gone and still find what it held. Then it is held no longer."""
WINDOWS = 1_000
"""Windows that are known; the one opened longest ago is forgotten first."""
LONGEST = 64
"""Characters of a window's word that are looked at."""
KEPT = ("looked", "boxed", "draft", "known", "bank", "comparison")
"""Names of what comes back."""


@dataclass(frozen=True)
class Seen:
    """The session that a window had last, and the model it worked with."""

    session: str
    choice: Choice


class Returning:
    """Which session a window had before it was reloaded, as long as the desk still has what is that session's.

    Args:
        clock: seconds that never run backwards.
        wait: begins to wait some seconds, then calls.
    """

    def __init__(
        self,
        desk: Desk,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float, Callable[[], None]], None] | None = None,
    ) -> None:
        self._desk, self._clock, self._wait = desk, clock, wait or _in_background
        self._windows: OrderedDict[tuple[str, str], Seen] = OrderedDict()
        self._gone: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def came(self, visitor: Visitor, word: str, session: str, choice: Choice) -> bool:
        """A window is opened. Whether it was there before, with this model, and now has again what it held."""
        if not word:
            return False
        window, now = (visitor.key, word[:LONGEST]), Seen(session, choice)
        with self._lock:
            before = self._windows.pop(window, None)
            self._windows[window] = now
            while len(self._windows) > WINDOWS:
                self._windows.popitem(last=False)
        return before is not None and before.choice == choice and self._desk.copy(before.session, session, KEPT)

    def turned(self, session: str) -> None:
        """A session works with another model than the one it was opened with: after a reload nothing of it comes back."""
        with self._lock:
            for window in [w for w, seen in self._windows.items() if seen.session == session]:
                del self._windows[window]

    def left(self, session: str) -> None:
        """A session is over. What a window held is let go after a while, all else at once."""
        with self._lock:
            window = any(seen.session == session for seen in self._windows.values())
            first = window and not self._gone
            if window:
                self._gone[session] = self._clock() + GRACE
        if not window:
            self._desk.clear(session)
        if first:
            self._wait(GRACE, self._expire)

    def _expire(self) -> None:
        """The first one is always the oldest."""
        with self._lock:
            while self._gone and next(iter(self._gone.values())) <= self._clock():
                session, _ = self._gone.popitem(last=False)
                self._desk.clear(session)
            rest = next(iter(self._gone.values())) - self._clock() if self._gone else None
        if rest is not None:
            self._wait(max(rest, 1.0), self._expire)


def _in_background(seconds: float, call: Callable[[], None]) -> None:
    timer = Timer(seconds, call)
    timer.daemon = True
    timer.start()
