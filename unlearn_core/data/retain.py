"""What to keep an eye on while somebody is forgotten: a proposal for people to change. [ours]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.data.example import Example
from unlearn_core.data.likeness import distances
from unlearn_core.vlm.errors import BadRequest


class Why(StrEnum):
    """NEAR: looks to the model most like whom it must forget. OTHER: anybody else. GENERAL: about nobody."""

    NEAR = "near"
    OTHER = "other"
    GENERAL = "general"


@dataclass(frozen=True, eq=False)
class Proposed:
    """An example to retain. `distance` to the nearest picture to forget, in units of spread; None without a picture."""

    example: Example
    why: Why
    distance: float | None


def propose_retain(
    forget: Sequence[Example],
    forget_statistics: Float[Tensor, "n f"],
    pool: Sequence[Example],
    pool_statistics: Sequence[Float[Tensor, " f"] | None],
    *,
    near: int = 5,
    other: int = 10,
    general: int = 40,
    seed: int = 0,
) -> tuple[Proposed, ...]:
    """All that the pool has about the `near` subjects most alike and `other` more, and `general` examples about nobody.

    Args:
        forget_statistics: `token_statistics` of the pictures to forget.
        pool: examples to choose from; those about subjects to forget are never proposed.
        pool_statistics: of each one's picture; None without a picture.
        near, other: numbers of subjects; an example with no subject counts as general.
        general: number of examples.

    Raises:
        BadRequest: nothing in the pool may be kept.
    """
    going = {e.subject for e in forget}
    places = [i for i, e in enumerate(pool) if e.subject is None or e.subject not in going]
    if not places:
        raise BadRequest("There is nobody else to keep in these examples. Please add examples about other people.")
    away = _distances(forget_statistics, [pool_statistics[i] for i in places])
    nearest: dict[str, float] = {}
    for i, distance in zip(places, away, strict=True):
        subject = pool[i].subject
        if subject is not None and distance is not None:
            nearest[subject] = min(distance, nearest.get(subject, distance))
    ranked = sorted(nearest, key=lambda s: (nearest[s], s))
    rng = np.random.default_rng(seed)
    why = dict.fromkeys(ranked[:near], Why.NEAR)
    why |= dict.fromkeys(_some(ranked[near:], other, rng), Why.OTHER)
    about_nobody = set(_some([i for i in places if pool[i].subject is None], general, rng))
    return tuple(
        Proposed(pool[i], why.get(pool[i].subject or "", Why.GENERAL), distance)
        for i, distance in zip(places, away, strict=True)
        if i in about_nobody or pool[i].subject in why
    )


def _distances(forget: Float[Tensor, "n f"], pool: Sequence[Float[Tensor, " f"] | None]) -> list[float | None]:
    """To the nearest picture to forget."""
    shown = [s for s in pool if s is not None]
    if not shown or not len(forget):
        return [None] * len(pool)
    found = iter(distances(forget, torch.stack(shown)).amin(0).tolist())
    return [None if s is None else next(found) for s in pool]


def _some(items: list, count: int, rng: np.random.Generator) -> list:
    """`count` of them at random, in their order."""
    return [items[i] for i in sorted(rng.permutation(len(items))[:count])]
