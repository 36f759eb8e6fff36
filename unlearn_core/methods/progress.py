"""Count units of work and estimate the time left."""

from __future__ import annotations

import time

from unlearn_core.methods.base import Step


class Clock:
    """Makes `Step`s. `plan` gives the relative cost of one unit of each phase, so that the estimate is fair across phases."""

    def __init__(self, plan: dict[str, tuple[int, float]]) -> None:
        self.plan = plan
        self.total = sum(n for n, _ in plan.values())
        self.work = sum(n * cost for n, cost in plan.values())
        self.began = time.monotonic()
        self.index, self.done = 0, 0.0

    @property
    def seconds(self) -> float:
        """Since the fit began, without the time in which it stood still."""
        return time.monotonic() - self.began

    def skip(self, phase: str, count: int, seconds: float, index: int) -> None:
        """Count units of a phase that were done before, when the fit had taken `seconds` and come to `index`.

        What comes before the phase may be in more units now or in fewer, if there are fewer processes or more.
        """
        self.total += index - self.index - count
        self.index = index
        self.done += count * self.plan[phase][1]
        self.began -= seconds

    def step(
        self,
        phase: str,
        losses: dict[str, float] | None = None,
        forget: float | None = None,
        retain: float | None = None,
    ) -> Step:
        self.index += 1
        self.done += self.plan[phase][1]
        seconds = self.seconds
        left = seconds / self.done * max(0.0, self.work - self.done)
        return Step(phase, self.index, self.total, losses or {}, forget, retain, seconds, left)
