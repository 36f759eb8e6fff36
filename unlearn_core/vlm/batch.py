"""Turn prompts into one left-padded batch for the language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from PIL import Image
from torch import Tensor

from unlearn_core.vlm.families import Family, Pixels
from unlearn_core.vlm.prompt import Prompt


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts ready to run. Rows are padded on the left, so every prompt ends at the right edge.

    Args:
        pixels: image processor output of the distinct pictures.
        picture: per row, which of the distinct pictures it shows, or None.
        images: the distinct pictures themselves.
        visual: per row, positions of its visual tokens (empty for text-only rows).
        question: per row, positions of the tokens of the question's own text.
        targets: per row, the token ids of its answer where answers were given; they stand at the right edge.
    """

    ids: Int[Tensor, "b l"]
    mask: Bool[Tensor, "b l"]
    pixels: Pixels | None
    picture: tuple[int | None, ...]
    images: tuple[Image.Image, ...]
    visual: tuple[Int[Tensor, " n"], ...]
    question: tuple[Int[Tensor, " q"], ...]
    targets: tuple[Int[Tensor, " t"], ...] | None = None

    def __len__(self) -> int:
        return len(self.picture)

    def with_image(self) -> list[int]:
        """The rows that show a picture."""
        return [i for i, p in enumerate(self.picture) if p is not None]

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
            None if self.targets is None else tuple(self.targets[i] for i in rows),
        )


@dataclass(frozen=True)
class Encoded:
    """One prompt's token ids and where in them, counted from the end, the question's own text stands."""

    ids: tuple[int, ...]
    question_from_end: tuple[int, ...]


_HERE = "\ue000"
"""Stands for the question while the template is filled in; a private character, so that no template contains it."""


def chat_text(processor: Any, prompt: Prompt) -> str:
    """The prompt in the model's chat template, one image token standing for the picture."""
    image = [{"type": "image"}] if prompt.image is not None else []
    if getattr(processor, "chat_template", None):
        content = [*image, {"type": "text", "text": prompt.question}]
        return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    start = f"{processor.image_token}\n" if image else ""
    return f"USER: {start}{prompt.question} ASSISTANT:"


def encode(processor: Any, prompt: Prompt, image_text: str | None) -> Encoded:
    """Tokenise one prompt; `image_text` replaces the image token of the template."""
    tokenizer = processor.tokenizer
    asked = _neutral(prompt.question.strip(), processor)
    text = chat_text(processor, Prompt(prompt.image, _HERE))
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
    pixels = family.pixels(processor, images) if images else None
    texts = [family.image_text(processor, pixels, i) for i in range(len(images))] if pixels is not None else []
    picture = tuple(None if p.image is None else place[id(p.image)] for p in prompts)
    encoded = [encode(processor, p, None if k is None else texts[k]) for p, k in zip(prompts, picture, strict=True)]
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
    return Batch(ids, mask, pixels, picture, tuple(images), visual, tuple(question), targets)
