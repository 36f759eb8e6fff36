"""Processors for pictures alone.

Some of transformers' processors have a part for videos that cannot even be loaded without torchvision. What is asked
here is always about one picture, so that part is left out, and nothing needs torchvision.
"""

from __future__ import annotations

from typing import Any

import transformers
from transformers import AutoProcessor, ProcessorMixin


def load_processor(folder: str, kind: str | None) -> Any:
    """The processor of a checkpoint.

    Args:
        kind: transformers' class to load without its video part; None leaves the choice to the checkpoint.
    """
    chosen: Any = AutoProcessor if kind is None else pictures_only(getattr(transformers, kind))
    return chosen.from_pretrained(folder, trust_remote_code=False)


def pictures_only(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """A processor class without its video part. It keeps its name, so that what it saves is an ordinary processor."""

    def get_attributes(_: type) -> list[str]:
        return [part for part in kind.get_attributes() if part != "video_processor"]

    return type(kind.__name__, (kind,), {"get_attributes": classmethod(get_attributes), "__module__": kind.__module__})
