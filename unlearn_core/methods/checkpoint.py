"""What training has changed so far, as tensors and JSON: from it a fit goes on as if it had never stopped. [ours]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from unlearn_core.methods.progress import Clock


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A fit in the middle of its training.

    Args:
        step: index of the last `Step` that counts.
        tensors: copies, by name. values: everything else, ready for JSON.
    """

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]


class Stateful(Protocol):
    """Something else that changes from step to step, in the words of torch. Its state is flat: tensors and JSON values."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> object: ...


class Course:
    """All that a training changes from step to step.

    Args:
        phase: the clock's name for the training.
        others: what changes beside parameters, optimiser, schedule and random state, by name.
    """

    def __init__(
        self,
        clock: Clock,
        phase: str,
        parameters: Sequence[Tensor],
        optimiser: torch.optim.Optimizer,
        schedule: LRScheduler,
        rng: np.random.Generator,
        others: Mapping[str, Stateful] | None = None,
    ) -> None:
        self.clock, self.phase, self.parameters = clock, phase, parameters
        self.optimiser, self.schedule, self.rng = optimiser, schedule, rng
        self.others = others or {}

    @property
    def done(self) -> int:
        """Steps of the optimiser so far."""
        return self.schedule.last_epoch

    def checkpoint(self) -> Checkpoint:
        """Everything as it is now, copied."""
        state = self.optimiser.state_dict()
        tensors = {f"parameter.{i}": p for i, p in enumerate(self.parameters)}
        for i, moments in state["state"].items():
            tensors |= {f"optimiser.{i}.{name}": moment for name, moment in moments.items()}
        values = {
            "seconds": self.clock.seconds,
            "groups": state["param_groups"],
            "schedule": self.schedule.state_dict(),
            "random": self.rng.bit_generator.state,
        }
        for name, other in self.others.items():
            content = other.state_dict()
            tensors |= {f"{name}.{key}": value for key, value in content.items() if isinstance(value, Tensor)}
            values[name] = {key: value for key, value in content.items() if not isinstance(value, Tensor)}
        copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
        return Checkpoint(self.clock.index, copies, values)

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what the checkpoint was taken of.

        Raises:
            KeyError, ValueError: it is one of another fit.
        """
        tensors, values = checkpoint.tensors, checkpoint.values
        for i, parameter in enumerate(self.parameters):
            saved = tensors[f"parameter.{i}"]
            if saved.shape != parameter.shape:
                raise ValueError(f"parameter {i} has shape {tuple(parameter.shape)}, not {tuple(saved.shape)}")
            parameter.copy_(saved)
        moments = {i: _under(tensors, f"optimiser.{i}.") for i in range(len(self.parameters))}
        state = {i: own for i, own in moments.items() if own}  # a parameter without a gradient has none
        self.optimiser.load_state_dict({"state": state, "param_groups": values["groups"]})
        self.schedule.load_state_dict(values["schedule"])
        self.rng.bit_generator.state = values["random"]
        for name, other in self.others.items():
            other.load_state_dict(_under(tensors, f"{name}.") | values[name])
        self.clock.skip(self.phase, self.done, values["seconds"], checkpoint.step)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class Resumable:
    """What fits have in common that train on a `Course`: they give checkpoints, and can start from one."""

    _course: Course | None = None
    _start: Checkpoint | None = None

    def checkpoint(self) -> Checkpoint | None:
        return None if self._course is None else self._course.checkpoint()

    def restore(self, checkpoint: Checkpoint) -> None:
        self._start = checkpoint

    def _follow(self, course: Course) -> int:
        """Training begins: how many of its steps are done already."""
        if self._start is not None:
            course.restore(self._start)
        self._course = course
        return course.done
