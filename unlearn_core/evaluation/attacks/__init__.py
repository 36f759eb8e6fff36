"""Attacks on an unlearned model: one small file each, one interface, and an audit that also lists what was not tried."""

from __future__ import annotations

from unlearn_core.evaluation.attacks.audit import ATTACKS, Audit, NotRun, audit
from unlearn_core.evaluation.attacks.base import Attack, AttackResult, Budget, Estimate, Point, Recovered, Target

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackResult",
    "Audit",
    "Budget",
    "Estimate",
    "NotRun",
    "Point",
    "Recovered",
    "Target",
    "audit",
]
