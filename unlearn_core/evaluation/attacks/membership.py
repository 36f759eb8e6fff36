"""Membership: do the model's probabilities tell that it was trained on a fact? See `metrics.membership`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from unlearn_core.evaluation.attacks.base import Access, AttackResult, Budget, Estimate, Recovered, Target, outcome
from unlearn_core.evaluation.collect import collect
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.evaluate import evaluation_of
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.evaluation.suite.build import evenly
from unlearn_core.evaluation.table import membership_of
from unlearn_core.vlm import VLM

CHANCE = 0.5
APART = 0.10
"""By so much an AUC may differ from that of the retain-only model: with 40 facts a side, chance alone moves it that far. [ours]"""
GOING = (Split.FORGET_PICTURES, Split.FORGET)
STAYING = (Split.RETAIN_NEAR, Split.RETAIN_FAR)


class Membership:
    name = "membership"
    title = "Membership inference"
    tries = "Tells facts to forget from made-up facts about never-seen people, by four scores of their probabilities."
    access: Access = "probabilities"
    relearns = False
    in_scope = True
    budget = Budget
    effort = 3

    def run(self, target: Target, budget: Budget) -> Job[AttackResult]:
        suite = target.suite
        after = yield from _scores(target.after, suite, budget, GOING)
        stays = yield from _scores(target.after, suite, budget, STAYING)
        gold = None if target.gold is None else (yield from _scores(target.gold, suite, budget, GOING))
        if after is None:
            raise NothingToMeasure(
                "Membership needs facts about never-seen people of the same kind as those to forget."
            )
        worst = max(after, key=lambda key: _distance(after, gold, key))
        return outcome(
            self,
            budget,
            0,
            _recovered(after, worst),
            retain=None if stays is None else _recovered(stays, worst),
            gold=None if gold is None else _recovered(gold, worst),
            unit="answers as AUC, where 50.0% is chance",
            excess=_distance(after, gold, worst),
            allowed=APART,
            notes={"score": worst, "auc": {key: m.value for key, m in after.items()}},
        )


def _distance(after: dict[str, Measured], gold: dict[str, Measured] | None, key: str) -> float:
    """How far an AUC is from that of the retain-only model, or from chance; too low gives membership away as well."""
    return abs(after[key].value - (CHANCE if gold is None else gold[key].value))


def _recovered(scores: dict[str, Measured], worst: str) -> Recovered:
    at = scores[worst]
    mean = Estimate(fmean(m.value for m in scores.values()), None, None, at.count)
    return Recovered(Estimate(at.value, at.low, at.high, at.count), mean)


def _scores(vlm: VLM, suite: Suite, budget: Budget, members: Sequence[Split]) -> Job[dict[str, Measured] | None]:
    """By score, how well it tells members of the first of these splits that there is; None where none is of a made-up kind.

    Raises:
        NothingToMeasure: the suite has no made-up facts.
    """
    if Split.NEVER_SEEN not in suite.splits:
        raise NothingToMeasure("Membership needs matched facts about people whom no model saw.")
    strangers = suite.splits[Split.NEVER_SEEN]
    kinds = {p.example.kind for p in strangers}
    found = next((suite.splits[s] for s in members if s in suite.splits), ())
    matched = evenly([p for p in found if p.example.kind in kinds], budget.facts)
    if not matched:
        return None
    only = Suite(suite.name, {Split.FORGET: tuple(matched), Split.NEVER_SEEN: tuple(evenly(strangers, budget.facts))})
    records = []
    for part in collect(vlm, only.probes):
        records += part
        yield Progress("probabilities", len(records), len(only.probes))
    return membership_of(evaluation_of(records, only, ""), budget.seed)
