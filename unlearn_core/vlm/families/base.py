"""What the studio must know of an architecture. Each family is one small file of facts beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from unlearn_core.vlm.prompt import Tile

if TYPE_CHECKING:
    from unlearn_core.vlm.batch import Batch

Pixels = dict[str, Tensor]
"""What the image processor made of one picture. Along the first dimension, those of several pictures can be joined."""

WHOLE = (0.0, 0.0, 1.0, 1.0)
"""The box that is the whole picture."""


class Family(ABC):
    """Facts of one architecture. What has a body here is what most architectures share.

    Args:
        model_type: transformers' name of it.
        vision, projector, language: module paths below the model; `language` is the decoder without its head.
        layers: path of the tower's blocks below `vision`.
        shown: which of a picture's `Pixels` the vision tower takes.
        told: which of them the decoder needs besides the visual tokens, for example to number their positions.
        at_once: the model hands visual tokens on as one tensor for all pictures instead of a list.
        in_sequence: visual tokens stand in the decoder's sequence, so that its attention to them can be shown.
        processor: transformers' class, where its automatic choice would also load what only videos need.
    """

    model_type: str
    vision = "model.vision_tower"
    projector = "model.multi_modal_projector"
    language = "model.language_model"
    layers = "encoder.layers"
    shown: tuple[str, ...] = ("pixel_values",)
    told: tuple[str, ...] = ()
    at_once = False
    in_sequence = True
    processor: str | None = None

    def ready(self, model: PreTrainedModel) -> None:
        """What must be done to a model once, when it is loaded."""
        return None

    # -- from picture and question to the model's inputs --------------------------------------------------------------

    def prompt(self, processor: Any, question: str, shown: bool) -> str:
        """The whole prompt as text, with one `processor.image_token` in the place of the picture if one is shown."""
        if getattr(processor, "chat_template", None):
            content = [*([{"type": "image"}] if shown else []), {"type": "text", "text": question}]
            return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        start = f"{processor.image_token}\n" if shown else ""
        return f"USER: {start}{question} ASSISTANT:"

    def pixels(self, processor: Any, image: Image.Image) -> Pixels:
        """What the vision tower needs for an upright RGB picture. Raises ValueError if the processor refuses it."""
        options = getattr(processor, "images_kwargs", {})  # what the whole processor would ask of its picture part
        return dict(processor.image_processor(images=[image], return_tensors="pt", **options))

    def image_text(self, processor: Any, pixels: Pixels) -> str:
        """The text that stands for a picture in a prompt: one image token per visual token, and markers if any."""
        return processor.replace_image_token(pixels, 0)

    def inputs(self, model: PreTrainedModel, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]]) -> dict[str, Any]:
        """The model's arguments besides token ids and mask; `tokens` are those of the rows that show a picture."""
        seen: Any = torch.cat(list(tokens)) if tokens and self.at_once else list(tokens)
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=seen)}} if tokens else {}

    # -- the vision tower ---------------------------------------------------------------------------------------------

    def tokens(self, model: PreTrainedModel, pixels: Sequence[Pixels]) -> list[Float[Tensor, "n d"]]:
        """Projected visual tokens, one tensor per picture."""
        out = self.features(model, pixels).pooler_output
        return by_picture(out, pixels) if isinstance(out, Tensor) else list(out)

    def features(self, model: PreTrainedModel, pixels: Sequence[Pixels]) -> Any:
        """What the model itself gives for pictures: `pooler_output` are the projected tokens, in one form or another."""
        seeing: Any = model
        arguments = {name: torch.cat([p[name] for p in pixels]) for name in self.shown}
        return seeing.get_image_features(**arguments, return_dict=True)

    def width(self, model: PreTrainedModel) -> int:
        """Width d of a visual token."""
        return model.config.get_text_config().hidden_size

    def blocks(self, model: PreTrainedModel) -> list[nn.Module]:
        """The vision tower's blocks in order, as far as they reach the projector. Each gives one tensor, whose first
        dimension goes with that of `pixel_values`."""
        layers: Any = model.get_submodule(f"{self.vision}.{self.layers}")
        return list(layers)

    def idle(self, model: PreTrainedModel) -> list[nn.Module]:
        """Blocks after those, which run although nobody reads what they give."""
        return []

    def side_exits(self, model: PreTrainedModel) -> frozenset[int]:
        """Which blocks' outputs, by number, are read by more than the next block."""
        return frozenset()

    def projectors(self, model: PreTrainedModel) -> list[nn.Module]:
        """All that stands between the tower's blocks and the decoder."""
        return [model.get_submodule(self.projector)]

    def seeing_parts(self) -> tuple[str, ...]:
        """Paths of tower and projector, or of the tower alone where the projector is inside it."""
        inside = self.projector.startswith(f"{self.vision}.")
        return (self.vision,) if inside else (self.vision, self.projector)

    # -- where tokens lie ---------------------------------------------------------------------------------------------

    @abstractmethod
    def tiles(self, model: PreTrainedModel, processor: Any, pixels: Pixels, size: tuple[int, int]) -> tuple[Tile, ...]:
        """Where a picture's visual tokens lie on it; `size` is (width, height) in pixels."""


def tower_rows(pixels: Pixels) -> int:
    """How many rows of the vision tower's batch belong to a picture: its crops, or where pictures are packed, its patches."""
    return len(pixels["pixel_values"])


def by_picture(out: Float[Tensor, "rows n d"], pixels: Sequence[Pixels]) -> list[Float[Tensor, "n d"]]:
    """The tower's rows shared out among the pictures they belong to."""
    return [own.flatten(0, 1) for own in out.split([tower_rows(p) for p in pixels])]


def square(vision: Any) -> int:
    """Patches along one side of the tower's square input."""
    return vision.image_size // vision.patch_size


def grid(
    rows: int, cols: int, first: int = 0, box: tuple[float, float, float, float] = WHOLE, kind: str = "whole"
) -> Tile:
    """A tile whose tokens follow one another row by row from `first`."""
    return Tile(rows, cols, torch.arange(first, first + rows * cols), box, kind)


def crops(rows: int, cols: int, side: int, overview: bool) -> tuple[Tile, ...]:
    """A picture cut into rows x cols crops of side x side tokens each, and after them the whole one if `overview`."""
    boxes = [(c / cols, r / rows, (c + 1) / cols, (r + 1) / rows) for r in range(rows) for c in range(cols)]
    cut = [grid(side, side, i * side * side, box, "tile") for i, box in enumerate(boxes)]
    return (*cut, grid(side, side, len(cut) * side * side)) if overview else tuple(cut)
