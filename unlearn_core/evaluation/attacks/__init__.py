"""Attacks on an unlearned model: one small file each, one interface, and an audit that also lists what was not tried."""

from __future__ import annotations

from unlearn_core.evaluation.attacks.audit import ATTACKS, Audit, NotRun, Outcome, audit
from unlearn_core.evaluation.attacks.base import Attack, AttackResult, Budget, Estimate, Point, Recovered, Target
from unlearn_core.evaluation.attacks.budgets import LEVELS, Level, budgets_of

__all__ = [
    "ATTACKS",
    "LEVELS",
    "Attack",
    "AttackResult",
    "Audit",
    "Budget",
    "Estimate",
    "Level",
    "NotRun",
    "Outcome",
    "Point",
    "Recovered",
    "Target",
    "audit",
    "budgets_of",
]
