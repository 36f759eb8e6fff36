"""Ask several models the same questions at once: those that share a language model go through it in one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.model import BATCH, MAX_NEW_TOKENS, VLM
from unlearn_core.vlm.prompt import Answer, Prompt
from unlearn_core.vlm.room import in_batches


class SideBySide:
    """A sight for batches of as many equal parts as there are models, each part seen by another one."""

    def __init__(self, models: Sequence[VLM]) -> None:
        self.models = models

    def tokens(self, base: VLM, batch: Batch) -> list[Float[Tensor, "n d"]]:
        size = len(batch) // len(self.models)
        parts = (batch.take(range(i * size, (i + 1) * size)) for i in range(len(self.models)))
        return [seen for vlm, part in zip(self.models, parts, strict=True) for seen in vlm.tokens(part)]


@torch.no_grad()
def ask_together(
    models: Sequence[VLM],
    prompts: Sequence[Prompt],
    *,
    rows: bool = False,
    max_new_tokens: int = MAX_NEW_TOKENS,
    batch_size: int = BATCH,
) -> list[tuple[Answer, ...]]:
    """Each prompt's answers by all models, in their order, as `VLM.ask` gives them up to rounding.

    What an unlearning method made of a model shares its language model and is read in the same batch. A model with a
    language model of its own, such as a LoRA baseline or a retain-only model, is asked after the others.

    Args:
        batch_size: rows that go through a language model at a time, at least one prompt of every model.

    Raises:
        UnsupportedFamily: as for `VLM.ask`.
    """
    said: dict[int, list[Answer]] = {}
    for places in sharing(models):
        group = [models[i] for i in places]
        answers = _in_one_batch(group, prompts, rows, max_new_tokens, max(1, batch_size // len(group)))
        said |= {place: [each[k] for each in answers] for k, place in enumerate(places)}
    return list(zip(*(said[i] for i in range(len(models))), strict=True))


def sharing(models: Sequence[VLM]) -> list[list[int]]:
    """Places of the models that share a language model, group by group, in order of appearance."""
    groups: dict[int, list[int]] = {}
    for place, vlm in enumerate(models):
        groups.setdefault(id(vlm.model.get_submodule(vlm.family.language)), []).append(place)
    return list(groups.values())


def _in_one_batch(
    models: Sequence[VLM], prompts: Sequence[Prompt], rows: bool, max_new_tokens: int, batch_size: int
) -> list[list[Answer]]:
    together = models[0] if len(models) == 1 else models[0].with_sight(SideBySide(models))

    def answers(part: Sequence[Prompt]) -> list[list[Answer]]:
        said = together.answers(together.batch([*part] * len(models)), rows, max_new_tokens)
        return [said[i :: len(part)] for i in range(len(part))]

    return [each for part in in_batches(prompts, batch_size, answers) for each in part]
