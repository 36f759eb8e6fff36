"""Other pictures of the same person, and altered ones: what a gate may fail to recognise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unlearn_core.data.augment import ALTERATIONS, alter
from unlearn_core.evaluation.attacks.asking import Asking
from unlearn_core.evaluation.attacks.base import Budget
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.suite import Suite
from unlearn_core.vlm import Prompt


@dataclass(frozen=True)
class PicturesBudget(Budget):
    """Args:
    draws: how often each kind of alteration is tried on a picture.
    others: other pictures of the same person that are tried.
    """

    draws: int = 1
    others: int = 3


class Pictures(Asking):
    name = "pictures"
    title = "Other and altered pictures"
    tries = "Asks about other pictures of the same person and about crops, mirrored, shrunk, relit, noisy and half-covered ones."
    budget = PicturesBudget
    effort = 10

    def prompts(self, probe: Probe, suite: Suite, budget: PicturesBudget, rng: np.random.Generator) -> Sequence[Prompt]:
        image = probe.example.image
        if image is None:
            return []
        altered = [alter(image, kind, rng) for kind in ALTERATIONS for _ in range(budget.draws)]
        gallery = [i for i in suite.gallery.get(probe.example.subject or "", ()) if i is not image]
        return [Prompt(i, probe.question) for i in (*altered, *gallery[: budget.others])]
