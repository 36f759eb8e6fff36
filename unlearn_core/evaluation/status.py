"""Sort an answer into correct, wrong, refusal, gibberish or empty. Rules, not a model; version 1 (our choice)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

RULES_VERSION = 1

REFUSALS = (
    "i do not know",
    "i don't know",
    "i cannot",
    "i can't",
    "i am not able",
    "i'm not able",
    "i am unable",
    "i'm unable",
    "i have no information",
    "i won't",
    "sorry",
    "unknown to me",
)


class Status(StrEnum):
    CORRECT = "correct"
    WRONG = "wrong"
    REFUSAL = "refusal"
    GIBBERISH = "gibberish"
    EMPTY = "empty"


def normalise(text: str) -> str:
    """Lower case, plain apostrophes, one space between words, no full stop at the end."""
    return " ".join(text.lower().replace("\u2019", "'").split()).rstrip(".")


def status(answer: str, truth: str, refusals: Sequence[str] = ()) -> Status:
    """Where an answer stands. `correct` is equality after `normalise`; a truth that is a refusal is correct when refused."""
    got = normalise(answer)
    if not got:
        return Status.EMPTY
    if got == normalise(truth):
        return Status.CORRECT
    if is_refusal(got, refusals):
        return Status.REFUSAL
    return Status.GIBBERISH if is_gibberish(got) else Status.WRONG


def is_refusal(text: str, refusals: Sequence[str] = ()) -> bool:
    """One of `refusals` word for word, or an answer that begins as refusals do."""
    said = normalise(text)
    return said in {normalise(r) for r in refusals} or said.startswith(REFUSALS)


def is_gibberish(text: str) -> bool:
    """No letter or digit at all, one word making up most of five or more, or the same three words three times over."""
    words = re.findall(r"\w+", text.lower())
    if not words:
        return True
    if len(words) >= 5 and Counter(words).most_common(1)[0][1] > len(words) / 2:
        return True
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    return bool(triples) and triples.most_common(1)[0][1] >= 3
