"""Maps as pictures and files without a browser: small ones for the grid of heads, and PNG, SVG and npz to take away."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Stops = Sequence[Sequence[object]]
"""A colour scale as browsers have it: (place 0..1, "rgba(r, g, b, a)")."""
HEAT: Stops = (
    (0.0, "rgba(0, 0, 4, .28)"),
    (0.25, "rgba(87, 16, 110, .43)"),
    (0.5, "rgba(188, 55, 84, .58)"),
    (0.75, "rgba(249, 142, 9, .73)"),
    (1.0, "rgba(252, 255, 164, .88)"),
)
"""For values from 0 on: the more, the brighter and the less of the picture is left."""
CHANGE: Stops = (
    (0.0, "rgba(224, 118, 47, .95)"),
    (0.5, "rgba(255, 255, 255, .05)"),
    (1.0, "rgba(20, 156, 142, .95)"),
)
"""For values on both sides of 0."""
SIDE = 960
"""Longest side of a picture to take away, in pixels."""
MARGIN, BAR, TEXT = 16, 14, 15
"""Around the bar of colours, its height, and that of its numbers, in pixels."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A map ready to be taken away.

    Args:
        values: one number per pixel of the picture's frame, NaN where nothing is drawn.
        scale: the values at the two ends of the colours.
        unit: of the values, with its name.
    """

    image: Image.Image
    values: Float[Tensor, "h w"]
    scale: tuple[float, float]
    stops: Stops
    unit: str

    def ticks(self) -> list[tuple[float, str]]:
        """Places 0..1 on the bar of colours, and the numbers there."""
        low, high = self.scale
        return [(x, f"{low + x * (high - low):.3g}") for x in (0.0, 0.5, 1.0)]


def colours(values: Float[Tensor, "h w"], scale: tuple[float, float], stops: Stops) -> Image.Image:
    """The map as an RGBA picture, clear where it is NaN."""
    z = values.float().numpy()
    low, high = scale
    places = np.clip(np.nan_to_num((z - low) / (high - low)), 0, 1)
    knots, channels = _parsed(stops)
    out = np.stack([np.interp(places, knots, channel) for channel in channels], -1)
    out[np.isnan(z), 3] = 0
    return Image.fromarray(out.round().astype(np.uint8), "RGBA")


def _parsed(stops: Stops) -> tuple[list[float], np.ndarray]:
    """Places of the stops, and red, green, blue and alpha there, 0..255."""
    rgba = [[float(x) for x in str(c).partition("(")[2].rstrip(")").split(",")] for _, c in stops]
    return [float(str(p)) for p, _ in stops], (np.array(rgba) * [1, 1, 1, 255]).T


def sheet(pictures: Sequence[Image.Image], columns: int) -> str:
    """Pictures of one size side by side, `columns` to a row, as a PNG that stands in the page itself."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGBA", (columns * width, rows * height))
    for i, picture in enumerate(pictures):
        whole.paste(picture, (i % columns * width, i // columns * height))
    return uri(encoded(whole), "image/png")


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=2)  # the standard one takes three times as long for a sixth of the size
    return buffer.getvalue()


def uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _size(image: Image.Image) -> tuple[int, int]:
    zoom = SIDE / max(image.size)
    return max(1, round(image.width * zoom)), max(1, round(image.height * zoom))


def png(drawn: Drawn) -> bytes:
    return encoded(painted(drawn))


def painted(drawn: Drawn) -> Image.Image:
    """The map over its picture, and below it the colours with their numbers."""
    width, height = _size(drawn.image)
    picture = drawn.image.convert("RGBA").resize((width, height), Image.Resampling.LANCZOS)
    over = colours(drawn.values, drawn.scale, drawn.stops).resize((width, height), Image.Resampling.NEAREST)
    picture.alpha_composite(over)
    whole = Image.new("RGBA", (width, height + 2 * MARGIN + BAR + 2 * TEXT), "white")
    whole.paste(picture, (0, 0))
    length = max(1, width - 2 * MARGIN)
    bar = colours(_ramp(drawn, length), drawn.scale, drawn.stops).resize((length, BAR), Image.Resampling.NEAREST)
    whole.alpha_composite(bar, (min(MARGIN, width - 1), height + MARGIN))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(TEXT)
    below = height + MARGIN + BAR + 3
    for (x, text), anchor in zip(drawn.ticks(), ("la", "ma", "ra"), strict=True):
        draw.text((MARGIN + x * length, below), text, "black", font, anchor)
    draw.text((width / 2, below + TEXT), drawn.unit, "black", font, "ma")
    return whole.convert("RGB")


def _ramp(drawn: Drawn, length: int) -> Float[Tensor, "1 length"]:
    return Tensor(np.linspace(*drawn.scale, length, dtype=np.float32)[None])


def svg(drawn: Drawn) -> str:
    """The same with a rectangle for each patch that says its value when it is pointed at."""
    width, height = _size(drawn.image)
    length, below = max(1, width - 2 * MARGIN), height + MARGIN + BAR
    small = drawn.image.convert("RGB").copy()
    small.thumbnail((SIDE, SIDE))
    cells = "".join(_cell(drawn, box, width, height) for box in blocks(drawn.values.float().numpy()))
    bar = uri(encoded(colours(_ramp(drawn, 256), drawn.scale, drawn.stops)), "image/png")
    numbers = "".join(
        f'<text x="{MARGIN + x * length:g}" y="{below + TEXT}" text-anchor="{anchor}">{escape(text)}</text>'
        for (x, text), anchor in zip(drawn.ticks(), ("start", "middle", "end"), strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {below + 2 * TEXT + MARGIN}" font-family="sans-serif" font-size="{TEXT}">'
        f'<rect width="100%" height="100%" fill="white"/><image href="{uri(encoded(small), "image/png")}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
        f'{cells}<image href="{bar}" x="{MARGIN}" y="{height + MARGIN}" width="{length}" height="{BAR}" preserveAspectRatio="none"/>'
        f'{numbers}<text x="{width / 2:g}" y="{below + 2 * TEXT + 3}" text-anchor="middle">{escape(drawn.unit)}</text></svg>'
    )


def _cell(drawn: Drawn, box: tuple[int, int, int, int], width: int, height: int) -> str:
    x0, y0, x1, y1 = box
    value = drawn.values[y0 : y0 + 1, x0 : x0 + 1]
    red, green, blue, alpha = np.asarray(colours(value, drawn.scale, drawn.stops))[0, 0].tolist()
    rows, cols = drawn.values.shape
    left, top, wide, tall = x0 * width / cols, y0 * height / rows, (x1 - x0) * width / cols, (y1 - y0) * height / rows
    return (
        f'<rect x="{left:.2f}" y="{top:.2f}" width="{wide:.2f}" height="{tall:.2f}" fill="rgb({red},{green},{blue})" '
        f'fill-opacity="{alpha / 255:.3f}"><title>{float(value):.6g}</title></rect>'
    )


def blocks(values: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The patches of a map, as (x0, y0, x1, y1) in its pixels: rectangles of one value between the lines where any value
    changes. Those without a value (NaN) are left out."""
    known = np.nan_to_num(values, nan=np.inf)
    tops, lefts = _changes(known), _changes(known.T)
    boxes = [(x0, y0, x1, y1) for y0, y1 in tops for x0, x1 in lefts]
    return [box for box in boxes if np.isfinite(values[box[1], box[0]])]


def _changes(values: np.ndarray) -> list[tuple[int, int]]:
    """Runs of equal rows, as (first, one after the last)."""
    at = [0, *((values[1:] != values[:-1]).any(1).nonzero()[0] + 1).tolist(), len(values)]
    return list(itertools.pairwise(at))


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays as numpy reads them back, without pickle."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
