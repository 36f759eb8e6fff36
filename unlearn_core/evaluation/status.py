"""Sort an answer into correct, wrong, refusal, gibberish, empty or format error. Rules, not a model; version 2 (our choice).

How strictly depends on what the question demands (`Form`). Word for word is for questions whose answers and refusals are
known beforehand, as in the demo; its rules are those of version 1. The other forms read answers as a person would.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from unlearn_core.evaluation.forms import chosen_letter, yes_or_no
from unlearn_core.evaluation.gibberish import is_garbled
from unlearn_core.evaluation.refusals import declines
from unlearn_core.evaluation.texts import cleaned, content_words, folded, is_unspaced, words

RULES_VERSION = 2

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
    FORMAT_ERROR = "format error"


class Form(StrEnum):
    """What a question demands of its answer.

    EXACT: the true answer word for word. FREE: the true answer in whatever words. CHOICE: one of the options.
    YES_NO: yes or no.
    """

    EXACT = "exact"
    FREE = "free"
    CHOICE = "choice"
    YES_NO = "yes/no"


def normalise(text: str) -> str:
    """Lower case, plain apostrophes, one space between words, no full stop at the end."""
    return " ".join(text.lower().replace("\u2019", "'").split()).rstrip(".")


def status(
    answer: str,
    truth: str,
    refusals: Sequence[str] = (),
    form: Form = Form.EXACT,
    options: Mapping[str, str] | None = None,
) -> Status:
    """Where an answer stands.

    Args:
        truth: the true answer; for CHOICE its letter. A truth that is a refusal is correct when refused.
        refusals: sentences that count as refusals, beside those the rules know.
        form: what the question demands. FORMAT_ERROR is given for CHOICE and YES_NO only, to an answer that can be read
            and does not refuse but picks none of the options, or several.
        options: text of each letter, for CHOICE; an answer may then give the text instead of the letter.
    """
    if form is Form.EXACT:
        return _word_for_word(answer, truth, refusals)
    if not cleaned(answer):
        return Status.EMPTY
    if words(answer) != words(truth) and is_garbled(answer):
        return Status.GIBBERISH
    refused = _listed(answer, refusals) or declines(answer)
    if form is Form.FREE:
        return _free(answer, truth, refused, _listed(truth, refusals) or declines(truth))
    if form is Form.YES_NO and refused:  # "No, I cannot tell" begins with a no that is none
        return Status.REFUSAL
    picked, right = _picks(answer, truth, form, options)
    if picked is None:
        return Status.REFUSAL if refused else Status.FORMAT_ERROR
    return Status.CORRECT if picked == right else Status.WRONG


def _picks(answer: str, truth: str, form: Form, options: Mapping[str, str] | None) -> tuple[object, object]:
    if form is Form.CHOICE:
        return chosen_letter(answer, options), chosen_letter(truth, options)
    return yes_or_no(answer), yes_or_no(truth)


# -- word for word ----------------------------------------------------------------------------------------------------


def _word_for_word(answer: str, truth: str, refusals: Sequence[str]) -> Status:
    """Version 1: `correct` is equality after `normalise`."""
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
    return _listed(text, refusals) or normalise(text).startswith(REFUSALS)


def _listed(text: str, refusals: Sequence[str]) -> bool:
    return normalise(text) in {normalise(r) for r in refusals}


def is_gibberish(text: str) -> bool:
    """No letter or digit at all, one word making up most of five or more, or the same three words three times over."""
    words = re.findall(r"\w+", text.lower())
    if not words:
        return True
    if len(words) >= 5 and Counter(words).most_common(1)[0][1] > len(words) / 2:
        return True
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    return bool(triples) and triples.most_common(1)[0][1] >= 3


# -- free answers -----------------------------------------------------------------------------------------------------

_NEGATIONS = frozenset("not no never nor neither isnt wasnt".split())
_REACH = 3
"""Words after a negation that it denies, within one clause."""


def _free(answer: str, truth: str, refused: bool, refusal_is_true: bool) -> Status:
    if refusal_is_true:
        return Status.CORRECT if refused else Status.WRONG
    if states(answer, truth):
        return Status.CORRECT
    return Status.REFUSAL if refused else Status.WRONG


def states(answer: str, truth: str) -> bool:
    """Whether a free answer gives the truth away: all of its words that are not common, in any order, none of them denied.

    A number of five digits or more has to be there as it is, whatever stands between its digits. An answer that says it is
    not sure and then says it has said it.
    """
    said = yes_or_no(truth)
    if said is not None and len(words(truth)) == 1:
        return yes_or_no(answer) is said
    if is_unspaced(truth):
        return folded(truth).strip(" .") in folded(answer)
    number = _digits(truth)
    if len(number) >= 5 and not re.search(r"[^\W\d_]", folded(truth)):
        return any(_digits(run).endswith(number) for run in re.findall(r"\d[\d\s().-]*", folded(answer)))
    return set(content_words(truth)) <= _asserted(answer)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _asserted(answer: str) -> set[str]:
    """Words of an answer but for those that a negation in front of them denies."""
    out: set[str] = set()
    for clause in re.split(r"[.,;:!?]", re.sub(r"n't\b", " not", folded(answer))):
        said = [w for w in words(clause) if w not in ("a", "an", "the")]
        out |= {w for i, w in enumerate(said) if not _NEGATIONS & set(said[max(0, i - _REACH) : i])}
    return out
