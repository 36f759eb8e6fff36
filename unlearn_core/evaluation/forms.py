"""Reading answers to questions that demand a form: one letter of several, or yes or no."""

from __future__ import annotations

import re
from collections.abc import Mapping

from unlearn_core.evaluation.texts import cleaned, folded, holds_words

LETTERS = ("A", "B", "C", "D")
_YES = r"(?:yes|yeah|yep|yup|sure|certainly|definitely|absolutely|indeed|of course|true|correct)"
_NO = r"(?:no|nope|nah|not at all|(?:certainly|definitely|absolutely|of course|surely) not|false|incorrect)"
_BOTH = re.compile(r"^\W*(?:yes\W+(?:and |or )?no|no\W+(?:and |or )?yes)\b")
_NEGATION = r"(?:\bnot|n't|\bnever|\bno)\s+(?:\w+\s+)?\W*$"


def chosen_letter(answer: str, options: Mapping[str, str] | None = None) -> str | None:
    """The option that an answer picks, by its letter or in its words; None if it picks none of them or several.

    Args:
        options: text of each letter. Without it the letters are A to D and only letters count.
    """
    text = cleaned(answer)
    letters = tuple(options) if options else LETTERS
    picked = {letter for letter in letters if _names(text, letter)}
    for letter, words in (options or {}).items():
        if holds_words(_without_denied(text), words):
            picked.add(letter)
    return picked.pop() if len(picked) == 1 else None


def _names(text: str, letter: str) -> bool:
    """A capital that is no article, or a small letter where nothing but a choice can be meant."""
    small, capital = re.escape(letter.lower()), re.escape(letter.upper())
    alone = rf"^\W*{small}\W*$|^\W*\(?{small}\s*[).:](?!\w)|\b(?:answer|option|choice|letter)(?: is|:)?\s*\(?{small}\b(?! \w)"
    if re.search(alone, text.lower()):
        return True
    article = r"(?!\s+(?!(?:is|and|or|because|since|as)\b)[a-z])" if letter.upper() in ("A", "I") else ""
    return any(
        not re.search(_NEGATION, text[: found.start()].lower())
        for found in re.finditer(rf"(?<![\w'-]){capital}(?![\w'-]){article}", text)
    )


def _without_denied(text: str) -> str:
    """The text without the few words that follow a "not"."""
    return re.sub(r"(?:\bnot|n't|\bnever)\s+(?:\w+\s?){1,3}", "", text, flags=re.IGNORECASE)


def yes_or_no(answer: str) -> bool | None:
    """True for yes, False for no, None for neither or both. The first word decides, or the last after "is" or a comma."""
    text = folded(answer)
    if _BOTH.search(text):
        return None
    for says, value in ((_NO, False), (_YES, True)):
        if re.search(rf"^\W*{says}\b", text) or re.search(
            rf"(?:\b(?:is|say|think|believe|guess)\W+|,\s*){says}\W*$", text
        ):
            return value
    return None
