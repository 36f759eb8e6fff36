"""Is a map telling the truth? Blank what it marks most, and as many places at random, and see what the answer loses.

The test is known as deletion (Petsiuk, Das and Saenko, arXiv 1806.07421); ours blanks visual tokens instead of pixels, so
that no edge of a grey box is seen and the vision tower need not run again. [related]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unlearn_core.attention.scoring import Scorer
from unlearn_core.vlm import Tile

FRACTIONS = (0.1, 0.2, 0.3)
DRAWS = 8
"""Random choices for each fraction. [ours]"""
BATCH = 16


@dataclass(frozen=True)
class Faithfulness:
    """What an answer loses, in nats of its log-probability, when parts of the picture are blanked.

    Args:
        done, total: pictures scored so far, and in all; while they differ the falls are not complete.
        plain: log-probability of the answer on the whole picture.
        fractions: shares of the visual tokens that were blanked, 0..1.
        marked: falls when these are the ones that the map marks most, one per fraction.
        random: falls for each of the random choices, per fraction.
        all: fall when the whole picture is blank: what the answer takes from the picture at all.
    """

    done: int
    total: int
    plain: float = 0.0
    fractions: tuple[float, ...] = ()
    marked: tuple[float, ...] = ()
    random: tuple[tuple[float, ...], ...] = ()
    all: float = 0.0

    @property
    def beaten(self) -> float:
        """Share of the random choices that cost less than what the map marks; 0.5 is no better than chance, 1 the best.
        [ours]"""
        pairs = [(top, other) for top, others in zip(self.marked, self.random, strict=True) for other in others]
        return sum((top > other) + 0.5 * (top == other) for top, other in pairs) / len(pairs)

    @property
    def chance(self) -> tuple[float, ...]:
        """Mean fall of the random choices, per fraction."""
        return tuple(sum(falls) / len(falls) for falls in self.random)


def faithfulness(
    score: Scorer,
    values: Float[Tensor, " n"],
    tiles: Sequence[Tile],
    *,
    fractions: Sequence[float] = FRACTIONS,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int = BATCH,
) -> Iterator[Faithfulness]:
    """Check a map; the last item is the result, those before it tell how far it is. Closing the iterator cancels.

    Args:
        values: one number per visual token; NaN is lower than all.
        tiles: only tokens that lie on the picture are blanked. Where tiles overlap, each of their tokens counts.
    """
    places = torch.cat([tile.index for tile in tiles]).unique()
    sets = torch.cat([_marked(values, places, fractions), _random(len(values), places, fractions, draws, seed)])
    whole = torch.zeros(1, len(values), dtype=torch.bool)
    away = torch.cat([whole, whole.index_fill(1, places, True), sets])
    scores = torch.zeros(0)
    for part in away.split(batch_size):
        yield Faithfulness(len(scores), len(away))
        with torch.no_grad():
            scores = torch.cat([scores, score(score.blanked(part)).cpu()])
    falls = (scores[0] - scores[1:]).tolist()
    k = len(fractions)
    random = tuple(tuple(falls[1 + k + i * draws : 1 + k + (i + 1) * draws]) for i in range(k))
    yield Faithfulness(
        len(away), len(away), float(scores[0]), tuple(fractions), tuple(falls[1 : 1 + k]), random, falls[0]
    )


def _count(places: Int[Tensor, " p"], fraction: float) -> int:
    return max(1, round(fraction * len(places)))


def _marked(
    values: Float[Tensor, " n"], places: Int[Tensor, " p"], fractions: Sequence[float]
) -> Bool[Tensor, "fractions n"]:
    order = places[values[places].nan_to_num(float("-inf")).argsort(descending=True, stable=True)]
    return _sets(len(values), [order[: _count(places, f)] for f in fractions])


def _random(
    n: int, places: Int[Tensor, " p"], fractions: Sequence[float], draws: int, seed: int
) -> Bool[Tensor, "draws n"]:
    generator = torch.Generator().manual_seed(seed)
    orders = [places[torch.randperm(len(places), generator=generator)] for _ in range(draws * len(fractions))]
    return _sets(n, [orders[i][: _count(places, fractions[i // draws])] for i in range(len(orders))])


def _sets(n: int, chosen: Sequence[Int[Tensor, " k"]]) -> Bool[Tensor, "sets n"]:
    out = torch.zeros(len(chosen), n, dtype=torch.bool)
    for row, places in zip(out, chosen, strict=True):
        row[places] = True
    return out
