"""From an answer with its attention rows to what the pages draw: words with their share, and maps on the picture."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from components.gallery import Ask, Shown
from unlearn_core.attention import (
    Scorer,
    Word,
    frame,
    generic_rows,
    gradient_rows,
    image_share,
    picture_map,
    relative,
    token_map,
    words,
)
from unlearn_core.attention.attribution import METHODS
from unlearn_core.attention.sinks import sinks, without
from unlearn_core.vlm import VLM, Answer, Prompt, Rows

MAP_BYTES = 64 * 2**20
"""Bytes of the maps of one answer that took work to make; those used longest ago are let go."""


@dataclass(frozen=True)
class Kind:
    """A kind of map.

    Args:
        label: what the list calls it.
        unit: what stands at the colour bar.
        hover: how one value is written, in Plotly's form.
        signed: values lie on both sides of 0.
        heads: layers and heads can be chosen.
        slow: it takes one pass of the model for every few patches.
    """

    label: str
    unit: str
    hover: str
    signed: bool = False
    heads: bool = True
    slow: bool = False


ATTENTION, RELATIVE, GRADIENT = "attention", "relative", "gradient"
_NATS: Any = {"unit": "nats of the words' log-probability", "hover": "%{z:+.4f} nats", "signed": True, "heads": False}
KINDS = {
    ATTENTION: Kind("attention", "share of attention", "%{z:.3%} of the attention"),
    RELATIVE: Kind(
        "against a generic question", "log₂ of times as much", "2 to the %{z:+.2f} times as much", signed=True
    ),
    GRADIENT: Kind("gradient × attention", "nats gained", "%{z:.5f} nats"),
    "ablation": Kind("loss without each patch", slow=True, **_NATS),
    "integrated gradients": Kind("integrated gradients", slow=True, **_NATS),
    "Shapley values": Kind("Shapley values, 16 regions", slow=True, **_NATS),
}


@dataclass(frozen=True)
class Choice:
    """What is chosen for a map. Nothing chosen stands for all.

    Args:
        words, layers, heads: places, counted from 0.
        hide: leave attention sinks out.
        place: a point of the picture, in parts of its width and height, to see which words looked there.
    """

    words: tuple[int, ...] = ()
    layers: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    kind: str = ATTENTION
    hide: bool = False
    place: tuple[float, float] | None = None

    def of(self, looked: Looked) -> Choice:
        """The choice without what this answer does not have."""
        layers, heads = (0, 0) if looked.rows is None else looked.rows.answer.shape[:2]
        return replace(
            self,
            words=tuple(w for w in self.words if w < len(looked.words)),
            layers=tuple(x for x in self.layers if x < layers),
            heads=tuple(x for x in self.heads if x < heads),
        )


EVERYTHING = Choice()
"""The attention of the whole answer, of all layers and heads."""


class Maps:
    """Maps by name, with a limit to their bytes: the one used longest ago goes first, the newest never."""

    def __init__(self, limit: int = MAP_BYTES) -> None:
        self._limit = limit
        self._kept: OrderedDict[Any, Rows | Tensor] = OrderedDict()

    def __contains__(self, name: Any) -> bool:
        return name in self._kept

    def put(self, name: Any, made: Rows | Tensor) -> None:
        self._kept[name] = made
        self._kept.move_to_end(name)
        while self.nbytes() > self._limit and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def get(self, name: Any) -> Any:
        """Raises KeyError if it was never made, or let go."""
        self._kept.move_to_end(name)
        return self._kept[name]

    def nbytes(self) -> int:
        return sum(x.nbytes() if isinstance(x, Rows) else x.nbytes for x in self._kept.values())


@dataclass(frozen=True, eq=False)
class Looked:
    """One answered question about one picture, with the attention of its words.

    Args:
        model: reference of the model that was asked.
        maps: what was computed for this answer since.
    """

    shown: Shown
    question: str
    answer: Answer
    words: tuple[Word, ...]
    model: str = ""
    maps: Maps = field(default_factory=Maps)

    @property
    def rows(self) -> Rows | None:
        """Attention rows; None where there was no picture or nothing was said."""
        return self.answer.rows if self.words else None

    @property
    def prompt(self) -> Prompt:
        return Prompt(self.shown.image, self.question)

    @property
    def known(self) -> Ask | None:
        """The suggested question that was asked, whose true answer is known."""
        return next((a for a in self.shown.asks if a.question == self.question), None)

    def nbytes(self) -> int:
        """Bytes of all rows and maps."""
        return self.maps.nbytes() + (0 if self.answer.rows is None else self.answer.rows.nbytes())


def look(vlm: VLM, shown: Shown, question: str, model: str = "", before: Looked | None = None) -> Looked:
    """Ask one question about a picture. What was made for the same picture and model `before` is used again.

    Raises BadQuestion.
    """
    answer = vlm.ask([Prompt(shown.image, question)], rows=True)[0]
    looked = Looked(shown, question, answer, words(answer), model)
    if before is not None and before.shown is shown and before.model == model and RELATIVE in before.maps:
        looked.maps.put(RELATIVE, before.maps.get(RELATIVE))
    return looked


def follow(before: Shown | None, question: str, now: Shown) -> str:
    """The question to ask of a new picture: the same one, in this picture's wording where it was a suggested one."""
    suggested = next((a for a in before.asks if a.question == question), None) if before else None
    if question.strip() and suggested is None:
        return question
    same = next((a for a in now.asks if suggested and a.label == suggested.label), None)
    first = same or next(iter(now.asks), None)
    return first.question if first else question


