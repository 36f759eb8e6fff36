"""Texts made comparable: what a tokenizer leaves behind is taken off, and words are compared without case and accents."""

from __future__ import annotations

import re
import unicodedata

COMMON = frozenset("a an the this that is are was with and or of from in on at to i he she it person".split())
"""Words too common to give anything away."""

_LEFT_OVER = re.compile(
    r"<\|(?:im_start|start_header_id)\|>\s*\w+"  # the marker of a turn, with the name of who speaks
    r"|<\|[^|<>]*\|>|</?[A-Za-z_]+>|\[/?(?:PAD|BOS|EOS|SEP|CLS|UNK|MASK|INST)\]"
)
_SPEAKER = re.compile(r"^\s*assistant\s*:", re.IGNORECASE)
_NOTHING = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_ALIKE = str.maketrans("\u2018\u2019\u02bc\u2010\u2011\u2012\u2013\u2014\u2212", "'''------")
_ACCENTS = re.compile("[\u0300-\u036f]")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)  # Thai, Lao, Burmese, Khmer, kana, Han: words are not set apart by spaces

_NUMBERS = {
    word: str(i)
    for i, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split()
    )
}


def cleaned(text: str) -> str:
    """The text as a reader sees it: no special tokens, no invisible characters, one kind of quote and dash; case is kept.

    An answer of full stops and white space alone becomes empty.
    """
    seen = _SPEAKER.sub("", _LEFT_OVER.sub(" ", text))
    seen = unicodedata.normalize("NFKC", seen).translate(_NOTHING).translate(_ALIKE)
    seen = " ".join(seen.split())
    return "" if not seen.strip(" .") else seen


def folded(text: str) -> str:
    """`cleaned`, without case and accents; for comparing, not for reading."""
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", cleaned(text).casefold())))


def words(text: str) -> list[str]:
    """Words and numbers of `folded`; number words up to twenty and ordinals become digits, so that 14th and 14 are alike."""
    found: list[str] = re.findall(r"[^\W_]+", re.sub(r"\b(\d+)(?:st|nd|rd|th)\b", r"\1", folded(text)))
    return [_NUMBERS.get(word, word) for word in found]


def content_words(text: str) -> list[str]:
    """`words` without the common ones, or all of them where nothing else is left."""
    every = words(text)
    return [w for w in every if w not in COMMON] or every


def holds_words(text: str, phrase: str) -> bool:
    """Whether `phrase` stands in `text` as whole words: "he" is in "he is", not in "the". Case and accents do not count.

    Scripts that set no spaces between words have no word boundary to look for: there a substring is enough.
    """
    sought = folded(phrase).strip()
    if not sought:
        return False
    left = "" if _UNSPACED.match(sought[0]) else r"(?<!\w)"
    right = "" if _UNSPACED.match(sought[-1]) else r"(?!\w)"
    return re.search(left + re.escape(sought) + right, folded(text)) is not None


def is_unspaced(text: str) -> bool:
    """Whether the text is, at least in part, in a script that sets no spaces between words."""
    return _UNSPACED.search(text) is not None
