"""What never changes while the model is frozen: computed when it is first needed, then kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, distinct_images
from unlearn_core.methods.cagul.encoder import attention_scores, choose_tokens
from unlearn_core.methods.spilling import Spilling
from unlearn_core.vlm import VLM
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.families import Pixels
from unlearn_core.vlm.room import in_batches

CHUNK = 32


@dataclass(frozen=True, eq=False)
class Row:
    """One prompt without padding: its token ids, where visual tokens and question stand, and what is told of the picture."""

    ids: Int[Tensor, " l"]
    visual: Int[Tensor, " n"]
    question: Int[Tensor, " q"]
    told: Pixels


def unpadded(batch: Batch) -> list[Row]:
    """The rows of a batch without targets, each by itself."""
    starts = batch.mask.int().argmax(1).tolist()
    parts = zip(starts, batch.ids, batch.visual, batch.question, batch.told, strict=True)
    return [Row(ids[at:], visual - at, question - at, told) for at, ids, visual, question, told in parts]


def assembled(rows: Sequence[Row], targets: Sequence[Int[Tensor, " t"]], pad: int) -> Batch:
    """Rows and their answers as one left-padded batch, as the processor would make it, but without pictures."""
    lengths = [len(row.ids) + len(t) for row, t in zip(rows, targets, strict=True)]
    ids = torch.full((len(rows), max(lengths)), pad)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    starts = [max(lengths) - n for n in lengths]
    for i, (row, target, at) in enumerate(zip(rows, targets, starts, strict=True)):
        ids[i, at:] = torch.cat([row.ids, target])
        mask[i, at:] = True
    return Batch(
        ids,
        mask,
        (),
        tuple(range(len(rows))),
        (),
        tuple(row.visual + at for row, at in zip(rows, starts, strict=True)),
        tuple(row.question + at for row, at in zip(rows, starts, strict=True)),
        tuple(row.told for row in rows),
        tuple(targets),
    )


class Frozen:
    """Visual tokens by picture, chosen tokens and prompts by picture and question, reference logits also by answer.

    Pictures are told apart as objects: whoever uses this keeps them alive.
    """

    def __init__(self, vlm: VLM, layers: tuple[int, ...], ratio: float, select: str) -> None:
        self.vlm, self.layers, self.ratio, self.select = vlm, layers, ratio, select
        self._tokens: Spilling[int, Float[Tensor, "n d"]] = Spilling()
        self._rows: dict[tuple[int, str], Row] = {}
        self._chosen: dict[tuple[int, str], Int[Tensor, " k"]] = {}
        self._references: dict[tuple[int, str, str], Float[Tensor, "t v"]] = {}

    def keep(self, image: Image.Image, tokens: Float[Tensor, "n d"]) -> None:
        """Visual tokens that were computed already, in the precision that the language model reads."""
        self._tokens[id(image)] = tokens.to(self.vlm.model.dtype)

    def tokens(self, examples: Sequence[Example]) -> list[Float[Tensor, "n d"]]:
        missing = [image for image in distinct_images(examples) if id(image) not in self._tokens]
        if missing:
            with torch.no_grad():
                for image, tokens in zip(missing, self.vlm.encode(missing, CHUNK), strict=True):
                    self.keep(image, tokens)
        return [self._tokens[id(e.image)] for e in examples]

    def batch(self, examples: Sequence[Example], answers: Sequence[str] | None = None) -> Batch:
        """Examples with a picture, and answers if any, ready to run once their tokens are given."""
        missing = {_key(e): e for e in examples if _key(e) not in self._rows}
        if missing:
            made = unpadded(self.vlm.batch([e.prompt for e in missing.values()]))
            self._rows.update(zip(missing, made, strict=True))
        tails = [[] if answers is None else self.vlm.answer_ids(answers[i]) for i in range(len(examples))]
        pad = self.vlm.tokenizer.pad_token_id
        targets = [torch.tensor(tail, dtype=torch.long) for tail in tails]
        return assembled([self._rows[_key(e)] for e in examples], targets, 0 if pad is None else pad)

    def chosen(self, examples: Sequence[Example]) -> list[Int[Tensor, " k"]]:
        """Which tokens are transformed for each example."""
        new = list({_key(e): e for e in examples if _key(e) not in self._chosen}.values())
        scores = in_batches(
            new, CHUNK, lambda part: attention_scores(self.vlm, self.batch(part), self.tokens(part), self.layers)
        )
        for example, alpha in zip(new, chain.from_iterable(scores), strict=True):
            self._chosen[_key(example)] = choose_tokens(alpha, self.ratio, self.select)
        return [self._chosen[_key(e)] for e in examples]

    @torch.no_grad()
    def reference(self, examples: Sequence[Example], answers: Sequence[str]) -> Float[Tensor, "b t v"]:
        """The frozen model's logits at the answers' positions; shorter answers stand at the right edge."""
        keys = [(*_key(e), a) for e, a in zip(examples, answers, strict=True)]
        new = [i for i, key in enumerate(keys) if key not in self._references]
        if new:
            part = [examples[i] for i in new]
            batch = self.batch(part, [answers[i] for i in new])
            logits = self.vlm.answer_logits(batch, self.tokens(part))
            for i, row, target in zip(new, logits, batch.targets or (), strict=True):
                self._references[keys[i]] = row[-len(target) :].clone()
        rows = [self._references[key] for key in keys]
        out = rows[0].new_zeros(len(rows), max(len(row) for row in rows), rows[0].shape[1])
        for i, row in enumerate(rows):
            out[i, -len(row) :] = row
        return out


def _key(example: Example) -> tuple[int, str]:
    return id(example.image), example.question
