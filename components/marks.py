"""Whom visitors have marked, so that a reload of the page does not lose it: in memory, by their cookie, for an hour.

The browser keeps nothing of it, and neither does the disk.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from components.doors.visits import Visitor
from unlearn_core.vlm.loading import Choice

LASTING = 3600.0
"""Seconds after the last change for which marks are kept."""
VISITORS = 1_000
"""Visitors whose marks are kept; of whoever changed them longest ago they are let go first."""


@dataclass(frozen=True)
class Marked:
    """Marks on the model of a choice, and when they were made, in seconds of the clock."""

    choice: Choice
    refs: tuple[str, ...]
    when: float


class Marks:
    """What was marked last in each browser, whatever window it was in.

    Args:
        clock: seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, Marked] = OrderedDict()
        self._lock = Lock()

    def put(self, visitor: Visitor, choice: Choice, refs: Sequence[str]) -> None:
        """In the place of what the visitor marked before."""
        with self._lock:
            self._expire()
            self._kept.pop(visitor.key, None)
            if refs:
                self._kept[visitor.key] = Marked(choice, tuple(dict.fromkeys(refs)), self._clock())
            while len(self._kept) > VISITORS:
                self._kept.popitem(last=False)

    def of(self, visitor: Visitor, choice: Choice) -> list[str]:
        """What the visitor has marked on this model."""
        with self._lock:
            self._expire()
            kept = self._kept.get(visitor.key)
        return list(kept.refs) if kept is not None and kept.choice == choice else []

    def __len__(self) -> int:
        return len(self._kept)

    def _expire(self) -> None:
        """The first one is always the oldest."""
        since = self._clock() - LASTING
        while self._kept and next(iter(self._kept.values())).when <= since:
            self._kept.popitem(last=False)
