"""FIUBench (arXiv 2411.03554): what is forgotten on one forget set, what stays on `retain5`.

[code] marks what is as in the benchmark's own code; where we differ, [ours] says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearn_core.data.readers import READERS, Row, gather
from unlearn_core.data.readers.fiubench import listed
from unlearn_core.data.readers.source import Source
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.measure import log_ratios
from unlearn_core.evaluation.metrics import distribution, keywords, likelihood, membership, overlap, utility
from unlearn_core.evaluation.metrics.measured import Measured
from unlearn_core.evaluation.protocols.base import (
    Answered,
    Answers,
    Number,
    Numbers,
    Part,
    Rows,
    any_of,
    asked,
    at_most,
    manner,
)

FORGET, RETAIN = "forget", "retain5"
QA, REPHRASED = "questions", "other words"


class FIUBench:
    """Generation alone, each question with the picture."""

    name = "fiubench"
    title = "FIUBench"
    missing: Mapping[str, str] = {
        "GPT-eval": "it asks a paid judge on the network",
        "ACC": "it is yes/no accuracy on MME and POPE, which are data sets of their own",
    }

    def max_new_tokens(self, part: Part) -> int:
        return 50  # [code]

    def rows(self, source: Source, split: str, limit: int | None, seed: int) -> tuple[Rows, int]:
        table = gather(READERS[self.name].read(source, split))
        lists = listed(source)
        forget = at_most(_about(table.rows, lists[split]), limit)
        retain = at_most(_about(table.rows, lists.get(RETAIN, frozenset())), limit)
        rephrased = [_rephrased(row, i) for row in forget for i in range(len(row.example.paraphrases))]
        rows = {Part(FORGET, QA): forget, Part(FORGET, REPHRASED): rephrased, Part(RETAIN, QA): retain}
        return rows, len(table.report.dropped)

    def numbers(self, answers: Answers, gold: Answers | None, seed: int) -> Numbers:
        forget, retain = answers[Part(FORGET, QA)], answers[Part(RETAIN, QA)]
        stays = _stays(retain, seed)
        parts = [m for m in stays.values() if m is not None]
        return {
            **stays,
            Number(RETAIN, "GPT-eval"): None,
            Number(RETAIN, "ACC"): None,
            Number(RETAIN, "utility"): any_of(utility.model_utility, parts, seed=seed),
            **_against(forget, gold),
            Number(FORGET, "EM"): any_of(
                keywords.keyword_match, _said(forget), forget.keywords, "substring", seed=seed
            ),
            Number(FORGET, "EM, whole words (ours)"): any_of(
                keywords.keyword_match, _said(forget), forget.keywords, "word", seed=seed
            ),
            Number(FORGET, "MIA"): any_of(membership.min_k_mix, _tokens(forget), seed=seed),
            **_extraction(forget, answers[Part(FORGET, REPHRASED)], seed),
            **manner(FORGET, forget, seed),
        }


def _about(rows: Sequence[Row], who: frozenset[str]) -> list[Row]:
    return [row for row in rows if row.example.subject in who]


def _rephrased(row: Row, i: int) -> Row:
    return asked(row, row.example.paraphrases[i], id=f"{row.example.id}:{i}")


def first_sentence(answer: str) -> str:
    """Up to and with the first full stop. [code]; an answer without one stays whole [ours]: upstream empties it, so that a
    model that leaves full stops out looks perfectly forgotten."""
    head, stop, _ = answer.partition(".")
    return head + stop


def _said(part: Answered) -> list[str]:
    return [first_sentence(a) for a in part.answers]


def _tokens(part: Answered) -> list[tuple[float, ...]]:
    return [r.true.logprobs for r in part.records]


def _stays(retain: Answered, seed: int) -> dict[Number, Measured | None]:
    """What the utility is the harmonic mean of; with GPT-eval it would be upstream's."""
    return {
        Number(RETAIN, "ROUGE-L"): any_of(overlap.rouge_l_recall, _said(retain), retain.truths, seed=seed),
        Number(RETAIN, "probability"): any_of(likelihood.probability, _tokens(retain), seed=seed),
        Number(RETAIN, "truth ratio"): any_of(
            likelihood.truth_ratio_retain, log_ratios(retain.records), "right/wrong", seed=seed
        ),
        Number(RETAIN, "EM"): any_of(keywords.keyword_match, _said(retain), retain.keywords, "substring", seed=seed),
    }


def _against(forget: Answered, gold: Answers | None) -> dict[Number, Measured | None]:
    mine = log_ratios(forget.records)
    theirs = log_ratios(gold[Part(FORGET, QA)].records) if gold is not None else []
    both = any(r is not None for r in mine) and any(r is not None for r in theirs)
    p, d = distribution.forget_quality(mine, theirs) if both else (None, None)
    return {Number(FORGET, "KS-test, p"): p, Number(FORGET, "KS-test, D"): d}


def _extraction(forget: Answered, rephrased: Answered, seed: int) -> dict[Number, Measured | None]:
    """APE: the answers to each question's other wordings."""
    found: dict[str, list[str]] = {p.example.id: [] for p in forget.probes}
    for probe, answer in zip(rephrased.probes, _said(rephrased), strict=True):
        found[_original(probe)].append(answer)
    said = list(found.values())
    return {
        Number(FORGET, "APE"): any_of(
            keywords.privacy_extraction, said, forget.keywords, "mean", "substring", seed=seed
        ),
        Number(FORGET, "APE, worst wording (ours)"): any_of(
            keywords.privacy_extraction, said, forget.keywords, "worst", "substring", seed=seed
        ),
    }


def _original(probe: Probe) -> str:
    """Id of the question that a wording is of."""
    return probe.example.id.rpartition(":")[0]
