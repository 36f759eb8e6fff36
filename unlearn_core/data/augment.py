"""Other photographs of the same thing, made from one. All of it is our choice.

Each alteration keeps the size of the picture and is drawn from a generator alone, so that the same generator gives the
same picture. Any size will do, down to a single pixel; what is larger than `LONGEST` is first made smaller, since no
alteration here needs more and a large photograph would cost seconds.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from unlearn_core.data.region import Region

LONGEST = 1024
"""Pixels of the longer side, at most."""
SOMETIMES = 0.5
"""How often each of the heavier alterations is part of a view."""


def crop(image: Image.Image, rng: np.random.Generator, least: float = 0.7) -> Image.Image:
    """A part with at least `least` of each side, enlarged to the size of the whole."""
    w, h = image.size
    cw, ch = max(1, round(w * rng.uniform(least, 1))), max(1, round(h * rng.uniform(least, 1)))
    x, y = int(rng.integers(w - cw + 1)), int(rng.integers(h - ch + 1))
    return image.crop((x, y, x + cw, y + ch)).resize((w, h), Image.Resampling.BILINEAR)


def flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Mirrored left to right; draws nothing."""
    return ImageOps.mirror(image)


def scale(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shrunk to 50 to 90 %: half of the time set on plain ground of its mean colour, else enlarged again, detail lost."""
    (w, h), factor, inset = image.size, rng.uniform(0.5, 0.9), rng.random() < 0.5
    small = image.resize((max(1, round(w * factor)), max(1, round(h * factor))), Image.Resampling.BILINEAR)
    if not inset:
        return small.resize((w, h), Image.Resampling.BILINEAR)
    ground = Image.new("RGB", (w, h), image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))
    ground.paste(small, (int(rng.integers(w - small.width + 1)), int(rng.integers(h - small.height + 1))))
    return ground


def light(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Other brightness (20 % either way), contrast (15 %) and saturation (20 %)."""
    image = ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.8, 1.2)))
    image = ImageEnhance.Contrast(image).enhance(float(rng.uniform(0.85, 1.15)))
    return ImageEnhance.Color(image).enhance(float(rng.uniform(0.8, 1.2)))


def jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Stored as JPEG at quality 25 to 90 and read again."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(25, 91)))
    with Image.open(file) as stored:
        return stored.convert("RGB")


def noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Normal noise on each pixel and channel, standard deviation up to 8 of 255 levels."""
    pixels = np.asarray(image, dtype=np.float32)
    grains = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(0, 8))
    return Image.fromarray((pixels + grains).clip(0, 255).astype(np.uint8))


def cover(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A plain rectangle of any colour over 15 to 40 % of each side."""
    w, h = image.size
    cw, ch = max(1, round(w * rng.uniform(0.15, 0.4))), max(1, round(h * rng.uniform(0.15, 0.4)))
    x, y = int(rng.integers(w - cw + 1)), int(rng.integers(h - ch + 1))
    red, green, blue = (int(c) for c in rng.integers(0, 256, 3))
    out = image.copy()
    out.paste((red, green, blue), (x, y, x + cw, y + ch))
    return out


ALTERATIONS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "crop": crop,
    "flip": flip,
    "scale": scale,
    "light": light,
    "jpeg": jpeg,
    "noise": noise,
    "cover": cover,
}


def alter(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """One alteration by name, for measuring how robust something is to it."""
    return ALTERATIONS[kind](_handy(image), rng)


def augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A view with several alterations: always a slight crop, other light and noise, half of the time mirrored, and
    sometimes other scale, something in front, or JPEG."""
    out = crop(_handy(image), rng, least=0.85)
    if rng.random() < 0.5:
        out = flip(out, rng)
    if rng.random() < SOMETIMES:
        out = scale(out, rng)
    out = light(out, rng)
    if rng.random() < SOMETIMES:
        out = cover(out, rng)
    out = noise(out, rng)
    return jpeg(out, rng) if rng.random() < SOMETIMES else out


def beside(one: Image.Image, other: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, Region]:
    """Two pictures side by side in one of the first one's size, and the half where the first one is.

    Each is shrunk to 55 to 80 % and what is too wide is cut off, so that what is in the middle is whole; around it is plain
    ground of its mean colour. Either may be left.
    """
    one, other = _handy(one), _handy(other)
    (w, h), first = one.size, rng.random() < 0.5
    out = Image.new("RGB", (w, h))
    for place, image in zip((0, w // 2), (one, other) if first else (other, one), strict=True):
        out.paste(_narrow(image, (w - w // 2, h), rng), (place, 0))
    return out, Region(0, 0, 0.5, 1) if first else Region(0.5, 0, 1, 1)


def _narrow(image: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """The middle of a picture, shrunk so that its height is 55 to 80 % of this one, on plain ground."""
    (w, h), factor = size, rng.uniform(0.55, 0.8) * size[1] / image.height
    small = image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))), Image.Resampling.BILINEAR
    )
    ground = Image.new("RGB", size, image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))
    ground.paste(small, ((w - small.width) // 2, int(rng.integers(h - small.height + 1))))
    return ground


def _handy(image: Image.Image) -> Image.Image:
    """In RGB, and no side longer than `LONGEST`."""
    w, h = image.size
    factor = min(1.0, LONGEST / max(w, h))
    if factor < 1:
        image = image.resize((max(1, round(w * factor)), max(1, round(h * factor))), Image.Resampling.BOX)
    return image if image.mode == "RGB" else image.convert("RGB")
