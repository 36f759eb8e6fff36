"""Group the tokens of an answer into words, for display only: attention stays indexed by token position."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from unlearn_core.vlm import Answer

# Kana and Han are written without spaces; a token that begins with one of them is shown by itself.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Word:
    """One word as it is shown, without surrounding space, and the places of its tokens in the answer."""

    text: str
    tokens: tuple[int, ...]


def words(answer: Answer) -> tuple[Word, ...]:
    """The words of an answer, in order; each token belongs to exactly one word. See `join`."""
    return join(answer.pieces)


def join(pieces: Sequence[str]) -> tuple[Word, ...]:
    """Group the texts that tokens add into words (our choice of rules).

    A word begins where there is space, or at a piece that begins with a Han or Kana character. Punctuation belongs to
    the word it touches. A piece that shows nothing (empty, or only space) belongs to the word that follows, and to the
    last word if none does. Works on positions: a word that occurs twice is two words. Pieces of which none shows
    anything give no word.
    """
    groups: list[list[int]] = []
    waiting: list[int] = []
    spaced = True
    for i, piece in enumerate(pieces):
        waiting.append(i)
        spaced = spaced or piece[:1].isspace()
        if not piece.strip():
            continue
        if spaced or not groups or _UNSPACED.match(piece.lstrip()):
            groups.append([])
        groups[-1] += waiting
        waiting, spaced = [], piece[-1].isspace()
    if groups:
        groups[-1] += waiting
    return tuple(Word("".join(pieces[i] for i in group).strip(), tuple(group)) for group in groups)
