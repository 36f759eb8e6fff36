"""Text that nobody could read: loops, rows of consonants, broken bytes. Rules on characters and words (our choice).

What the rules cannot see is a salad of proper words that makes no sense.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from unlearn_core.evaluation.texts import cleaned, folded

_TAIL = 60
"""Words at the end that are looked at for loops: a model that gets stuck stays stuck."""
_BYTES = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_BROKEN = re.compile("\ufffd|\u00ef\u00bf\u00bd|\u00c3[^\\w\\s]|\u00e2[\u201a\u20ac\u201e]")
_FUNCTION = frozenset("a an and as at but by for from in it of on or that the to was which with is".split())
_EAST_ASIAN = {"CJK": "HAN", "HIRAGANA": "HAN", "KATAKANA": "HAN", "HANGUL": "HAN", "FULLWIDTH": "LATIN"}


def is_garbled(text: str) -> bool:
    """Whether a text cannot be read. Empty text is not garbled."""
    if len(_BROKEN.findall(text)) >= 2:
        return True
    shown = _BYTES.sub(" ", cleaned(text)).strip()
    if not cleaned(text):
        return False
    marks = re.findall(r"[^\w\s]|_", shown)
    letters = re.findall(r"[^\W_]", shown)
    if not letters or (len(marks) >= 5 and len(letters) < len(marks) / 3):
        return True
    plain = re.findall(r"[^\W_]+", shown)
    return is_looping([w.casefold() for w in plain]) or _mostly_unreadable(plain)


def is_looping(words: list[str]) -> bool:
    """Whether the end of a text goes round in circles: one word, the same three words, or few different words at all."""
    tail = words[-_TAIL:]
    if len(tail) >= 5 and Counter(tail).most_common(1)[0][1] > len(tail) / 2:
        return True
    triples = Counter(zip(tail, tail[1:], tail[2:], strict=False))
    if triples:
        often = triples.most_common(1)[0][1]
        if often >= 3 and 9 * often >= len(tail):
            return True
    return len(tail) >= 8 and len(set(tail)) <= len(tail) / 3


def _mostly_unreadable(words: list[str]) -> bool:
    odd = [w for w in words if _unreadable(w)]
    if len(odd) > len(words) / 2 and sum(map(len, odd)) >= 4:
        return True
    lone = [w for w in words if len(w) == 1 and w.isalpha()]
    if len(words) >= 6 and len(lone) > 0.8 * len(words):
        return True
    return len(words) >= 6 and all(w.lower() in _FUNCTION for w in words)


def _unreadable(word: str) -> bool:
    """One unit over and over, no vowel, a long row of consonants, capitals or digits strewn about, or scripts mixed in one word."""
    if word.isdigit():
        return len(word) >= 8 and re.fullmatch(r"(.{1,4}?)\1{3,}", word) is not None
    if re.search(r"(.)\1{4,}", word) or re.fullmatch(r"(.{2,6}?)\1{2,}", word):
        return True
    if len(_scripts(word) - {"LATIN"}) > 1 or _scripts(word) >= {"LATIN", "CYRILLIC"}:
        return True
    if len(re.findall(r"[^\W\d]\d", word)) >= 3:
        return True
    if len(word) >= 12 and len(re.findall("[a-z][A-Z]", word)) >= 3:
        return True
    return _scripts(word) == {"LATIN"} and _unpronounceable(word)


def _unpronounceable(word: str) -> bool:
    if word.isupper() and len(word) <= 5:  # an abbreviation
        return False
    bare = folded(word)
    return (len(bare) >= 3 and not re.search("[aeiouy]", bare)) or bool(re.search("[bcdfghjklmnpqrstvwxz]{7,}", bare))


def _scripts(word: str) -> set[str]:
    names = (unicodedata.name(c, "").split(" ")[0].split("-")[0] for c in word if c.isalpha())
    return {_EAST_ASIAN.get(name, name) for name in names}
