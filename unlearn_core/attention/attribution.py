"""What each visual token contributes to an answer's log-probability, by taking tokens away: slower than a look at the
attention, and no guess. The work is captum's; here it is cut into pieces that can be watched and cancelled.

captum is imported where it is used: it brings matplotlib with it, which takes seconds that most sessions need not wait.

A token that is away is the mean token of the picture (`Scorer.blank`). On a tiny model a baseline of zeros was far from
complete even with 256 steps; with the mean token 16 were exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.attention.scoring import Scorer
from unlearn_core.vlm import Tile

BATCH = 16
STEPS = 16
SEGMENTS = 8
SAMPLES = 24
REGIONS = 4


@dataclass(frozen=True, eq=False)
class Attribution:
    """Contributions to the answer's log-probability, in nats; negative ones stand against the answer.

    Args:
        values: what is known of each visual token so far; NaN where nothing is.
        done, total: units of work.
    """

    values: Float[Tensor, " n"]
    done: int
    total: int


def ablation(score: Scorer, batch_size: int = BATCH) -> Iterator[Attribution]:
    """What the answer loses without each single visual token: n passes, `batch_size` at a time."""
    from captum.attr import FeatureAblation

    n = len(score.tokens)
    values = torch.full((n,), float("nan"))
    for part in torch.arange(n).split(batch_size):
        yield Attribution(values.clone(), int(part[0]), n)
        own = score.tokens[part][None]

        def put(tokens: Float[Tensor, "b k d"], part: Int[Tensor, " k"] = part) -> Float[Tensor, " b"]:
            return score(score.tokens.expand(len(tokens), -1, -1).index_copy(1, part.to(tokens.device), tokens))

        mask = torch.arange(len(part), device=own.device).view(1, -1, 1).expand_as(own).contiguous()
        with torch.no_grad():
            effects = FeatureAblation(put).attribute(
                own, score.blank.expand_as(own), feature_mask=mask, perturbations_per_eval=batch_size
            )
        values[part] = effects[0, :, 0].float().cpu()
    yield Attribution(values, n, n)


def integrated_gradients(score: Scorer, steps: int = STEPS, segments: int = SEGMENTS) -> Iterator[Attribution]:
    """Integrated gradients from the blank picture to the picture; the values sum to what all tokens together contribute.

    The path is walked in `segments`, whose integrals add up, with `steps` points in all.
    """
    from captum.attr import IntegratedGradients

    ends = torch.linspace(0, 1, segments + 1, device=score.tokens.device)
    blank, whole = score.blank.expand_as(score.tokens)[None], score.tokens[None]
    values = torch.zeros(len(score.tokens))
    for i, (start, end) in enumerate(pairwise(ends)):
        yield Attribution(values.clone(), i, segments)
        points = [torch.lerp(blank, whole, x) for x in (end, start)]
        with torch.enable_grad():
            part = IntegratedGradients(score).attribute(
                *points, n_steps=max(1, steps // segments), method="gausslegendre", internal_batch_size=BATCH
            )
        values += part[0].detach().sum(-1).float().cpu()
    yield Attribution(values, segments, segments)


def shapley(
    score: Scorer, tiles: Sequence[Tile], regions: int = REGIONS, samples: int = SAMPLES, seed: int = 0
) -> Iterator[Attribution]:
    """Sampled Shapley values of regions x regions parts of the picture; each token has its share of its region's value.

    The fairest of the three and the slowest: regions squared passes for each sample. Tokens that lie nowhere on the
    picture are a region of their own.
    """
    from captum.attr import ShapleyValueSampling

    group = region_of(len(score.tokens), tiles, regions)
    whole, blank = score.tokens[None], score.blank.expand_as(score.tokens)[None]
    mask = group.to(whole.device).view(1, -1, 1).expand_as(whole).contiguous()
    size = group.bincount()[group]
    total = torch.zeros(len(group))
    generator = torch.Generator().manual_seed(seed)
    sampling = ShapleyValueSampling(score)
    # By itself it would draw from the generator that fits which run beside it use too.
    sampling.permutation_generator = lambda num_features, num_samples: [
        torch.randperm(num_features, generator=generator).tolist() for _ in range(num_samples)
    ]
    for i in range(samples):
        yield Attribution(total / (size * max(1, i)), i, samples)
        with torch.no_grad():
            found = sampling.attribute(whole, blank, feature_mask=mask, n_samples=1, perturbations_per_eval=BATCH)
        total += found[0, :, 0].float().cpu()
    yield Attribution(total / (size * samples), samples, samples)


def region_of(n: int, tiles: Sequence[Tile], regions: int) -> Int[Tensor, " n"]:
    """The region of the picture in which each of n visual tokens has its centre, numbered from 0 without gaps."""
    group = torch.full((n,), regions * regions)
    for tile in tiles:
        for i, place in enumerate(tile.index.tolist()):
            x0, y0, x1, y1 = tile.cell_box(*divmod(i, tile.cols))
            col, row = (min(regions - 1, max(0, int((a + b) / 2 * regions))) for a, b in ((x0, x1), (y0, y1)))
            group[place] = row * regions + col
    return group.unique(return_inverse=True)[1]


METHODS: dict[str, Callable[[Scorer, Sequence[Tile]], Iterator[Attribution]]] = {
    "ablation": lambda score, tiles: ablation(score),
    "integrated gradients": lambda score, tiles: integrated_gradients(score),
    "Shapley values": lambda score, tiles: shapley(score, tiles),
}
"""Attributions by name, all with the same arguments."""
