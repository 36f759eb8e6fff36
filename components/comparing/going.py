"""Comparisons that are being made, whoever asked for them: how far each is, and a way to stop it."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

from unlearn_core.evaluation.progress import Job, Progress, retold
from unlearn_core.vlm.errors import StudioError

T = TypeVar("T")


class Stopped(StudioError):
    """Somebody who may has stopped a comparison."""


@dataclass(eq=False)
class Going:
    """Args: title: what is compared. progress: how far it is; none before the first answer."""

    title: str
    progress: Progress | None = None
    stop: Event = field(default_factory=Event)

    def tell(self, progress: Progress) -> Progress:
        """Raises Stopped."""
        if self.stop.is_set():
            raise Stopped("An operator stopped this comparison. What was answered is kept; press Compare to go on.")
        self.progress = progress
        return progress


class Comparisons:
    """All that are going now."""

    def __init__(self) -> None:
        self._all: list[Going] = []

    def follow(self, title: str, job: Job[T]) -> Job[T]:
        """The same job, known here from its first step to its end. Raises Stopped at the step after somebody stopped it."""
        going = Going(title)
        self._all.append(going)
        try:
            return (yield from retold(job, going.tell))
        finally:
            self._all.remove(going)

    def all(self) -> tuple[Going, ...]:
        return tuple(self._all)
