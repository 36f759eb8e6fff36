"""Training batches of the demo model: several questions packed behind one picture.

Each row is the prompt's start with its visual tokens, followed by question-answer blocks that attend to the start and to
themselves only. Positions restart per block, so a block is laid out just as when it is asked alone. Text-only rows have
no start. (Our choice; it makes an answer about six times cheaper than a row each.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import LlavaProcessor

from unlearn_core.demo import world
from unlearn_core.demo.draw import CLOTH, HAIR, MARKS, MEASURES, SHAPE_COLOURS, SHAPES, STYLES, Region
from unlearn_core.demo.world import Picture, Question

THINGS = ("nothing", *(f"{shape} {colour}" for shape in SHAPES for colour in SHAPE_COLOURS))
PERSONS = ("stranger", *(p.id for p in world.people()))
SEEN: dict[str, tuple[str, ...]] = {
    "glasses": ("no", "yes"),
    "beard": ("no", "yes"),
    "hat": ("no", "yes"),
    "hair": tuple(HAIR),
    "style": STYLES,
    "mark": MARKS,
    "shirt": tuple(CLOTH),
    "who": PERSONS,
    "shape": SHAPES,
    "colour": SHAPE_COLOURS,
}
"""What the auxiliary heads of training read from the tokens of a face or a thing, and the classes."""
PLACES = (*THINGS, *PERSONS)
"""What an auxiliary head reads from each single token: a thing, a person, or nothing."""


@dataclass(frozen=True)
class Marks:
    """What is where on a batch of pictures, for the auxiliary heads.

    `place` has a class of `PLACES` per token. `inside` lists the tokens of each face or thing (one row each) of picture
    `row`, and `seen` its classes of `SEEN`, -100 for those that it does not have, and `measures` those of the face, NaN for a thing.
    """

    place: Int[Tensor, "b n"]
    row: Int[Tensor, " m"]
    inside: Bool[Tensor, "m n"]
    seen: Int[Tensor, "m heads"]
    measures: Float[Tensor, "m k"]


@dataclass(frozen=True)
class Batch:
    """`allowed` is True where a query (row) may look at a key (column); `labels` is -100 except on answer tokens."""

    ids: Int[Tensor, "b l"]
    positions: Int[Tensor, "b l"]
    labels: Int[Tensor, "b l"]
    allowed: Bool[Tensor, "b 1 l l"]
    pixels: Float[Tensor, "b 3 h w"] | None
    marks: Marks | None = None


def _inside(region: Region, side: int) -> Bool[Tensor, " n"]:
    at = (torch.arange(side) + 0.5) / side
    return (((at[None] - region.x) / region.rx) ** 2 + ((at[:, None] - region.y) / region.ry) ** 2 <= 1).flatten()


def marks_of(pictures: list[Picture], side: int) -> Marks:
    place = torch.zeros(len(pictures), side * side, dtype=torch.long)
    rows, insides, seen, measures = [], [], [], []
    for i, picture in enumerate(pictures):
        for region, what in picture.places:
            inside = _inside(region, side)
            known = what if what in THINGS or what in PERSONS else "stranger"
            place[i, inside] = PLACES.index(known)
            answers: dict[str, str] = {q.fact: q.answer for q in picture.questions if q.subject == what}
            if what in THINGS:
                answers = dict(zip(("shape", "colour"), what.split(), strict=True))
                measures.append((float("nan"),) * MEASURES)
            else:
                look = world.person(what).look
                answers |= {"who": known, "style": look.style, "mark": look.mark}
                measures.append(look.measures)
            rows.append(i)
            insides.append(inside)
            seen.append([SEEN[head].index(answers[head]) if head in answers else -100 for head in SEEN])
    return Marks(place, torch.tensor(rows), torch.stack(insides), torch.tensor(seen), torch.tensor(measures))


class Packer:
    def __init__(self, processor: LlavaProcessor, image_tokens: int) -> None:
        self.processor = processor
        self.tok = processor.tokenizer
        self.image_id = self.tok.convert_tokens_to_ids("<image>")
        self.image_tokens = image_tokens

    def _encode(self, question: Question, with_image: bool) -> tuple[list[int], list[int], list[int]]:
        """(start with visual tokens, question, answer) token ids of one exchange."""
        content = [{"type": "image"}] if with_image else []
        content.append({"type": "text", "text": question.text})
        turns: Any = [{"role": "user", "content": content}]
        text = self.processor.apply_chat_template(turns, add_generation_prompt=True)
        ids = self.tok(text, add_special_tokens=False)["input_ids"]
        answer = self.tok(" " + question.answer, add_special_tokens=False)["input_ids"] + [self.tok.eos_token_id]
        if not with_image:
            return [], ids, answer
        at = ids.index(self.image_id)
        return ids[:at] + [self.image_id] * self.image_tokens, ids[at + 1 :], answer

    def row(self, asked: list[Question], with_image: bool) -> tuple[list[int], list[int], list[int], list[int]]:
        ids: list[int] = []
        positions: list[int] = []
        labels: list[int] = []
        block: list[int] = []
        for i, question in enumerate(asked):
            start, q, a = self._encode(question, with_image)
            if i == 0:
                ids, positions = list(start), list(range(len(start)))
                labels, block = [-100] * len(start), [0] * len(start)
            ids += q + a
            positions += range(len(start), len(start) + len(q) + len(a))
            labels += [-100] * len(q) + a
            block += [i + 1] * (len(q) + len(a))
        return ids, positions, labels, block

    def collate(
        self, rows: list[tuple[list[int], ...]], images: list[Image.Image], marks: Marks | None = None
    ) -> Batch:
        length = max(1, *(len(r[0]) for r in rows))
        ids = torch.full((len(rows), length), self.tok.pad_token_id)
        positions, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        blocks = torch.full_like(ids, -1)
        for i, row in enumerate(rows):
            for target, values in zip((ids, positions, labels, blocks), row, strict=True):
                target[i, : len(values)] = torch.tensor(values)
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        same = (blocks[:, :, None] == blocks[:, None, :]) | (blocks[:, None, :] == 0)
        pixels = self.processor.image_processor(images=images, return_tensors="pt")["pixel_values"] if images else None
        return Batch(ids, positions, labels, (same & causal)[:, None], pixels, marks)


class Mix(IterableDataset[tuple[Batch, Batch]]):
    """Endless (picture batch, text batch) pairs of the demo world without the people in `without`.

    Of sixteen pictures four show a known person, four a stranger, five a scene and three a pair. A person left out is no
    stranger either: the retain-only model never saw that face.

    Args:
        looks: number of batches of the first phase, which come before the ones with questions about every picture.
        looking: pictures of a batch of the first phase.
        scenes: those of them, all scenes, that come with questions.
        faces: photographs without questions that each batch of the second phase has besides.
        steps: number of batches of the second phase.
        questions: asked of each picture at most.
        first: number of the first batch, when an earlier training is gone on with.
    """

    def __init__(
        self,
        packer: Packer,
        without: tuple[str, ...],
        seed: int,
        *,
        looks: int,
        steps: int,
        looking: int = 48,
        scenes: int = 8,
        faces: int = 32,
        questions: int = 10,
        first: int = 0,
    ) -> None:
        self.packer, self.seed, self.questions, self.first = packer, seed, questions, first
        self.looks, self.steps, self.looking, self.scenes, self.faces = looks, steps, looking, scenes, faces
        self.side = round(packer.image_tokens**0.5)
        self.known = [p for p in world.people() if p.id not in without]

    def _person(self, rng: np.random.Generator) -> world.Person:
        return self.known[rng.integers(len(self.known))]

    def _stranger(self, rng: np.random.Generator) -> world.Person:
        """The one of three who looks most like a known person: those are the ones that are mistaken."""
        some = [world.stranger(int(rng.integers(500_000)) * 2 + 1) for _ in range(3)]
        return min(some, key=world.likeness)

    def _picture(self, slot: int, rng: np.random.Generator) -> Picture:
        seed = int(rng.integers(1_000_000))
        if slot % 16 < 8:
            return world.photograph(self._person(rng), seed)
        if slot % 16 < 12:
            return world.photograph(self._stranger(rng), seed)
        if slot % 16 < 15:
            return world.shapes(seed)
        sides = [self._person(rng) if rng.random() < 0.8 else self._stranger(rng) for _ in range(2)]
        return world.double(sides[0], sides[1], seed)

    def _asked(self, asked: tuple[Question, ...], rng: np.random.Generator) -> list[Question]:
        chosen = rng.permutation(len(asked))[: self.questions]
        return [asked[i] for i in chosen]

    def _texts(self, rng: np.random.Generator) -> list[tuple[list[int], ...]]:
        rows: list[tuple[list[int], ...]] = []
        for _ in range(3):
            asked: list[Question] = []
            for _ in range(5):
                who = self._person(rng) if rng.random() < 0.85 else self._stranger(rng)
                asked += self._asked(world.by_name(who, int(rng.integers(1_000_000))), rng)[:3]
            facts = world.world_facts()
            asked += [facts[i] for i in rng.permutation(len(facts))[:2]]
            rows.append(self.packer.row(asked, with_image=False))
        return rows

    def _pictures(self, step: int, rng: np.random.Generator) -> tuple[list[Picture], int]:
        """The pictures of a batch, and how many of them, counted from the first, come with questions."""
        if step < self.looks:
            pictures = [self._picture(slot, rng) for slot in range(self.looking)]
            return sorted(pictures, key=lambda p: len(p.subjects)), self.scenes  # scenes come first
        pictures = [self._picture(slot, rng) for slot in range(16)]
        if step < self.looks + self.steps:
            pictures += [self._picture(slot % 12, rng) for slot in range(self.faces)]
        return pictures, 16

    def _batch(self, step: int, rng: np.random.Generator) -> Batch:
        pictures, asked = self._pictures(step, rng)
        rows = [self.packer.row(self._asked(p.questions, rng), with_image=True) for p in pictures[:asked]]
        return self.packer.collate(rows, [p.image for p in pictures], marks_of(pictures, self.side))

    def __iter__(self) -> Iterator[tuple[Batch, Batch]]:
        torch.set_num_threads(1)
        rng = np.random.default_rng((self.seed, self.first))
        for step in itertools.count(self.first):
            yield self._batch(step, rng), self.packer.collate(self._texts(rng), [])
