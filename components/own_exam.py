"""An exam about a request of people's own, where there is no collection to take new photographs from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unlearn_core.data.augment import augment
from unlearn_core.data.example import Example, ForgetRequest

MOST = 60
"""Questions of each side; a thorough exam has three times as many."""
ABOUT = (
    "Asked on altered views of the request's own pictures, in its own words: there are no others. "
    "Please try photographs that the fit has not seen, too."
)


def exam(request: ForgetRequest, thorough: bool, seed: int = 0) -> tuple[Example, ...]:
    """Questions of all sides, evenly chosen, each about an altered view of its picture."""
    most = 3 * MOST if thorough else MOST
    rng = np.random.default_rng(seed)
    sides = (
        ("forget private", request.forget),
        ("forget visual", request.keep),
        ("retain private", [e for e in request.retain if e.subject is not None]),
        ("general", [e for e in request.retain if e.subject is None]),
    )
    return tuple(
        replace(e, kind=kind, image=None if e.image is None else augment(e.image, rng))
        for kind, examples in sides
        for e in _evenly(examples, most)
    )


def _evenly(examples: Sequence[Example], most: int) -> list[Example]:
    count = min(len(examples), most)
    return [examples[i * len(examples) // count] for i in range(count)]
