"""The facts that are attacked, on both sides, and asking for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unlearn_core.evaluation.attacks.base import Attack, AttackResult, Budget, Recovered, Target, outcome, share
from unlearn_core.evaluation.collect import BATCH, Probe
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.evaluation.suite.build import evenly
from unlearn_core.vlm import VLM, Prompt

Tries = Sequence[tuple[Probe, Sequence[Prompt]]]
"""Facts, each with the prompts that may draw it out."""


@dataclass(frozen=True, eq=False)
class Facts:
    """Facts that the model before gives. `unknown` of those to forget were left out because it does not."""

    forget: tuple[Probe, ...]
    retain: tuple[Probe, ...]
    unknown: int


def facts_of(
    target: Target,
    budget: Budget,
    forget: Sequence[Split] = (Split.FORGET_PICTURES, Split.FORGET),
    retain: Sequence[Split] = (Split.RETAIN_NEAR, Split.RETAIN_FAR),
) -> Job[Facts]:
    """Facts from the first split of each side that the suite has, as many of both at most, and of the same kinds.

    By default they are asked on pictures that no fit saw, and the retained people are those who look alike.

    Raises:
        NothingToMeasure: the suite has none to forget, or the model before knew none.
    """
    going = _first(target.suite, forget)
    kinds = {p.example.kind for p in going}
    staying = [p for p in _first(target.suite, retain) if p.example.kind in kinds]
    if not going:
        raise NothingToMeasure("The suite has no questions for this attack.")
    known, unknown = yield from _known(target, going, budget.facts)
    if not known:
        raise NothingToMeasure("There is no fact left to attack: the model knew none of them before.")
    matched, _ = yield from _known(target, staying, len(known))
    return Facts(known, matched, unknown)


def _first(suite: Suite, splits: Sequence[Split]) -> Sequence[Probe]:
    return next((suite.splits[s] for s in splits if s in suite.splits), ())


def _known(target: Target, probes: Sequence[Probe], count: int) -> Job[tuple[tuple[Probe, ...], int]]:
    """At most `count` probes, taken evenly, that the model before answers; and how many of those taken it does not."""
    taken = evenly(probes, count)
    hits = yield from asked(target.before, target.suite, plainly(taken), "what was known")
    known = tuple(p for p, (hit,) in zip(taken, hits, strict=True) if hit)
    return known, len(taken) - len(known)


def plainly(probes: Sequence[Probe]) -> Tries:
    """Each fact asked once, as it is."""
    return [(p, [p.prompt]) for p in probes]


def asked(vlm: VLM, suite: Suite, tries: Tries, phase: str) -> Job[list[list[bool]]]:
    """Per fact and try, whether the model's answer gives the fact away."""
    flat = [(probe, prompt) for probe, prompts in tries for prompt in prompts]
    hits: list[bool] = []
    for at in range(0, len(flat), BATCH):
        part = flat[at : at + BATCH]
        answers = vlm.ask([prompt for _, prompt in part], batch_size=BATCH)
        hits += [suite.gives_away(probe, a.text) for (probe, _), a in zip(part, answers, strict=True)]
        yield Progress(phase, len(hits), len(flat))
    each = iter(hits)
    return [[next(each) for _ in prompts] for _, prompts in tries]


def on_every_model(
    attack: Attack,
    target: Target,
    budget: Budget,
    hits: Callable[[VLM, Sequence[Probe]], Job[list[list[bool]]]],
    notes: dict[str, Any] | None = None,
) -> Job[AttackResult]:
    """The same attack on what is to be forgotten, on matched facts that stay, and on the retain-only model.

    Args:
        hits: attacks one model; for each fact, whether each try drew it out.
    """
    facts = yield from facts_of(target, budget)
    plain = yield from asked(target.after, target.suite, plainly(facts.forget), "without the attack")
    forget = yield from hits(target.after, facts.forget)
    retain = yield from hits(target.after, facts.retain)
    never = [] if target.gold is None else (yield from hits(target.gold, facts.forget))
    return outcome(
        attack,
        budget,
        facts.unknown,
        Recovered.of(forget),
        plain=share([hit for (hit,) in plain]),
        retain=Recovered.of(retain) if retain else None,
        gold=Recovered.of(never) if never else None,
        notes=notes,
    )
