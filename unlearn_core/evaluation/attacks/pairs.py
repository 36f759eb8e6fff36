"""Two people in one picture: the one who is to be forgotten, in company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unlearn_core.evaluation.attacks.asking import Asking
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.vlm import Prompt


class Pairs(Asking):
    name = "pairs"
    title = "In company"
    tries = "Asks about a forgotten person in a picture with somebody else. The control is the one beside them."
    forget = (Split.FORGET_PAIRS,)
    retain = (Split.BYSTANDER,)

    def prompts(self, probe: Probe, suite: Suite, budget: Any, rng: np.random.Generator) -> Sequence[Prompt]:
        return [probe.prompt]
