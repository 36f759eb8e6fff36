"""One question, its answer, and where some of its words looked: what scripts and services need of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unlearn_core.attention import drawing
from unlearn_core.attention.gradient import gradient_rows
from unlearn_core.attention.maps import frame, picture_map, token_map
from unlearn_core.attention.relative import generic_rows, relative
from unlearn_core.attention.words import Word, words
from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.errors import BadRequest

Kind = Literal["attention", "relative", "gradient"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNITS: dict[Kind, str] = {
    "attention": "share of attention",
    "relative": "log2 of times as much as for any question",
    "gradient": "nats gained",
}


@dataclass(frozen=True, eq=False)
class Look:
    """Where chosen words of an answer looked.

    Args:
        words: of the answer. chosen: places among them, from 0.
        values: one number per visual token, in the unit of the kind.
    """

    prompt: Prompt
    answer: Answer
    words: tuple[Word, ...]
    chosen: tuple[int, ...]
    kind: Kind
    values: Float[Tensor, " n"]

    def png(self) -> bytes:
        """The map over its picture, with a scale of its own."""
        image, rows = self.prompt.image, self.answer.rows
        assert image is not None
        assert rows is not None
        top = max(float(self.values.abs().max()), 1e-6)
        low, stops = (-top, drawing.CHANGE) if self.kind == "relative" else (0.0, drawing.HEAT)
        heat = picture_map(self.values, rows.tiles, frame(image.size, rows.tiles))
        return drawing.png(drawing.Drawn(image, heat, (low, top), stops, UNITS[self.kind]))

    def npz(self) -> bytes:
        """The numbers and what they mean, as numpy reads them: values, grids and boxes of the tiles, words."""
        rows = self.answer.rows
        assert rows is not None
        arrays = {f"tile_{i}_tokens": t.index.view(t.rows, t.cols).numpy() for i, t in enumerate(rows.tiles)}
        arrays |= {f"tile_{i}_box": np.array(t.box) for i, t in enumerate(rows.tiles)}
        texts = {"words": [w.text for w in self.words], "kind": self.kind, "unit": UNITS[self.kind]}
        arrays |= {name: np.array(text) for name, text in texts.items()}
        return drawing.npz(arrays | {"values": self.values.numpy(), "chosen": np.array(self.chosen, dtype=np.int64)})


def look(
    vlm: VLM,
    prompt: Prompt,
    chosen: Sequence[int] = (),
    layers: Sequence[int] = (),
    heads: Sequence[int] = (),
    kind: Kind = "attention",
) -> Look:
    """Ask, and see where the answer looked.

    Args:
        chosen: places of the answer's words, from 0; none for all of them.
        layers, heads: which to average over, from 0; none for all.

    Raises:
        BadRequest: there is no picture, nothing was said, or there is no such word, layer or head.
        UnsupportedFamily: the model's attention to pictures cannot be read.
    """
    if prompt.image is None:
        raise BadRequest("There is no picture to look at. Please give one.")
    answer = vlm.ask([prompt], rows=True)[0]
    said = words(answer)
    if answer.rows is None or not said:
        raise BadRequest("The model said nothing, so there is no word that looked anywhere. Please ask something else.")
    for name, places, known in zip(
        ("word", "layer", "head"), (chosen, layers, heads), (len(said), *answer.rows.answer.shape[:2]), strict=True
    ):
        if any(not 0 <= place < known for place in places):
            raise BadRequest(f"There is no such {name}. They are counted from 0 and there are {known}.")
    tokens = [t for i in chosen or range(len(said)) for t in said[i].tokens]
    values = _values(vlm, prompt, answer, tokens, list(layers) or None, list(heads) or None, kind)
    return Look(prompt, answer, said, tuple(chosen), kind, values)


def _values(
    vlm: VLM,
    prompt: Prompt,
    answer: Answer,
    tokens: list[int],
    layers: list[int] | None,
    heads: list[int] | None,
    kind: Kind,
) -> Float[Tensor, " n"]:
    assert answer.rows is not None
    assert prompt.image is not None
    if kind == "gradient":
        raised = gradient_rows(vlm, prompt, answer, tokens)
        return token_map(raised, range(len(tokens)), layers, heads)
    values = token_map(answer.rows, tokens, layers, heads)
    return values if kind == "attention" else relative(values, generic_rows(vlm, prompt.image), layers, heads)
