"""What is asked in a full evaluation: named splits of questions, and how to make them from any request."""

from __future__ import annotations

from unlearn_core.evaluation.suite.build import suite_of
from unlearn_core.evaluation.suite.splits import SPLITS, About, Side, Split
from unlearn_core.evaluation.suite.suite import Suite

__all__ = ["SPLITS", "About", "Side", "Split", "Suite", "suite_of"]
