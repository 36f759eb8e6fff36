"""CLEAR (arXiv 2410.18057): captions and names of fictitious authors, real faces, facts of the world.

[code] marks what is as in the benchmark's own code; where we differ, [ours] says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from unlearn_core.data.readers import READERS, Row, gather
from unlearn_core.data.readers.source import Source
from unlearn_core.evaluation.measure import log_ratios
from unlearn_core.evaluation.metrics import distribution, likelihood, overlap
from unlearn_core.evaluation.metrics.measured import Better, Measured, Metric
from unlearn_core.evaluation.metrics.utility import MODEL_UTILITY, harmonic_mean_of
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

QUESTIONS = 300
"""First so many rows of each part. [code]"""
DESCRIBE = (
    "What can you see in this picture?",
    "Tell me about the content of this image",
    "Can you give a description of the image?",
    "What is depicted in the image?",
    "Explain what you observe in the picture.",
    "Describe the image in detail.",
    "What is the main subject of this image?",
    "Can you describe the scene or objects in the image?",
    "What is happening in this image?",
)
"""One of them is drawn for each caption. [code]"""
WHO = "The name of the person on the image is"

FACES, WORLD = Part("real faces", "name"), Part("real world", "question")
FORGET, FORGET_NAMES = Part("forget", "caption"), Part("forget", "name")
RETAIN, RETAIN_NAMES = Part("retain", "caption"), Part("retain", "name")
TASKS = (FACES, WORLD, RETAIN, RETAIN_NAMES, FORGET, FORGET_NAMES)
IN_SHORT = "in short"

CLOSENESS = Metric(
    "one_minus_jensen_shannon",
    "Forget quality (1 - Jensen-Shannon distance)",
    ("probabilities of perturbed answers", "retain-only model"),
    "1 minus the distance between the truth ratios of the unlearned and the retain-only model on captions to forget.",
    r"1-\mathrm{JS}",
    Better("higher", None),
    "CLEAR; on ln R and in base 2: ours",
)


class CLEAR:
    """The vision-language part of the benchmark; text-only questions are used for training alone."""

    name = "clear"
    title = "CLEAR"
    missing: Mapping[str, str] = {"chrF++": "it is not in the paper's tables, and needs one more package"}

    def max_new_tokens(self, part: Part) -> int:
        return 300  # [code]

    def rows(self, source: Source, split: str, limit: int | None, seed: int) -> tuple[Rows, int]:
        table = gather(READERS[self.name].read(source, split))
        groups: dict[Part, list[Row]] = {task: [] for task in TASKS}
        for row in table.rows:
            part = _part_of(row, split)
            if part is not None:
                groups[part].append(row)
        rng = np.random.default_rng((43, seed))
        rows = {
            part: [_worded(row, part, rng) for row in at_most(group[:QUESTIONS], limit)]
            for part, group in groups.items()
        }
        return rows, len(table.report.dropped)

    def numbers(self, answers: Answers, gold: Answers | None, seed: int) -> Numbers:
        detail = {k: v for task in TASKS for k, v in _of_task(task, answers[task], seed).items()}
        return {
            **_in_short("Real metric", (FACES, WORLD), detail, seed),
            **_in_short("Retain metric", (RETAIN, RETAIN_NAMES), detail, seed),
            **_in_short("Forget metric", (FORGET, FORGET_NAMES), detail, seed),
            Number(IN_SHORT, "Forget quality"): _closeness(answers, gold),
            **detail,
            **manner(str(FORGET), answers[FORGET], seed),
        }


def _part_of(row: Row, split: str) -> Part | None:
    folder, _, rest = row.example.id.partition(":")
    names = rest.endswith("-name")
    return {
        "real_faces": FACES,
        "real_world": WORLD,
        f"{split}_perturbed": FORGET_NAMES if names else FORGET,
        "retain_perturbed": RETAIN_NAMES if names else RETAIN,
    }.get(folder)


def _worded(row: Row, part: Part, rng: np.random.Generator) -> Row:
    if part.kind == "caption":
        return asked(row, DESCRIBE[int(rng.integers(len(DESCRIBE)))])
    return row if part == WORLD else asked(row, WHO)


def _of_task(task: Part, part: Answered, seed: int) -> dict[Number, Measured | None]:
    """Captions: P(y) and the paraphrased caption; names, faces and facts: P(y) among the wrong answers, and the answer itself
    stands for its paraphrase. [code]"""
    true = [r.true.logprobs for r in part.records]
    wrong = [[c.logprobs for c in r.perturbed] for r in part.records]
    ratios = log_ratios(part.records)
    of = str(task)
    return {
        Number(of, "ROUGE-L"): any_of(overlap.rouge_l_recall, part.answers, part.truths, seed=seed),
        Number(of, "probability"): any_of(likelihood.probability, true, seed=seed)
        if task.kind == "caption"
        else any_of(likelihood.normalised_probability, true, wrong, seed=seed),
        Number(of, "truth ratio"): any_of(likelihood.truth_ratio_forget, ratios, seed=seed)
        if task.of == "forget"
        else any_of(likelihood.truth_ratio_retain, ratios, "right/wrong", seed=seed),
    }


def _in_short(name: str, tasks: Sequence[Part], detail: Numbers, seed: int) -> dict[Number, Measured | None]:
    """Harmonic mean of probabilities and truth ratios of two tasks. [code]"""
    parts = [detail[Number(str(task), number)] for task in tasks for number in ("probability", "truth ratio")]
    there = [p for p in parts if p is not None]
    whole = len(there) == len(parts)
    found = harmonic_mean_of(MODEL_UTILITY, there, seed) if whole else None
    return {Number(IN_SHORT, name): None if found is None else replace(found, name=f"{name}, harmonic mean")}


def _closeness(answers: Answers, gold: Answers | None) -> Measured | None:
    mine, theirs = (log_ratios(a[FORGET].records) if a is not None else [] for a in (answers, gold))
    if not any(r is not None for r in mine) or not any(r is not None for r in theirs):
        return None
    distance = distribution.jensen_shannon(mine, theirs)
    return replace(
        distance, metric=CLOSENESS.key, name=CLOSENESS.name, value=1 - distance.value, better=CLOSENESS.better
    )
