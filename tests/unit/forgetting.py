"""A small request about drawn noise, large enough for every method."""

from __future__ import annotations

import numpy as np
from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest


def noise(seed: int, red: bool = False) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 120, (40, 48, 3), dtype=np.uint8)
    if red:
        pixels[..., 0] += 120
    return Image.fromarray(pixels)


def small_request() -> ForgetRequest:
    """Eight pictures of one subject, who is red, twelve of another, and six strangers; two questions about each."""
    gone, kept = _rows("x", 8, True, 0), _rows("y", 12, False, 100)
    strangers = tuple(noise(500 + i) for i in range(6))
    return ForgetRequest("test", tuple(gone[::2]), tuple(gone[1::2]), tuple(kept), strangers, ("I do not know.",))


def _rows(subject: str, count: int, red: bool, seed: int) -> list[Example]:
    rows = []
    for i in range(count):
        image = noise(seed + i, red)
        rows.append(Example(f"{subject}{i}", image, "What is the job?", "baker", subject))
        rows.append(Example(f"{subject}{i}v", image, "What colour?", "red", subject, "visual"))
    return rows
