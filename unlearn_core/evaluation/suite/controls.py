"""Controls: the same questions with something taken away, so that what is still right was not seen or not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unlearn_core.data.example import distinct_images
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.suite.splits import Split
from unlearn_core.evaluation.suite.suite import Suite


def without_picture(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Each question once, without its picture."""
    asked = {(p.question, p.truth): p for p in probes}
    return tuple(replace(p, example=replace(p.example, image=None)) for p in asked.values())


def shuffled(probes: Sequence[Probe], others: Sequence[Probe], seed: int = 0) -> tuple[Probe, ...]:
    """Each question about the picture of somebody else, drawn from `others`; the truth stays that of the question.

    A question that has the same true answer for the person it is now asked about would be answered rightly, not by chance:
    with short lists of possible answers, read the rate against that of the retain-only model.
    """
    images = distinct_images([p.example for p in others])
    if not images:
        return ()
    rng = np.random.default_rng((31, seed))
    return tuple(replace(p, example=replace(p.example, image=images[int(rng.integers(len(images)))])) for p in probes)


def without_options(probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Multiple-choice questions without their options."""
    return tuple(replace(p, options=None) for p in probes if p.options is not None)


def without_controls(suite: Suite) -> Suite:
    """The same suite for a quick look: without what only serves to read the other numbers by."""
    controls = (Split.NO_PICTURE, Split.SHUFFLED, Split.NO_OPTIONS, Split.NEVER_SEEN)
    return replace(suite, splits={split: probes for split, probes in suite.splits.items() if split not in controls})
