"""Several attacks on one model; what was not tried belongs to the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from unlearn_core.evaluation.attacks.base import Attack, AttackResult, Target
from unlearn_core.evaluation.attacks.hints import Hints
from unlearn_core.evaluation.attacks.membership import Membership
from unlearn_core.evaluation.attacks.names import Names
from unlearn_core.evaluation.attacks.noise import Noise
from unlearn_core.evaluation.attacks.pairs import Pairs
from unlearn_core.evaluation.attacks.personas import Personas
from unlearn_core.evaluation.attacks.phrasings import Phrasings
from unlearn_core.evaluation.attacks.pictures import Pictures
from unlearn_core.evaluation.attacks.probes import Probes
from unlearn_core.evaluation.attacks.relearning import Relearning
from unlearn_core.evaluation.attacks.rounding import Rounding
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Job
from unlearn_core.vlm.errors import BadOption

_ALL: tuple[Attack, ...] = (
    Phrasings(),
    Pictures(),
    Hints(),
    Personas(),
    Names(),
    Pairs(),
    Noise(),
    Rounding(),
    Probes(),
    Membership(),
    Relearning("forget"),
    Relearning("unrelated"),
)
ATTACKS: dict[str, Attack] = {attack.name: attack for attack in _ALL}

BEYOND = {
    "Removing the module": "It brings everything back at once: whoever holds the original weights needs no attack.",
    "Text drawn into the picture": "Questions written as pictures are not implemented here.",
    "One noise for all pictures": "Universal perturbations are not implemented here.",
    "Searched token suffixes": "Suffixes found along gradients of the text are not implemented here.",
    "Training the token encoder or the gate again": "Relearning here trains the model below them.",
    "Several questions in one conversation": "Every question is asked by itself here.",
}
"""Attacks of the field that do not exist here, and why or what that means."""


@dataclass(frozen=True)
class NotRun:
    """An attack that was not run, and the reason in a sentence."""

    title: str
    why: str


Outcome: TypeAlias = AttackResult | NotRun


@dataclass(frozen=True)
class Audit:
    """Results of attacks, and what was not tried."""

    results: tuple[AttackResult, ...]
    not_run: tuple[NotRun, ...]

    def worst_black_box(self) -> AttackResult | None:
        """The attack by questions alone, among those that the methods claim to withstand, that recovers the most."""
        asked = [r for r in self.results if r.access == "questions" and r.in_scope and not r.relearns]
        return max(asked, key=lambda r: r.forget.worst.value, default=None)


def audit(
    target: Target, names: Sequence[str] = tuple(ATTACKS), budgets: Mapping[str, Any] | None = None, seed: int = 0
) -> Job[Audit]:
    """Run these attacks one after another.

    Args:
        budgets: budget by name of attack; the others have their defaults with this `seed`.

    Raises:
        BadOption: there is no attack of that name.
    """
    chosen = [chosen_attack(name) for name in names]
    found: list[Outcome] = []
    for attack in chosen:
        outcome = yield from attempt(target, attack, budget_for(attack, budgets, seed))
        found.append(outcome)
    return audit_of(found, names)


def chosen_attack(name: str) -> Attack:
    """Raises BadOption for an attack that there is not."""
    if name not in ATTACKS:
        raise BadOption(f"There is no attack '{name}'. Please choose among {', '.join(ATTACKS)}.")
    return ATTACKS[name]


def budget_for(attack: Attack, budgets: Mapping[str, Any] | None, seed: int) -> Any:
    """Its own among `budgets`, else the default one with this seed."""
    return (budgets or {}).get(attack.name) or replace(attack.budget(), seed=seed)


def attempt(target: Target, attack: Attack, budget: Any) -> Job[Outcome]:
    """One attack, or why it could not be run."""
    try:
        return (yield from attack.run(target, budget))
    except NothingToMeasure as error:
        return NotRun(attack.title, str(error))


def audit_of(found: Sequence[Outcome], names: Sequence[str]) -> Audit:
    """What came of the attacks of these names, and everything that was not tried."""
    left = [NotRun(a.title, "It was not chosen.") for a in _ALL if a.name not in names]
    failed = [o for o in found if isinstance(o, NotRun)]
    beyond = [NotRun(title, why) for title, why in BEYOND.items()]
    return Audit(tuple(o for o in found if isinstance(o, AttackResult)), (*failed, *left, *beyond))
