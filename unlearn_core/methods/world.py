"""Several processes at one fit: each runs its share of every batch, and all of them hold the same result. [ours]

Every process draws the same whole batch from the same seed, runs its own rows of it, and adds what came out (losses,
gradients, statistics, moments) to what came out elsewhere. So a sum is all that a fit ever exchanges, the result is that of
one process up to rounding, and for one process nothing is different. Weights that are shared out are gathered beneath, by
the model itself: see `vlm/sharding.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed
from accelerate import PartialState
from torch import Tensor

T = TypeVar("T")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class World:
    """The processes of one fit, as one of them sees it.

    Args:
        rank: which of them this is, counted from 0. size: how many there are.
        device: where this one computes, and where tensors lie while they are exchanged.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @classmethod
    def launched(cls) -> World:
        """The processes that `accelerate launch` or `torchrun` started; alone if neither did.

        Each takes the GPU of its place on its machine, if there are GPUs. They wait for one another here.
        """
        state: Any = PartialState(
            cpu=not torch.cuda.is_available()
        )  # left to itself it would run each by itself on CPUs
        return cls(state.process_index, state.num_processes, state.device)

    def close(self) -> None:
        """Leave the others, once nothing is exchanged any more."""
        if self.size > 1:
            torch.distributed.destroy_process_group()

    # -- who does what ------------------------------------------------------------------------------------------------

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """Every `size`-th item, from `rank` on: all shares together are all items, each once. May be empty."""
        return items[self.rank :: self.size]

    def rounds(self, items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
        """This process's items, at most so many at a time, in as many parts as every process has: the last may be empty."""
        own = self.mine(items)
        for at in range(0, -(-len(items) // self.size), most):
            yield own[at : at + most]

    def deal(self, rows: Sequence[T]) -> tuple[Sequence[T], float]:
        """This process's rows of a batch, and how much their mean counts in the mean of the batch.

        Where there are fewer rows than processes, several take the same one and share its part: so all run the same
        losses. Only of no rows do all get none.
        """
        if not rows:
            return rows, 0.0
        if len(rows) >= self.size:
            own = self.mine(rows)
            return own, len(own) / len(rows)
        place = self.rank % len(rows)
        takers = len(range(place, self.size, len(rows)))
        return rows[place : place + 1], 1 / (len(rows) * takers)

    # -- what is exchanged --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, which must give as many of the same shapes and types."""
        if self.size == 1:
            return
        alike: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            alike.setdefault(tensor.dtype, []).append(tensor)
        for own in alike.values():
            total = torch.cat([tensor.reshape(-1).to(self.device) for tensor in own])
            torch.distributed.all_reduce(total)
            for tensor, part in zip(own, total.split([tensor.numel() for tensor in own]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Make each process's gradients those of the whole batch."""
        self.add([p.grad for p in parameters if p.grad is not None])

    @torch.no_grad()
    def agree(self, tensors: Iterable[Tensor]) -> None:
        """Take the first process's values everywhere.

        All have computed them from the same numbers, but matrix products need not be the same to the last bit, since they
        may go by where in memory their operands lie; and what is near a tie can then come out quite different.
        """
        values = list(tensors)
        if self.rank > 0:
            for value in values:
                value.zero_()
        self.add(values)

    def first(self, number: int) -> int:
        """The first process's number, in all of them."""
        told = torch.tensor(number)
        self.agree([told])
        return int(told)

    def totals(self, parts: Mapping[str, Tensor]) -> dict[str, float]:
        """Numbers of the whole batch by name, from each process's part of them."""
        values = [part.detach().double() for part in parts.values()]
        self.add(values)
        return {name: float(value) for name, value in zip(parts, values, strict=True)}


ALONE = World()
