"""Each picture is encoded once per fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.methods.precision import fast_matmul
from unlearn_core.vlm import VLM
from unlearn_core.vlm.batch import Batch


class Seen:
    """A sight that remembers: vision tower and projector are frozen, so visual tokens never change during a fit.

    A picture that was not read before is read when it is first shown.
    """

    def __init__(self) -> None:
        self.kept: dict[int, Float[Tensor, "n d"]] = {}

    @torch.no_grad()
    def read(self, vlm: VLM, images: Sequence[Image.Image]) -> None:
        with fast_matmul(vlm.device):
            encoded = vlm.encode(images, len(images))
        self.kept.update({id(i): t.to(vlm.model.dtype) for i, t in zip(images, encoded, strict=True)})

    def tokens(self, base: VLM, batch: Batch) -> list[Float[Tensor, "n d"]]:
        missing = [image for image in batch.images if id(image) not in self.kept]
        if missing:
            self.read(base, missing)
        return [self.kept[id(batch.images[p])] for p in batch.picture if p is not None]
