"""The contract that every unlearning method keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM

if TYPE_CHECKING:
    from unlearn_core.methods.checkpoint import Checkpoint


@dataclass(frozen=True)
class Step:
    """One unit of work of a fit.

    Args:
        phase: what is being done, in plain words.
        index, total: this unit and the number of units of the whole fit, all phases together.
        losses: loss terms by name (natural logarithms; lower is better).
        forget: share of probed forget questions still answered with the truth, 0..1 (lower is better), where probed.
        retain: share of probed retain questions answered with the truth, 0..1 (higher is better), where probed.
        seconds: since the fit began. seconds_left: estimate.
    """

    phase: str
    index: int
    total: int
    losses: dict[str, float] = field(default_factory=dict)
    forget: float | None = None
    retain: float | None = None
    seconds: float = 0.0
    seconds_left: float = 0.0


class Module(Protocol):
    """What a method has learned: small, removable, and all that has to be saved."""

    kind: str

    def attach(self, vlm: VLM) -> VLM:
        """An unlearned model that shares all weights with `vlm`, which itself stays as it is."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Everything learned, by name, for a safetensors file."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything else, ready for JSON."""
        ...

    def save_pretrained(self, folder: Path) -> None: ...


class Fit(Protocol):
    """A fit under way. Iterating does one unit of work per item; closing the iterator cancels."""

    def __iter__(self) -> Iterator[Step]: ...

    @property
    def module(self) -> Module:
        """The result so far."""
        ...

    @property
    def report(self) -> dict[str, Any]:
        """Measurements of the fit itself (thresholds, drift, sizes), ready for JSON."""
        ...

    def checkpoint(self) -> Checkpoint | None:
        """What training has changed so far, to be taken between two items; None before training, which is soon done again."""
        ...

    def restore(self, checkpoint: Checkpoint) -> None:
        """To be called before iterating: prepare as ever, then go on after the step that the checkpoint was taken at.

        On the CPU of one machine the result is that of a fit that never stopped, to the last bit. Of several processes
        at one fit all are restored from the checkpoint of any: it is the same in all. Another number of them goes on up
        to rounding.
        """
        ...


class Method(Protocol):
    """A way to forget. `config` is a frozen dataclass whose fields carry unit, range and source in their metadata."""

    name: str
    title: str
    config: type[Any]

    def start(self, vlm: VLM, request: ForgetRequest, config: Any, world: World = ALONE) -> Fit:
        """Prepare a fit. Of several processes each starts the same one, with its own view of the `world`."""
        ...
