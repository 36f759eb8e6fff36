"""Views of captured rows besides the map: where attention went, head by head, and which tokens looked at a place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.attention.maps import Of, average, chosen
from unlearn_core.vlm import Rows, Tile

PARTS = ("picture", "question", "earlier answer", "rest")
"""Where attention can fall; the rest are the tokens of the template, among them the first one of the prompt."""


def parts(
    rows: Rows, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> Float[Tensor, "4 tokens"]:
    """How the attention of each answer token is shared out among `PARTS`; each column sums to 1.

    Args:
        layers, heads: which to average over (None: all). Raises as `token_map` does.
    """
    known = torch.stack([rows.answer.sum(-1), rows.on_question, rows.on_answer], -1)
    means = chosen(known, layers, heads).mean((0, 1)).T
    return torch.cat([means, (1 - means.sum(0, keepdim=True)).clamp(min=0)])


def heads_apart(rows: Rows, tokens: Sequence[int]) -> Float[Tensor, "layers heads n"]:
    """Mean attention of chosen answer tokens on each visual token, for each layer and head. Raises as `token_map` does."""
    return average(rows.answer, 2, tokens)


def looked_at(
    rows: Rows,
    places: Sequence[int],
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    of: Of = "answer",
) -> Float[Tensor, " tokens"]:
    """How much of each token's attention fell on the visual tokens at `places`, together. Raises as `token_map` does."""
    values: Tensor = getattr(rows, of)
    return chosen(values[..., list(places)].sum(-1), layers, heads).mean((0, 1))


def places_at(tiles: Sequence[Tile], x: float, y: float) -> tuple[int, ...]:
    """The visual tokens, one for each tile that covers it, at a point given in parts of the picture's width and height."""
    found = []
    for tile in tiles:
        x0, y0, x1, y1 = tile.box
        row, col = (int((p - a) / (b - a) * n // 1) for p, a, b, n in ((y, y0, y1, tile.rows), (x, x0, x1, tile.cols)))
        if x0 <= x and y0 <= y and 0 <= row < tile.rows and 0 <= col < tile.cols:
            found.append(int(tile.index[row * tile.cols + col]))
    return tuple(found)


def boxes(tiles: Sequence[Tile], places: Sequence[int]) -> list[tuple[float, float, float, float]]:
    """Where visual tokens lie, as (x0, y0, x1, y1) in parts of the picture; those that lie nowhere are left out."""
    cells = {int(place): (tile, i) for tile in tiles for i, place in enumerate(tile.index.tolist())}
    found = [cells[p] for p in places if p in cells]
    return [tile.cell_box(*divmod(i, tile.cols)) for tile, i in found]
