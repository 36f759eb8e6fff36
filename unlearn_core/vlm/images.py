"""Open pictures from files and bytes so that everything downstream gets an upright RGB picture or a `BadImage`."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from unlearn_core.vlm.errors import BadImage

MAX_PIXELS = 40_000_000
MAX_BYTES = 30_000_000
MAX_RATIO = 50
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def open_image(source: Path | str | bytes) -> Image.Image:
    """Read a picture, first frame only, turned upright by its EXIF mark, on white where it is transparent.

    Raises:
        BadImage: not a picture of a known format, truncated, larger than 40 megapixels or 30 MB, or far too narrow.
    """
    data = source if isinstance(source, bytes) else _read(Path(source))
    if len(data) > MAX_BYTES:
        raise BadImage(
            f"This picture file has {len(data) / 1e6:.0f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB. Please save it smaller."
        )
    try:
        # The size check below is ours and earlier than Pillow's own, whose warning would only repeat it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(*image.size)
                image.seek(0)
                image.load()
                return to_rgb(image)
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage(_too_large(None)) from None
    except Exception as error:
        raise BadImage(
            "This file could not be read as a picture. Please use a PNG, JPEG, WebP, GIF, BMP or TIFF file that opens in a picture viewer."
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow picture as upright 8-bit RGB."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        values = np.asarray(upright, dtype=np.float64)
        top = 65535.0 if upright.mode.startswith("I;16") or values.max(initial=0) > 255 else 255.0
        upright = Image.fromarray((values.clip(0, top) * (255 / top)).astype(np.uint8))
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return upright.convert("RGB")


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadImage(f"This picture file is larger than {MAX_BYTES / 1e6:.0f} MB. Please save it smaller.")
        return path.read_bytes()
    except OSError as error:
        raise BadImage("The picture file could not be opened. Please choose it again.") from error


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise BadImage("This picture is empty. Please choose another one.")
    if width * height > MAX_PIXELS:
        raise BadImage(_too_large(width * height))
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadImage(f"This picture is {width} x {height} pixels, too narrow to be used. Please crop it.")


def _too_large(pixels: int | None) -> str:
    size = "This picture is far too large" if pixels is None else f"This picture has {pixels / 1e6:.0f} megapixels"
    return f"{size}; the limit is {MAX_PIXELS / 1e6:.0f} megapixels. Please make it smaller and try again."
