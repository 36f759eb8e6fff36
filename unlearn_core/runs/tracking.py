"""Numbers of a run to an experiment tracker, when somebody asks for one. Names, answers and pictures are never among them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

import torch
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers

from unlearn_core.methods.base import Step
from unlearn_core.runs.run import Run
from unlearn_core.vlm.errors import BadOption

TRACKERS = ("tensorboard", "trackio", "wandb")
PROJECT = "vlm-unlearning-studio"

Tracker = str | GeneralTracker
"""A name of `TRACKERS`, or a tracker of accelerate's kind that is started already."""

logger = logging.getLogger(__name__)


def check_trackers(names: Sequence[str]) -> tuple[str, ...]:
    """The names themselves. Raises BadOption for one that is not known, or whose package is not installed."""
    able = {str(tracker) for tracker in get_available_trackers()}
    for name in names:
        if name not in TRACKERS:
            raise BadOption(f"There is no tracker '{name}'. Please choose one of {', '.join(TRACKERS)}.")
        if name not in able:
            raise BadOption(
                f"The tracker {name} is not installed. Please run: pip install 'vlm-unlearning-studio[{name}]'"
            )
    return tuple(names)


@contextmanager
def tracked(trackers: Sequence[Tracker], run: Run, config: Any) -> Iterator[Callable[[Step], None]]:
    """Inside, what is called with a step tells it to all trackers. A tracker that fails is given up, and the run goes on.

    TensorBoard's files lie in the run's folder and go with it. wandb sends to its server, trackio does if it is told to.
    The run is called by its id: its title may be somebody's name.
    """
    going = [_started(tracker, run) if isinstance(tracker, str) else tracker for tracker in trackers]

    def each(tell: Callable[[GeneralTracker], Any]) -> None:
        for tracker in list(going):
            try:
                tell(tracker)
            except Exception as error:
                logger.warning(
                    "A tracker (%s) failed (%s) and is given up.", type(tracker).__name__, type(error).__qualname__
                )
                going.remove(tracker)

    each(lambda tracker: tracker.store_init_configuration({"method": run.info.method, **asdict(config)}))
    try:
        yield lambda step: each(lambda tracker: tracker.log(_numbers(step), step=step.index))
    finally:
        each(lambda tracker: tracker.finish())


def _started(name: str, run: Run) -> GeneralTracker:
    check_trackers([name])
    PartialState(cpu=not torch.cuda.is_available())  # accelerate's trackers log through it
    kind = cast(Any, LOGGER_TYPE_TO_CLASS[name])
    tracker = kind(name, run.folder) if kind.requires_logging_directory else kind(PROJECT, name=run.id)
    tracker.start()
    return tracker


def _numbers(step: Step) -> dict[str, float]:
    shares = {"forget": step.forget, "retain": step.retain}
    losses = {f"loss/{name}": value for name, value in step.losses.items()}
    return {**losses, **{name: share for name, share in shares.items() if share is not None}}
