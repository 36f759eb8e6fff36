"""From captured attention rows to numbers and maps: means over tokens, layers and heads, laid on the picture.

Values stay what the softmax gave (0..1, parts of one row's attention): nothing here rescales a map by itself, so that
maps of two models can be compared. All functions are pure. The conventions are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.vlm import Rows, Tile

Of = Literal["answer", "question"]
PIXELS_PER_CELL = 4


def token_map(
    rows: Rows,
    tokens: Sequence[int],
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    of: Of = "answer",
) -> Float[Tensor, " n"]:
    """Mean attention of chosen tokens on each of the n visual tokens, over chosen layers and heads (None: all of them).

    Args:
        tokens: places among the answer's tokens, or among the question's with `of="question"`.

    Raises:
        ValueError: tokens, layers or heads are given but empty, so that there is nothing to average.
        IndexError: one of them does not exist.
    """
    values: Tensor = getattr(rows, of)
    return average(chosen(values, layers, heads), 2, tokens).mean((0, 1))


def chosen(
    values: Float[Tensor, "layers heads *rest"], layers: Sequence[int] | None, heads: Sequence[int] | None
) -> Float[Tensor, "some_layers some_heads *rest"]:
    """The values of some layers and heads (None: all). Raises ValueError if there are none, IndexError if one is unknown."""
    for dim, wanted in enumerate((layers, heads)):
        if wanted is not None:
            values = _select(values, dim, wanted)
    return values


def average(values: Tensor, dim: int, wanted: Sequence[int]) -> Tensor:
    """The mean of some entries along one dimension. Raises as `chosen` does."""
    return _select(values, dim, wanted).mean(dim)


def _select(values: Tensor, dim: int, wanted: Sequence[int]) -> Tensor:
    if len(wanted) == 0:
        raise ValueError("There is nothing to average: choose at least one token, layer and head.")
    return values.index_select(dim, torch.as_tensor(wanted, dtype=torch.long, device=values.device))


def image_share(rows: Rows, of: Of = "answer") -> Float[Tensor, "layers heads tokens"]:
    """How much of each token's attention falls on the picture, 0..1; the rest falls on text."""
    values: Tensor = getattr(rows, of)
    return values.sum(-1)


def grid(values: Float[Tensor, " n"], tile: Tile) -> Float[Tensor, "rows cols"]:
    """The values of a picture's n visual tokens as the grid of one of its tiles."""
    return values[tile.index.to(values.device)].view(tile.rows, tile.cols)


def picture_map(
    values: Float[Tensor, " n"], tiles: Sequence[Tile], size: tuple[int, int]
) -> Float[Tensor, "height width"]:
    """Values of visual tokens on the pixels of the original picture, whose `size` is (width, height).

    Each pixel takes the value of the cell that its centre lies in, the mean where tiles overlap, and NaN where no tile
    covers it, because the model never saw that part.
    """
    width, height = size
    total, count = values.new_zeros(height, width), values.new_zeros(height, width)
    for tile in tiles:
        x0, y0, x1, y1 = tile.box
        top, rows = _cells(height, y0, y1, tile.rows)
        left, cols = _cells(width, x0, x1, tile.cols)
        area = slice(top, top + len(rows)), slice(left, left + len(cols))
        total[area] += grid(values, tile)[rows][:, cols]
        count[area] += 1
    return total / count


def frame(size: tuple[int, int], tiles: Sequence[Tile], pixels: int = PIXELS_PER_CELL) -> tuple[int, int]:
    """Width and height of a map: a few pixels per visual token are enough, however large the picture is."""
    side = pixels * max(max(t.rows, t.cols) for t in tiles)
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _cells(length: int, start: float, end: float, cells: int) -> tuple[int, Int[Tensor, " pixels"]]:
    """Along one side of `length` pixels: the first pixel inside start..end, and the cell of each one inside."""
    centres = (torch.arange(length, dtype=torch.float64) + 0.5) / length
    cell = ((centres - start) / (end - start) * cells).floor().long()
    inside = (cell >= 0) & (cell < cells)
    return int((cell < 0).sum()), cell[inside]


def difference(after: Float[Tensor, "*shape"], before: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """What a map has gained (positive) or lost (negative); draw it on a scale centred at 0.

    Raises:
        ValueError: the maps are not of one shape, so their places do not correspond.
    """
    if after.shape != before.shape:
        raise ValueError(f"Maps of unlike shapes cannot be compared: {tuple(after.shape)} and {tuple(before.shape)}.")
    return after - before


def shared_scale(*maps: Float[Tensor, "..."]) -> tuple[float, float]:
    """The lowest and highest value of all maps together, unseen places (NaN) left out: one colour range for all.

    Raises:
        ValueError: no map has a value.
    """
    values = torch.cat([m[~m.isnan()] for m in maps]) if maps else torch.zeros(0)
    if not len(values):
        raise ValueError("There is no value to draw: the model saw no part of the picture.")
    return values.min().item(), values.max().item()
