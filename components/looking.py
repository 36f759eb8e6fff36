"""From an answer with its attention rows to what the pages draw: words with their share, and maps on the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from components.gallery import Ask, Shown
from unlearn_core.attention import Word, image_share, picture_map, token_map, words
from unlearn_core.vlm import VLM, Answer, Prompt, Rows

PIXELS_PER_CELL = 4
EVERY = "all"


@dataclass(frozen=True, eq=False)
class Looked:
    """One answered question about one picture, with the attention of its words."""

    shown: Shown
    question: str
    answer: Answer
    words: tuple[Word, ...]

    @property
    def rows(self) -> Rows | None:
        """Attention rows; None where there was no picture or nothing was said."""
        return self.answer.rows if self.words else None

    @property
    def known(self) -> Ask | None:
        """The suggested question that was asked, whose true answer is known."""
        return next((a for a in self.shown.asks if a.question == self.question), None)


def look(vlm: VLM, shown: Shown, question: str) -> Looked:
    """Ask one question about a picture. Raises BadQuestion."""
    answer = vlm.ask([Prompt(shown.image, question)], rows=True)[0]
    return Looked(shown, question, answer, words(answer))


def follow(before: Shown | None, question: str, now: Shown) -> str:
    """The question to ask of a new picture: the same one, in this picture's wording where it was a suggested one."""
    suggested = next((a for a in before.asks if a.question == question), None) if before else None
    if question.strip() and suggested is None:
        return question
    same = next((a for a in now.asks if suggested and a.label == suggested.label), None)
    first = same or next(iter(now.asks), None)
    return first.question if first else question


def only(choice: str, count: int) -> list[int] | None:
    """A choice of layer or head as the library takes it: None for all, or the one, counted from 1 on the page."""
    if choice == EVERY or not choice.isdigit() or not 1 <= int(choice) <= count:
        return None
    return [int(choice) - 1]


def shares(looked: Looked, head: str = EVERY) -> Float[Tensor, "layers words"]:
    """Share of attention on the picture, per layer and word; mean over the word's tokens and the chosen heads."""
    rows = looked.rows
    assert rows is not None
    share = image_share(rows)
    chosen = only(head, share.shape[1])
    share = share.mean(1) if chosen is None else share[:, chosen].mean(1)
    return torch.stack([share[:, list(w.tokens)].mean(1) for w in looked.words], 1)


def heat(looked: Looked, word: int | None, layer: str = EVERY, head: str = EVERY) -> Float[Tensor, "h w"]:
    """Where one word (None: the whole answer) looked, on a small copy of the picture's frame; NaN where nothing was seen."""
    rows, image = looked.rows, looked.shown.image
    assert rows is not None
    assert image is not None
    chosen = looked.words if word is None else (looked.words[word],)
    tokens = [t for w in chosen for t in w.tokens]
    layers, heads = rows.answer.shape[:2]
    values = token_map(rows, tokens, only(layer, layers), only(head, heads))
    return picture_map(values, rows.tiles, frame(image.size, rows))


def frame(size: tuple[int, int], rows: Rows) -> tuple[int, int]:
    """Width and height of a map: a few pixels per visual token are enough, however large the picture is."""
    side = PIXELS_PER_CELL * max(max(t.rows, t.cols) for t in rows.tiles)
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def highest(maps: Sequence[Tensor]) -> float:
    """The upper end of one colour scale for several maps, never 0, so that the scale has a length."""
    return max(max(float(m.nan_to_num(0).max()) for m in maps), 1e-6)
