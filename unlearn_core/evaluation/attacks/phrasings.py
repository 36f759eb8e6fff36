"""Other words for the same question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unlearn_core.evaluation.attacks.asking import Asking
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.suite import Suite
from unlearn_core.vlm import Prompt


class Phrasings(Asking):
    name = "phrasings"
    title = "Other phrasings"
    tries = "Asks the same question in every other wording that the suite has."

    def prompts(self, probe: Probe, suite: Suite, budget: Any, rng: np.random.Generator) -> Sequence[Prompt]:
        return [Prompt(probe.example.image, text) for text in probe.rephrased]
