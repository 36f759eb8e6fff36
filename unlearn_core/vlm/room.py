"""Go on with less at once where memory does not suffice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from unlearn_core.vlm.errors import OutOfMemory

T = TypeVar("T")
R = TypeVar("R")

ADVICE = "Please close what else uses it, load the model in bfloat16 or quantised, or take a smaller model."
NOT_ONE = f"There is not enough memory for even one question or picture at a time. {ADVICE}"
NO_STEP = (
    "A training step does not fit into memory. Please choose smaller batches in the method's options. "
    f"If that does not help: {ADVICE[0].lower()}{ADVICE[1:]}"
)

NOT_ALONE = (
    "There is not enough memory for what one process has to do, and since all share the weights, none can go on with less "
    "by itself. Please choose smaller batches in the method's options, or start more processes."
)

logger = logging.getLogger(__name__)


def short_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # CPUs and other devices report it as a plain RuntimeError; so do CUDA's libraries that find no room, and new threads.
    said = str(error)
    return isinstance(error, RuntimeError) and (
        should_reduce_batch_size(error) or "_ALLOC_FAILED" in said or "can't start new thread" in said
    )


@dataclass
class Room:
    """What is known about the memory for one kind of work.

    Args:
        most: how many items at a time have turned out to fit; None as long as memory sufficed for all that was asked.
        firm: it must not be done in smaller parts, as other processes count on as many passes of the model.
    """

    most: int | None = None
    firm: bool = False


def in_batches(
    items: Sequence[T], size: int, work: Callable[[Sequence[T]], R], room: Room | None = None
) -> Iterator[R]:
    """What `work` makes of the items, at most `size` at a time and in order.

    Where memory does not suffice, the same items are tried again with half as many at a time, and so are those after
    them. So `work` must leave nothing behind when it fails.

    Args:
        room: remembers from one call to the next how many fit, for work that is done over and over.

    Raises:
        OutOfMemory: not even one item at a time fits, or the room is firm.
    """
    if room is not None and room.most is not None:
        size = min(size, room.most)
    at = 0
    while at < len(items):
        part = items[at : at + size]
        try:
            done = work(part)
        except Exception as error:
            if not short_of_memory(error):
                raise
            if room is not None and room.firm:
                raise OutOfMemory(NOT_ALONE) from error
            size = len(part) // 2
        else:
            yield done
            at += len(part)
            continue
        # Only here, where the error is gone, are the tensors of the failed attempt gone with it.
        clear_device_cache(garbage_collection=True)
        if size == 0:
            raise OutOfMemory(NOT_ONE)
        if room is not None:
            room.most = size
        logger.warning("There is not enough memory for %d at a time; going on with %d.", len(part), size)


def within_memory(steps: Iterator[T]) -> Iterator[T]:
    """The steps themselves; if memory does not suffice for one of them, OutOfMemory says what to change."""
    try:
        yield from steps
    except Exception as error:
        if not short_of_memory(error):
            raise
        raise OutOfMemory(NO_STEP) from error
