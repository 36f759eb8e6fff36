"""Pictures of pages compared as people see them: a moved column, a lost button or another colour counts, a smoothed letter does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from scipy.ndimage import label, maximum_filter, minimum_filter, uniform_filter

BLOCK = 8
"""Pixels on a side of a block, of pictures that are half as large as the page."""
CLEARLY = 8.0
"""Of 255 in some colour: blocks whose means are further apart are of different things, not of the same thing drawn a bit otherwise."""
PATCH = 6
"""Blocks side by side that may differ: a word that is longer, not a button."""
SHARE = 0.02
"""Of all blocks may differ, wherever they are."""


@dataclass(frozen=True, eq=False)
class Difference:
    """What is different between two pictures.

    Args:
        blocks: which of them differ.
        largest: how many of those hang together at most.
    """

    blocks: Bool[np.ndarray, "rows columns"]
    largest: int

    @property
    def alike(self) -> bool:
        return self.largest <= PATCH and self.blocks.mean() <= SHARE

    def shown(self, picture: Image.Image) -> Image.Image:
        """The picture, pale but where it differs."""
        mask = Image.fromarray(np.kron(self.blocks, np.full((BLOCK, BLOCK), 255)).astype(np.uint8))
        whole = Image.new("L", picture.size)
        whole.paste(mask)
        pale = Image.blend(picture.convert("RGB"), Image.new("RGB", picture.size, "white"), 0.8)
        return Image.composite(picture.convert("RGB"), pale, whole)


def compare(before: Image.Image, after: Image.Image) -> Difference:
    """A block differs if its mean is not among those that the other picture has around there, at most a block away.

    So a line of text may slide by some pixels, and a thing that is there in one picture alone is found. Pictures of
    different sizes are alike where what one has more is empty.
    """
    size = max(before.width, after.width), max(before.height, after.height)
    one, other = (_means(_padded(picture, size)) for picture in (before, after))
    blocks = _missing(one, other) | _missing(other, one)
    labels, count = label(blocks)
    return Difference(blocks, int(np.bincount(labels.ravel())[1:].max()) if count else 0)


def _padded(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """With its last corner's colour where it ends early."""
    picture = picture.convert("RGB")
    ground = Image.new("RGB", size, picture.getpixel((picture.width - 1, picture.height - 1)))
    ground.paste(picture)
    return ground


def _means(picture: Image.Image) -> Float[np.ndarray, "height width 3"]:
    """Mean colour of the block around each pixel."""
    return uniform_filter(np.asarray(picture, dtype=float), (BLOCK, BLOCK, 0))


def _missing(
    one: Float[np.ndarray, "height width 3"], other: Float[np.ndarray, "height width 3"]
) -> Bool[np.ndarray, "rows columns"]:
    """Blocks of one picture whose colour the other has nowhere around."""
    around, each = (2 * BLOCK + 1, 2 * BLOCK + 1, 1), slice(BLOCK // 2, None, BLOCK)
    above, below = one - maximum_filter(other, around), minimum_filter(other, around) - one
    return (np.maximum(above, below) > CLEARLY).any(-1)[each, each]
