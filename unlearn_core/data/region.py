"""Which part of a picture is meant: a box around whom it is about, so that the rest of the picture can stay. [ours]"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from PIL import Image, ImageFilter

from unlearn_core.vlm.errors import BadRequest

LEAST = 0.01
"""Of each side of the picture; a smaller box is a slip of the hand."""


@dataclass(frozen=True)
class Region:
    """A box in parts of the picture's width and height, (x0, y0) at its top left, (x1, y1) at its bottom right; 0..1.

    Raises:
        BadRequest: it reaches out of the picture, or is turned round or empty.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        inside = 0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1
        if not inside or min(self.x1 - self.x0, self.y1 - self.y0) < LEAST:
            raise BadRequest(
                "A region is a box inside the picture: its left, top, right and bottom edge from 0 to 1, left before right "
                "and top before bottom. Please mark it again."
            )

    @classmethod
    def of(cls, value: Any) -> Region:
        """Four numbers as a list, or written out with commas between them. Raises BadRequest."""
        numbers = _numbers(value)
        return cls(*(numbers if len(numbers) == 4 else (math.nan,) * 4))

    def box(self) -> list[float]:
        """Its edges, ready for JSON."""
        return list(astuple(self))

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """All pixels that it touches, as Pillow has boxes, of a picture of (width, height)."""
        (w, h), (x0, y0, x1, y1) = size, self.box()
        return math.floor(x0 * w), math.floor(y0 * h), math.ceil(x1 * w), math.ceil(y1 * h)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, str):
        try:
            value = json.loads(f"[{value.strip().removeprefix('[').removesuffix(']')}]")
        except (ValueError, RecursionError):
            return []
    several = value if isinstance(value, list | tuple) else []
    return [float(v) for v in several if isinstance(v, int | float) and not isinstance(v, bool)]


Regions = Mapping[int, tuple[Region, ...]]
"""By the `id` of a picture, what is marked on it; pictures that are meant as a whole are not in it."""


def regions_of(pictures: Iterable[tuple[Image.Image, Region | None]]) -> Regions:
    """What is marked on each picture. One that is also meant as a whole counts as that."""
    found: dict[int, dict[Region, None]] = {}
    whole: set[int] = set()
    for image, region in pictures:
        if region is None:
            whole.add(id(image))
        else:
            found.setdefault(id(image), {})[region] = None
    return {key: tuple(regions) for key, regions in found.items() if key not in whole}


def blurred(image: Image.Image) -> Image.Image:
    """The picture with everything that tells people apart blurred away."""
    return image.filter(ImageFilter.GaussianBlur(max(2.0, min(image.size) / 12)))


def without(image: Image.Image, regions: Sequence[Region]) -> Image.Image:
    """The picture with these parts blurred: what is left when whom they show is taken away."""
    out, veiled = image.copy(), blurred(image)
    for box in (region.pixels(image.size) for region in regions):
        out.paste(veiled.crop(box), box)
    return out


def cut_out(image: Image.Image, regions: Sequence[Region]) -> Image.Image:
    """The box around these parts, enlarged to the size of the whole."""
    left, top, right, bottom = zip(*(region.pixels(image.size) for region in regions), strict=True)
    return image.crop((min(left), min(top), max(right), max(bottom))).resize(image.size, Image.Resampling.BILINEAR)
