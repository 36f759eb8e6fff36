"""By name: without a picture, and with both. Methods that change only how a model sees keep what it reads, by design."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unlearn_core.evaluation.attacks.asking import Asking
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.suite import Suite
from unlearn_core.vlm import Prompt


class Names(Asking):
    name = "names"
    title = "By name"
    tries = "Tells the model the person's name, once without a picture and once with it."
    in_scope = False

    def prompts(self, probe: Probe, suite: Suite, budget: Any, rng: np.random.Generator) -> Sequence[Prompt]:
        name = suite.names.get(probe.example.subject or "")
        if not name or suite.gives_away(probe, name):
            return []
        question = f"This person is {name}. {probe.question}"
        return [Prompt(None, question), Prompt(probe.example.image, question), *self._texts(probe, suite)]

    def _texts(self, probe: Probe, suite: Suite) -> list[Prompt]:
        """The suite's own questions by name that have the same answer."""
        return [
            p.prompt
            for group in suite.splits.values()
            for p in group
            if p.example.image is None and p.example.subject == probe.example.subject and p.truth == probe.truth
        ][:1]
