"""Evaluations set side by side: before, after, baselines and the retain-only model in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, harmonic_mean, stdev

from unlearn_core.evaluation.collect import Record
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.evaluate import Evaluation, known
from unlearn_core.evaluation.measure import answered, log_ratios, measure, or_none
from unlearn_core.evaluation.metrics import distribution, membership
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.metrics.utility import model_utility
from unlearn_core.evaluation.suite import SPLITS, Side, Split

SCORES = (membership.MIN_K, membership.MIN_K_PP, membership.LOSS_AUC, membership.ZLIB_AUC)
"""What may tell members from people whom no model saw."""


@dataclass(frozen=True)
class Row:
    """One model on one split.

    Args:
        count: questions that went in. unknown: questions left out because the model before could not answer them.
        measures: metrics by key; empty where no question is left.
    """

    model: str
    split: Split
    count: int
    unknown: int
    measures: dict[str, Measured]


@dataclass(frozen=True)
class Summary:
    """One model in a few numbers.

    Args:
        leaked: share of the facts to forget that it still gives, over all splits of that side; 0..1, lower is better.
        kept: harmonic mean over the splits of what must stay, 0..1, of the share answered; higher is better.
        overall: harmonic mean of 1 - leaked and kept, 0..1.
        against: metrics that need the retain-only model or never-seen subjects, by key; empty without them.
    """

    model: str
    leaked: Measured
    kept: Measured | None
    overall: float | None
    against: dict[str, Measured]


@dataclass(frozen=True)
class Table:
    """Rows by model and split, and a summary of each model."""

    rows: tuple[Row, ...]
    summaries: tuple[Summary, ...]

    def summary(self, model: str) -> Summary:
        """That of one model."""
        return next(s for s in self.summaries if s.model == model)


def table(
    before: Evaluation, others: Sequence[Evaluation], retain_only: Evaluation | None = None, seed: int = 0
) -> Table:
    """All evaluations of one suite.

    Args:
        before: of the original model, whose right answers say what could be forgotten or kept at all.
        retain_only: of a model that never saw what is to be forgotten.

    Raises:
        NothingToMeasure: the original model knew nothing of what is to be forgotten.
    """
    everyone = [before, *others, *([] if retain_only is None else [retain_only])]
    counts = known(before)
    if not any(any(counts[s]) for s in _of_side(before, Side.FORGET)):
        raise NothingToMeasure(
            "The model did not know any of what is to be forgotten, so there is nothing to measure. "
            "Please look at its answers before unlearning."
        )
    rows = tuple(_row(e, split, counts[split], seed) for e in everyone for split in e.splits)
    return Table(rows, tuple(_summary(e, counts, retain_only, seed) for e in everyone))


def _row(evaluation: Evaluation, split: Split, counts: Sequence[bool], seed: int) -> Row:
    probes, records = evaluation.suite.splits[split], evaluation.splits[split]
    at = [i for i, yes in enumerate(counts) if yes]
    statuses = [evaluation.statuses[split][i] for i in at]
    measures = measure([probes[i] for i in at], [records[i] for i in at], statuses, seed)
    return Row(evaluation.model, split, len(at), len(counts) - len(at), measures)


def _of_side(evaluation: Evaluation, side: Side) -> list[Split]:
    return [split for split in evaluation.splits if SPLITS[split].side is side]


# -- summaries --------------------------------------------------------------------------------------------------------


def _summary(
    evaluation: Evaluation, counts: Mapping[Split, Sequence[bool]], retain_only: Evaluation | None, seed: int
) -> Summary:
    def of(splits: Sequence[Split]) -> Measured:
        pairs = [p for s in splits for p in zip(evaluation.statuses[s], counts[s], strict=True)]
        return answered([status for status, counted in pairs if counted], seed)

    leaked = of(_of_side(evaluation, Side.FORGET))
    parts = [of([s]) for s in _of_side(evaluation, Side.RETAIN) if any(counts[s])]
    kept = model_utility(parts, seed) if parts else None
    overall = None if kept is None else harmonic_mean([1 - leaked.value, kept.value])
    return Summary(evaluation.model, leaked, kept, overall, against(evaluation, retain_only, seed))


def against(evaluation: Evaluation, retain_only: Evaluation | None, seed: int = 0) -> dict[str, Measured]:
    """What can only be measured against a retain-only model or never-seen subjects, by key."""
    out = membership_of(evaluation, seed) | found_at_one_percent(evaluation, seed)
    if retain_only is not None:
        out |= _priv_leak(evaluation, retain_only, seed)
        mine, gold = (log_ratios(e.splits[Split.FORGET]) for e in (evaluation, retain_only))
        if any(r is not None for r in mine):
            p, d = distribution.forget_quality(mine, gold)
            out |= {m.metric: m for m in (p, d, distribution.jensen_shannon(mine, gold))}
    return out


def membership_of(evaluation: Evaluation, seed: int = 0) -> dict[str, Measured]:
    """How well four scores tell facts to forget from made-up facts about never-seen people, by key.

    Members are asked on pictures that no fit saw where there are some; empty without never-seen people.
    """
    members, strangers = _members(evaluation), evaluation.splits.get(Split.NEVER_SEEN, ())
    if not strangers:
        return {}
    inside, outside = _scores(members), _scores(strangers)
    return {
        metric.key: membership.membership_auc(metric, inside[metric.key], outside[metric.key], seed=seed)
        for metric in SCORES
    }


def found_at_one_percent(evaluation: Evaluation, seed: int = 0) -> dict[str, Measured]:
    """Share of members that each of the four scores finds where one stranger in a hundred passes, by key.

    Empty without never-seen people.
    """
    members, strangers = _members(evaluation), evaluation.splits.get(Split.NEVER_SEEN, ())
    if not strangers:
        return {}
    inside, outside = _scores(members), _scores(strangers)
    return {
        f"{membership.TPR.key}_{metric.key}": membership.tpr_at_fpr(
            inside[metric.key], outside[metric.key], of=metric.name, seed=seed
        )
        for metric in SCORES
    }


def _priv_leak(evaluation: Evaluation, gold: Evaluation, seed: int) -> dict[str, Measured]:
    """Empty without never-seen people, and where the retain-only model tells them from the forgotten without fail."""
    scores = [
        [membership.min_k(r.true.logprobs, membership.PRIV_LEAK_SHARE) for r in records]
        for e in (evaluation, gold)
        for records in (_members(e), e.splits.get(Split.NEVER_SEEN, ()))
    ]
    found = or_none(lambda: membership.priv_leak(*scores, seed=seed))
    return {} if found is None else {found.metric: found}


def _members(evaluation: Evaluation) -> Sequence[Record]:
    return evaluation.splits.get(Split.FORGET_PICTURES) or evaluation.splits[Split.FORGET]


def _scores(records: Sequence[Record]) -> dict[str, list[float | None]]:
    true = [r.true for r in records]
    return {
        membership.MIN_K.key: [membership.min_k(t.logprobs) for t in true],
        membership.MIN_K_PP.key: [membership.min_k_plus_plus(t.logprobs, t.means, t.stds) for t in true],
        membership.LOSS_AUC.key: [membership.loss_score(t.logprobs) for t in true],
        membership.ZLIB_AUC.key: [membership.zlib_score(t.logprobs, t.text) for t in true],
    }


# -- seeds ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """A number over several seeds: its mean, and its standard deviation (n - 1), None for a single seed."""

    mean: float
    std: float | None
    seeds: int


def over_seeds(summaries: Sequence[Summary]) -> dict[str, Spread]:
    """`leaked`, `kept` and `overall` of one model over summaries from different seeds; what a seed lacks is left out."""
    values = {
        "leaked": [s.leaked.value for s in summaries],
        "kept": [s.kept.value for s in summaries if s.kept is not None],
        "overall": [s.overall for s in summaries if s.overall is not None],
    }
    return {
        name: Spread(fmean(found), stdev(found) if len(found) > 1 else None, len(found))
        for name, found in values.items()
        if found
    }
