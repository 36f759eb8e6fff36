"""A stand-in for a model that answers by a table and gives known probabilities, so that numbers can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.prompt import Answer

WORDS = 257
"""Bytes, and the end of the text."""


@dataclass(frozen=True)
class _Batch:
    chances: tuple[float, ...]
    targets: list[Tensor]


class Oracle:
    """Args:
    says: the answer to a prompt.
    chance: probability of each token of a given answer to a prompt, so that P of the whole answer is the same number.
    """

    def __init__(
        self, says: Callable[[Prompt], str], chance: Callable[[Prompt, str], float] = lambda p, a: 0.5
    ) -> None:
        self.says, self.chance = says, chance
        self.asked: list[Prompt] = []
        self.lengths: list[int] = []

    def ask(self, prompts: Sequence[Prompt], *, logits: bool, batch_size: int, max_new_tokens: int) -> list[Answer]:
        self.asked += prompts
        self.lengths += [max_new_tokens] * len(prompts)
        return [Answer(text, (), (text,), (-0.1,)) for text in map(self.says, prompts)]

    def answer_ids(self, text: str) -> list[int]:
        return [*text.encode(), WORDS - 1]

    def batch(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]]) -> _Batch:
        texts = [bytes(ids[:-1]).decode() for ids in answers]
        return _Batch(tuple(map(self.chance, prompts, texts)), [torch.tensor(ids) for ids in answers])

    def tokens(self, batch: _Batch) -> list[Any]:
        return []

    def answer_logits(self, batch: _Batch, tokens: Sequence[Any]) -> Tensor:
        """Each target token has the answer's chance, all others share the rest."""
        longest = max(map(len, batch.targets))
        out = torch.zeros(len(batch.targets), longest, WORDS, dtype=torch.float64)
        for row, (p, target) in enumerate(zip(batch.chances, batch.targets, strict=True)):
            out[row] = math.log((1 - p) / (WORDS - 1))
            out[row, torch.arange(longest - len(target), longest), target] = math.log(p)
        return out


def as_vlm(oracle: Oracle) -> VLM:
    """What the evaluation asks of a model, the oracle has."""
    return cast("VLM", oracle)
