"""The metrics that apply to a group of records, all from the same records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearn_core.evaluation.collect import Probe, Record
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.metrics import behaviour, choice, keywords, likelihood, memory, overlap
from unlearn_core.evaluation.metrics.likelihood import log_truth_ratio
from unlearn_core.evaluation.metrics.measured import LESS_IS_FORGOTTEN, Measured, Metric, mean_of
from unlearn_core.evaluation.status import Status

ANSWERED = Metric(
    "answered",
    "Answered with the truth",
    ("answers",),
    "Share of questions whose true answer the model gives by itself. For strangers the truth is that they are unknown.",
    r"\frac{1}{N}\sum[\mathrm{status}=\mathrm{correct}]",
    LESS_IS_FORGOTTEN,
    "ours",
)


def answered(statuses: Sequence[Status], seed: int = 0) -> Measured:
    """Share answered with the truth, 0..1."""
    return mean_of(ANSWERED, [float(s is Status.CORRECT) for s in statuses], seed=seed)


def log_ratios(records: Sequence[Record]) -> list[float | None]:
    """ln of truth ratio "right/wrong" of each record; the true answer stands in where there is no paraphrased one, as in
    CLEAR. None without wrong answers."""
    return [
        log_truth_ratio((r.paraphrased or r.true).logprobs, [c.logprobs for c in r.perturbed], "right/wrong")
        for r in records
    ]


def measure(
    probes: Sequence[Probe], records: Sequence[Record], statuses: Sequence[Status], seed: int = 0
) -> dict[str, Measured]:
    """Every metric that can be had of these records, by key; one that lacks what it needs is left out."""
    answers, truths = [r.answer for r in records], [r.true.text for r in records]
    true, perturbed = [r.true.logprobs for r in records], [[c.logprobs for c in r.perturbed] for r in records]
    ratios, hits = log_ratios(records), [r.true.greedy for r in records]
    sought = [p.example.keywords for p in probes]
    wanted: list[Callable[[], Measured]] = [
        lambda: answered(statuses, seed),
        lambda: behaviour.refusal_rate(statuses, seed),
        lambda: behaviour.gibberish_rate(statuses, seed),
        lambda: overlap.rouge_l_recall(answers, truths, seed),
        lambda: overlap.rouge_l_f1(answers, truths, seed),
        lambda: overlap.bleu(answers, truths, seed),
        lambda: keywords.keyword_match(answers, sought, "word", seed),
        lambda: keywords.keyword_match(answers, sought, "substring", seed),
        lambda: likelihood.loss(true, seed),
        lambda: likelihood.probability(true, seed),
        lambda: likelihood.normalised_probability(true, perturbed, seed),
        lambda: likelihood.truth_ratio_forget(ratios, seed),
        lambda: likelihood.truth_ratio_retain(ratios, "right/wrong", seed),
        lambda: memory.exact_memorisation(hits, seed),
        lambda: memory.extraction_strength(hits, seed),
    ]
    picks = [(r.answer, p.truth, p.options) for p, r in zip(probes, records, strict=True) if p.options]
    if picks:
        said, keys, options = (list(x) for x in zip(*picks, strict=True))
        wanted.append(lambda: choice.choice_accuracy(said, keys, options, seed))
        wanted.append(lambda: choice.choice_invalid(said, options, seed))
    found = [m for m in map(or_none, wanted) if m is not None]
    return {m.metric: m for m in found}


def or_none(metric: Callable[[], Measured]) -> Measured | None:
    """The metric, or None where no example has what it needs."""
    try:
        return metric()
    except NothingToMeasure:
        return None
