"""A method that learns next to nothing in no time, for tests of what runs, saves and exports methods."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods.base import Step
from unlearn_core.methods.checkpoint import Checkpoint
from unlearn_core.methods.saving import read_module, save_module
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM
from unlearn_core.vlm.batch import Batch

WIDTH = 32


class TinyModule:
    """Adds the same vector to every visual token."""

    kind = "tiny"

    def __init__(self, shift: Tensor) -> None:
        self.shift = shift

    def attach(self, vlm: VLM) -> VLM:
        if self.shift.shape != (vlm.width,):
            raise ValueError(f"shift has shape {tuple(self.shift.shape)}")
        return vlm.with_sight(self)

    def tokens(self, base: VLM, batch: Batch) -> list[Tensor]:
        return [tokens + self.shift for tokens in base.tokens(batch)]

    def tensors(self) -> dict[str, Tensor]:
        return {"shift": self.shift}

    def settings(self) -> dict[str, Any]:
        return {"strength": 0.5}

    def save_pretrained(self, folder: Path) -> None:
        save_module(self, folder)


def load_tiny(folder: Path) -> TinyModule:
    kind, tensors, _ = read_module(folder)
    assert kind == "tiny"
    return TinyModule(tensors["shift"])


@dataclass(frozen=True)
class TinyConfig:
    steps: int = 3
    size: int = WIDTH


class TinyMethod:
    """`on_step` is called with the number of each step before it is done, and with -1 when the fit is closed."""

    name = "tiny"
    title = "Tiny"
    config = TinyConfig

    def __init__(self, on_step: Callable[[int], object] = lambda i: None) -> None:
        self.on_step = on_step

    def start(self, vlm: VLM, request: ForgetRequest, config: TinyConfig, world: World = ALONE) -> TinyFit:
        return TinyFit(self, config)


class TinyFit:
    def __init__(self, method: TinyMethod, config: TinyConfig) -> None:
        self.method, self.plan = method, config
        self.module = TinyModule(torch.arange(config.size) / config.size)
        self.report = {"drift": 0.25, "threshold": float("nan")}
        self.done = 0

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.done, {"shift": self.module.shift}, {"size": self.plan.size})

    def restore(self, checkpoint: Checkpoint) -> None:
        self.done = checkpoint.step

    def __iter__(self) -> Iterator[Step]:
        try:
            for i in range(self.done, self.plan.steps):
                self.done = i + 1
                self.method.on_step(i)
                yield Step("fit", i + 1, self.plan.steps, {"refusal": 1 / (i + 1)}, seconds=0.1 * i)
        finally:
            self.method.on_step(-1)


def request_of(images: list[Image.Image], name: str = "Mira Olden") -> ForgetRequest:
    """Forget one subject on the first picture, asked twice; the others are retained."""
    first, *others = images
    return ForgetRequest(
        f"Forget {name}",
        (
            Example("f-0", first, "What is the job?", "baker", name),
            Example("f-1", first, "Who is this?", name, name, "name", "Somebody."),
        ),
        (Example("k-0", first, "Is there a hat?", "Yes.", name, "visual"),),
        tuple(Example(f"r-{i}", image, "What is the job?", "smith", f"other {i}") for i, image in enumerate(others))
        or (Example("r-0", None, "What is 1 + 1?", "2", kind="text"),),
        tuple(others[:1]),
        ("I do not know.", "Nobody that I know."),
    )


def until(true: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
