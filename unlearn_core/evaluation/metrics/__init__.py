"""Metrics as pure functions of plain data. Each returns a `Measured`; `METRICS` says what each of them means."""

from __future__ import annotations

from unlearn_core.evaluation.metrics import (
    behaviour,
    choice,
    distribution,
    keywords,
    likelihood,
    measured,
    membership,
    memory,
    modality,
    overlap,
    utility,
)
from unlearn_core.evaluation.metrics.measured import Better, Measured, Metric

_GROUPS = (overlap, keywords, likelihood, membership, memory, choice, modality, distribution, utility, behaviour)

METRICS: dict[str, Metric] = {
    found.key: found for group in _GROUPS for found in vars(group).values() if isinstance(found, Metric)
}
"""Every metric by its key, group by group."""

__all__ = [
    "METRICS",
    "Better",
    "Measured",
    "Metric",
    "behaviour",
    "choice",
    "distribution",
    "keywords",
    "likelihood",
    "measured",
    "membership",
    "memory",
    "modality",
    "overlap",
    "utility",
]