# -- numbers --------------------------------------------------------------------------------------------------------------


def tokens_of(looked: Looked, places: Sequence[int]) -> list[int]:
    """The answer's tokens that belong to some of its words (none: all)."""
    chosen = [looked.words[w] for w in places] if places else looked.words
    return [t for word in chosen for t in word.tokens]


def shares(looked: Looked, heads: Sequence[int] = ()) -> Float[Tensor, "layers words"]:
    """Share of attention on the picture, per layer and word; mean over the word's tokens and the chosen heads."""
    rows = looked.rows
    assert rows is not None
    share = image_share(rows)
    share = (share[:, list(heads)] if heads else share).mean(1)
    return torch.stack([share[:, list(w.tokens)].mean(1) for w in looked.words], 1)


def by_word(looked: Looked, values: Float[Tensor, "*parts tokens"]) -> Float[Tensor, "*parts words"]:
    """Means over the tokens of each word."""
    return torch.stack([values[..., list(w.tokens)].mean(-1) for w in looked.words], -1)


def name_of(choice: Choice) -> Any:
    """Under which name the maps of an answer hold what this choice needs; None if it needs nothing."""
    if choice.kind == ATTENTION:
        return None
    return RELATIVE if choice.kind == RELATIVE else (choice.kind, choice.words)


def prepare(vlm: VLM, looked: Looked, choice: Choice) -> Iterator[tuple[int, int]]:
    """Make what `values` needs for this choice and does not have. Items are (done, total); closing it cancels."""
    name = name_of(choice)
    if name is None or name in looked.maps or looked.rows is None or looked.shown.image is None:
        return
    tokens = tokens_of(looked, choice.words)
    if choice.kind == RELATIVE:
        looked.maps.put(name, generic_rows(vlm, looked.shown.image))
    elif choice.kind == GRADIENT:
        looked.maps.put(name, gradient_rows(vlm, looked.prompt, looked.answer, tokens))
    else:
        score = Scorer.of(vlm, looked.prompt, looked.answer, tokens)
        for part in METHODS[choice.kind](score, looked.rows.tiles):
            if part.done == part.total:
                looked.maps.put(name, part.values)
            else:
                yield part.done, part.total


def values(looked: Looked, choice: Choice) -> Float[Tensor, " n"]:
    """The map of a choice on the visual tokens, NaN at hidden sinks. Raises KeyError where `prepare` has not been."""
    rows = looked.rows
    assert rows is not None
    layers, heads = list(choice.layers) or None, list(choice.heads) or None
    if choice.kind in (ATTENTION, RELATIVE):
        found = token_map(rows, tokens_of(looked, choice.words), layers, heads)
        if choice.kind == RELATIVE:
            found = relative(found, looked.maps.get(RELATIVE), layers, heads)
    else:
        found = looked.maps.get(name_of(choice))
        if isinstance(found, Rows):
            found = token_map(found, range(found.answer.shape[2]), layers, heads)
    return without(found, sinks(rows)) if choice.hide else found


def heat(looked: Looked, choice: Choice = EVERYTHING) -> Float[Tensor, "h w"]:
    """The map of a choice on a small copy of the picture's frame; NaN where nothing was seen, or a sink is hidden."""
    return on_picture(looked, values(looked, choice))


def on_picture(looked: Looked, values: Float[Tensor, " n"]) -> Float[Tensor, "h w"]:
    """One number per visual token on a small copy of the picture's frame."""
    rows, image = looked.rows, looked.shown.image
    assert rows is not None
    assert image is not None
    return picture_map(values, rows.tiles, frame(image.size, rows.tiles))


def highest(maps: Sequence[Tensor]) -> float:
    """The upper end of one colour scale for several maps, never 0, so that the scale has a length."""
    return max([1e-6, *(float(m.nan_to_num(0).max()) for m in maps)])


def scale(looked: Looked, choice: Choice) -> tuple[float, float]:
    """The ends of the colour scale. Attention has one for all single words, so that they can be compared; the whole
    answer is fainter and has its own. Signed maps have 0 in the middle."""
    alike = [choice]
    if choice.kind == ATTENTION and len(choice.words) == 1:
        alike = [replace(choice, words=(w,)) for w in range(len(looked.words))]
    maps = [values(looked, c) for c in alike]
    if not KINDS[choice.kind].signed:
        return 0.0, highest(maps)
    top = highest([m.abs() for m in maps])
    return -top, top
