"""What the studio must know of an architecture. Each family is one small file beside this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from unlearn_core.vlm.prompt import Tile

Pixels = dict[str, Tensor]
"""The image processor's output for a list of pictures, ready for the vision tower."""


class Family(Protocol):
    """Facts of one architecture.

    `vision`, `projector` and `language` (the decoder without its head) are module paths below the model.
    """

    model_type: str
    vision: str
    projector: str
    language: str

    def pixels(self, processor: Any, images: list[Image.Image]) -> Pixels:
        """What the vision tower needs for these pictures."""
        ...

    def image_text(self, processor: Any, pixels: Pixels, i: int) -> str:
        """The text that stands for picture i in a prompt: one image token per visual token, and markers if any."""
        ...

    def tokens(self, model: PreTrainedModel, pixels: Pixels) -> list[Float[Tensor, "n d"]]:
        """Projected visual tokens, one tensor per picture."""
        ...

    def blocks(self, model: PreTrainedModel) -> Sequence[nn.Module]:
        """The vision tower's blocks in order, as far as they reach the projector."""
        ...

    def finish(self, model: PreTrainedModel, hidden: Float[Tensor, "b s w"], start: int) -> Float[Tensor, "b n d"]:
        """Visual tokens from the inputs of block `start`, as `tokens` would give them."""
        ...

    def tiles(
        self, model: PreTrainedModel, processor: Any, pixels: Pixels, i: int, size: tuple[int, int]
    ) -> tuple[Tile, ...]:
        """Where picture i's visual tokens lie on it; `size` is (width, height) in pixels."""
        ...
