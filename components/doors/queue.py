"""Who is next: sessions take turns, so that one that asks much delays itself and nobody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import gradio as gr
from gradio.queueing import Event, Queue

WAITING = 8
"""Requests of one session that may wait at the same time."""
FULL = f"{WAITING} of your requests are waiting already. Please wait until one is done, then try again."

T = TypeVar("T")


class FairQueue(Queue):
    """Gradio's queue with a limit for each session, and turns. Positions that are told to browsers are those in turns."""

    def __init__(self, blocks: gr.Blocks, default_concurrency_limit: int, max_size: int) -> None:
        super().__init__(
            live_updates=True,
            concurrency_count=blocks.max_threads,
            update_intervals=1,
            max_size=max_size,
            blocks=blocks,
            default_concurrency_limit=default_concurrency_limit,
        )

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        waiting = [e for q in self.event_queue_per_concurrency_id.values() for e in q.queue]
        if body.session_hash is not None and sum(e.session_hash == body.session_hash for e in waiting) >= WAITING:
            return False, FULL, "error"
        pushed = await super().push(body, request, username)
        event = self.event_ids_to_events.get(str(pushed[1])) if pushed[0] else None
        if event is not None:
            queue = self.event_queue_per_concurrency_id[event.concurrency_id].queue
            queue[:] = in_turns(queue, [_session(e) for e in queue])
            self.broadcast_estimations(event.concurrency_id, 0)
        return pushed


def in_turns(items: Sequence[T], owners: Sequence[str]) -> list[T]:
    """The first of everybody, then the second of everybody, and so on; otherwise first come, first served."""
    turn: Counter[str] = Counter()
    ranked = []
    for item, owner in zip(items, owners, strict=True):
        ranked.append((turn[owner], item))
        turn[owner] += 1
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]


def _session(event: Event) -> str:
    return event.session_hash
