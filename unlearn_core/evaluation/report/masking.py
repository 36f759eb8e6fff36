"""Names and private answers covered up, so that a report can be shown to people who must not learn them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from unlearn_core.evaluation.suite import SPLITS, Side, Split, Suite
from unlearn_core.evaluation.texts import COMMON

MASK = "█████"
LEAST = 3
"""Parts of a name or an answer that are shorter are left standing by themselves: they would cover half of the text."""


def masked(data: dict[str, Any], suite: Suite) -> dict[str, Any]:
    """A report's data without the names of those to forget, and without the true answers about them.

    Words of a name or an answer are covered in any case; in the limits, which are ordinary sentences, only names are.
    Nothing else in a report is made of what a user or a model wrote: numbers, splits, metrics and verdicts stay.
    """
    names = [suite.names.get(s, s) for s in suite.subjects] + list(suite.subjects)
    answers = [
        p.truth
        for split, probes in suite.splits.items()
        if SPLITS[split].side is Side.FORGET or split is Split.FORGET_TEXT
        for p in probes
    ]
    public, private = _pattern(names), _pattern([*names, *answers])
    return {
        **data,
        "header": {field: _covered(value, private) for field, value in data["header"].items()},
        "data": {**data["data"], "suite": private.sub(MASK, data["data"]["suite"])},
        "limits": _covered(data["limits"], public),
        "examples": [_example(example, private) for example in data["examples"]],
    }


def _example(example: dict[str, str], pattern: re.Pattern[str]) -> dict[str, str]:
    said = ("question", "truth", "before", "after")
    return {field: pattern.sub(MASK, text) if field in said else text for field, text in example.items()}


def _pattern(secrets: Iterable[str]) -> re.Pattern[str]:
    parts = {part for secret in secrets for part in (secret.strip(" ."), *re.findall(r"[\w-]+", secret))}
    kept = sorted((p for p in parts if len(p) >= LEAST and p.lower() not in COMMON), key=len, reverse=True)
    return re.compile("|".join(rf"(?<!\w){re.escape(p)}(?!\w)" for p in kept) or r"(?!)", re.IGNORECASE)


def _covered(value: Any, pattern: re.Pattern[str]) -> Any:
    """Texts and names of fields, at every depth."""
    if isinstance(value, str):
        return pattern.sub(MASK, value)
    if isinstance(value, dict):
        return {pattern.sub(MASK, k): _covered(v, pattern) for k, v in value.items()}
    return [_covered(v, pattern) for v in value] if isinstance(value, list) else value
