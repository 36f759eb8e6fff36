"""Attacks that only ask: the same question put in other ways, the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from unlearn_core.evaluation.attacks.base import Access, AttackResult, Budget, Recovered, Target, outcome, share
from unlearn_core.evaluation.attacks.facts import Tries, asked, facts_of, plainly
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Job
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.vlm import Prompt


class Asking:
    """Base of the black-box attacks: one method says which prompts may draw out a fact."""

    name: str
    title: str
    tries: str
    access: Access = "questions"
    relearns = False
    in_scope = True
    budget: type[Any] = Budget
    effort = 4
    forget: ClassVar[Sequence[Split]] = (Split.FORGET_PICTURES, Split.FORGET)
    retain: ClassVar[Sequence[Split]] = (Split.RETAIN_NEAR, Split.RETAIN_FAR)

    def prompts(self, probe: Probe, suite: Suite, budget: Any, rng: np.random.Generator) -> Sequence[Prompt]:
        """Prompts for one fact; none leaves the fact out."""
        raise NotImplementedError

    def run(self, target: Target, budget: Any) -> Job[AttackResult]:
        facts = yield from facts_of(target, budget, self.forget, self.retain)
        rng = np.random.default_rng((61, budget.seed))
        going, staying = (self._tries(side, target.suite, budget, rng) for side in (facts.forget, facts.retain))
        if not going:
            raise NothingToMeasure("The suite has not what this attack needs, such as names or other wordings.")
        suite, after, gold = target.suite, target.after, target.gold
        plain = yield from asked(after, suite, plainly([p for p, _ in going]), "without the attack")
        forget = yield from asked(after, suite, going, self.title)
        retain = yield from asked(after, suite, staying, f"{self.title}: people who stay")
        never = [] if gold is None else (yield from asked(gold, suite, going, f"{self.title}: retain-only model"))
        return outcome(
            self,
            budget,
            facts.unknown,
            Recovered.of(forget),
            plain=share([hit for (hit,) in plain]),
            retain=Recovered.of(retain) if retain else None,
            gold=Recovered.of(never) if never else None,
            notes={"tries": len(going[0][1])},
        )

    def _tries(self, probes: Sequence[Probe], suite: Suite, budget: Any, rng: np.random.Generator) -> Tries:
        made = [(p, self.prompts(p, suite, budget, rng)) for p in probes]
        return [(p, prompts) for p, prompts in made if prompts]
