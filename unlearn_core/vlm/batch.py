"""Turn prompts into one left-padded batch for the language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from PIL import Image
from torch import Tensor

from unlearn_core.vlm.errors import BadImage
from unlearn_core.vlm.families import Family, Pixels
from unlearn_core.vlm.images import to_rgb
from unlearn_core.vlm.prompt import Prompt


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts ready to run. Rows are padded on the left, so every prompt ends at the right edge.

    Args:
        pixels: image processor output of the distinct pictures, one by one.
        picture: per row, which of the distinct pictures it shows, or None.
        images: the distinct pictures themselves, as they were given.
        visual: per row, positions of its visual tokens (empty for text-only rows).
        question: per row, positions of the tokens of the question's own text.
        told: per row, what the decoder needs to know of its picture besides the visual tokens; see `Family.told`.
        targets: per row, the token ids of its answer where answers were given; they stand at the right edge.
    """

    ids: Int[Tensor, "b l"]
    mask: Bool[Tensor, "b l"]
    pixels: tuple[Pixels, ...]
    picture: tuple[int | None, ...]
    images: tuple[Image.Image, ...]
    visual: tuple[Int[Tensor, " n"], ...]
    question: tuple[Int[Tensor, " q"], ...]
    told: tuple[Pixels, ...]
    targets: tuple[Int[Tensor, " t"], ...] | None = None

    def __len__(self) -> int:
        return len(self.picture)

    def with_image(self) -> list[int]:
        """The rows that show a picture."""
        return [i for i, p in enumerate(self.picture) if p is not None]

    def marked(self) -> Int[Tensor, "b l"]:
        """1 at visual tokens, 0 elsewhere."""
        out = torch.zeros_like(self.ids)
        for row, places in zip(out, self.visual, strict=True):
            row[places] = 1
        return out

    def take(self, rows: Sequence[int]) -> Batch:
        """Some of the rows, with the same padding."""
        index = torch.tensor(list(rows), dtype=torch.long)
        return Batch(
            self.ids[index],
            self.mask[index],
            self.pixels,
            tuple(self.picture[i] for i in rows),
            self.images,
            tuple(self.visual[i] for i in rows),
            tuple(self.question[i] for i in rows),
            tuple(self.told[i] for i in rows),
            None if self.targets is None else tuple(self.targets[i] for i in rows),
        )


@dataclass(frozen=True)
class Encoded:
    """One prompt's token ids and where in them, counted from the end, the question's own text stands."""

    ids: tuple[int, ...]
    question_from_end: tuple[int, ...]


_HERE = "\ue000"
"""Stands for the question while the template is filled in; a private character, so that no template contains it."""


def pixels_of(processor: Any, family: Family, image: Image.Image) -> Pixels:
    """What the vision tower needs for a picture, which may have any mode and be marked as turned.

    Raises:
        BadImage: the model's image processor refuses it; some take no picture that is a few pixels small or very narrow.
    """
    upright = to_rgb(image)
    try:
        return family.pixels(processor, upright)
    except (ValueError, ZeroDivisionError) as error:
        raise BadImage(
            f"This model cannot take a picture of {upright.width} x {upright.height} pixels. Please crop it or choose another one."
        ) from error


def encode(processor: Any, family: Family, prompt: Prompt, image_text: str | None) -> Encoded:
    """Tokenise one prompt; `image_text` replaces the image token of the template."""
    tokenizer = processor.tokenizer
    asked = _neutral(prompt.question.strip(), processor)
    text = family.prompt(processor, _HERE, prompt.image is not None)
    if image_text is not None:
        text = text.replace(processor.image_token, image_text, 1)
    start = text.index(_HERE)
    text = text.replace(_HERE, asked, 1)
    out = tokenizer(text, return_offsets_mapping=True, add_special_tokens=not _starts_special(tokenizer, text))
    end = start + len(asked)
    n = len(out["input_ids"])
    inside = tuple(n - i for i, (a, b) in enumerate(out["offset_mapping"]) if a < end and b > start and b > a)
    return Encoded(tuple(out["input_ids"]), inside)


def _neutral(question: str, processor: Any) -> str:
    """Break up special tokens that a question spells out, so that text cannot pose as a picture or a turn."""
    for token in processor.tokenizer.get_added_vocab():
        question = question.replace(token, " ".join(token))
    return question


def _starts_special(tokenizer: Any, text: str) -> bool:
    """Whether the template has already written the beginning-of-text token."""
    return bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)


def collate(
    processor: Any,
    family: Family,
    prompts: Sequence[Prompt],
    image_token_id: int,
    answers: Sequence[Sequence[int]] | None = None,
) -> Batch:
    """Tokenise and pad. Each distinct picture (the same object) is processed once."""
    images: list[Image.Image] = []
    place: dict[int, int] = {}
    for prompt in prompts:
        if prompt.image is not None and id(prompt.image) not in place:
            place[id(prompt.image)] = len(images)
            images.append(prompt.image)
    pixels = tuple(pixels_of(processor, family, image) for image in images)
    texts = [family.image_text(processor, p) for p in pixels]
    told = [{name: p[name] for name in family.told} for p in pixels]
    picture = tuple(None if p.image is None else place[id(p.image)] for p in prompts)
    encoded = [
        encode(processor, family, p, None if k is None else texts[k]) for p, k in zip(prompts, picture, strict=True)
    ]
    tails: list[tuple[int, ...]] = [tuple(a) for a in answers] if answers is not None else [()] * len(prompts)
    length = max(len(e.ids) + len(t) for e, t in zip(encoded, tails, strict=True))
    pad = processor.tokenizer.pad_token_id
    ids = torch.full((len(prompts), length), 0 if pad is None else pad)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    question = []
    for i, (e, tail) in enumerate(zip(encoded, tails, strict=True)):
        row = torch.tensor(e.ids + tail)
        ids[i, length - len(row) :] = row
        mask[i, length - len(row) :] = True
        question.append(torch.tensor([length - len(tail) - back for back in e.question_from_end], dtype=torch.long))
    visual = tuple(((ids[i] == image_token_id) & mask[i]).nonzero()[:, 0] for i in range(len(prompts)))
    targets = None if answers is None else tuple(torch.tensor(t, dtype=torch.long) for t in tails)
    known = tuple({} if k is None else told[k] for k in picture)
    return Batch(ids, mask, pixels, picture, tuple(images), visual, tuple(question), known, targets)
