"""Other photographs of the same thing, made from one (our choice): crop, flip, light, noise."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageOps


def augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random crop of at least 85 % of each side, mirrored half of the time, with other light and contrast and some noise."""
    w, h = image.size
    cw, ch = max(1, round(w * rng.uniform(0.85, 1))), max(1, round(h * rng.uniform(0.85, 1)))
    x, y = int(rng.integers(w - cw + 1)), int(rng.integers(h - ch + 1))
    out = image.crop((x, y, x + cw, y + ch)).resize((w, h), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        out = ImageOps.mirror(out)
    out = ImageEnhance.Brightness(out).enhance(float(rng.uniform(0.8, 1.2)))
    out = ImageEnhance.Contrast(out).enhance(float(rng.uniform(0.85, 1.15)))
    pixels = np.asarray(out, dtype=np.float32) + rng.normal(0, rng.uniform(0, 6), (h, w, 3)).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
