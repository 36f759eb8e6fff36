"""Budgets in three sizes, so that a whole audit can be asked for in a word. [ours]"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

from unlearn_core.evaluation.attacks.audit import ATTACKS

Level = Literal["quick", "standard", "thorough"]
LEVELS: tuple[Level, ...] = get_args(Level)

_RELEARNING = {
    "quick": {"shares": (0.5,), "steps": 10},
    "thorough": {"shares": (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0), "steps": 100},
}
_FACTS = {"quick": 10, "standard": 40, "thorough": 200}
_MORE: dict[str, dict[str, dict[str, Any]]] = {
    "pictures": {"quick": {"others": 1}, "thorough": {"draws": 3, "others": 6}},
    "noise": {"quick": {"steps": 5, "step": 2.0}, "thorough": {"steps": 60, "step": 0.5}},
    "rounding": {"quick": {"bits": (4,)}},
    "probes": {"quick": {"pictures": 4}},
    "relearning": _RELEARNING,
    "relearning_unrelated": _RELEARNING,
}


def budgets_of(level: Level, seed: int = 0) -> dict[str, Any]:
    """The budget of each attack by its name: for a quick look, as a rule, or where it matters.

    A quick look takes a tenth of the time, and can show that a model gives way but hardly that it withstands.
    """
    more = {name: sizes.get(level, {}) for name, sizes in _MORE.items()}
    return {
        name: replace(attack.budget(), facts=_FACTS[level], seed=seed, **more.get(name, {}))
        for name, attack in ATTACKS.items()
    }
