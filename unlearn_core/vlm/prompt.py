"""What goes into a VLM and what comes out: prompts, views, answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from unlearn_core.vlm.errors import BadQuestion

MAX_QUESTION = 2_000


@dataclass(frozen=True, eq=False)
class Prompt:
    """A question about a picture, or about no picture at all.

    Raises:
        BadQuestion: the question is empty, longer than 2,000 characters, or not proper Unicode.
    """

    image: Image.Image | None
    question: str

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise BadQuestion("The question is empty. Please type one, for example: What is the job of this person?")
        if any("\ud800" <= c <= "\udfff" for c in self.question):
            raise BadQuestion("The question contains half of a character. Please type it again.")
        if len(self.question) > MAX_QUESTION:
            raise BadQuestion(
                f"The question has {len(self.question)} characters; the limit is {MAX_QUESTION}. Please shorten it."
            )


@dataclass(frozen=True, eq=False)
class Tile:
    """A grid of visual tokens over one box of the original picture.

    `index` holds, row by row, the place of each cell's token among the picture's visual tokens. `box` is (x0, y0, x1, y1)
    in parts of the picture's width and height; it reaches outside 0..1 where the model sees padding.
    """

    rows: int
    cols: int
    index: Int[Tensor, " cells"]
    box: tuple[float, float, float, float]
    kind: str = "whole"

    def cell_box(self, row: int, col: int) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = self.box
        w, h = (x1 - x0) / self.cols, (y1 - y0) / self.rows
        return x0 + w * col, y0 + h * row, x0 + w * (col + 1), y0 + h * (row + 1)


@dataclass(frozen=True, eq=False)
class View:
    """One prompt's picture as the language model reads it; no tokens and no tiles for a text-only prompt."""

    tokens: Float[Tensor, "n d"]
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """Attention of chosen tokens on the visual tokens, raw softmax (what is missing to 1 fell on other tokens).

    `answer[:, :, t]` is the row that predicted answer token t. `question` has one row per token of the question's text.
    `on_question` and `on_answer` are the shares of the answer's rows that fell on the question's tokens and on the
    answer's own earlier tokens.
    """

    answer: Float[Tensor, "layers heads t n"]
    question: Float[Tensor, "layers heads q n"]
    question_pieces: tuple[str, ...]
    tiles: tuple[Tile, ...]
    on_question: Float[Tensor, "layers heads t"]
    on_answer: Float[Tensor, "layers heads t"]

    def nbytes(self) -> int:
        """Bytes of all rows and shares."""
        return sum(x.nbytes for x in (self.answer, self.question, self.on_question, self.on_answer))


@dataclass(frozen=True, eq=False)
class Answer:
    """A greedy answer. `pieces` are the texts of its tokens and join to `text` plus surrounding space.

    `logprobs[t]` is the natural logarithm of the probability of token t. `logits`, if they were asked for, are those that
    each token was chosen by, and in a last row those of the end of the text where the answer came to one.
    """

    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    logprobs: tuple[float, ...]
    rows: Rows | None = None
    logits: Float[Tensor, "t v"] | None = None

    @property
    def probability(self) -> float:
        """Probability of the whole answer under the model."""
        return float(torch.tensor(self.logprobs, dtype=torch.float64).sum().exp())
