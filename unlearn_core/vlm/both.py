"""Ask a model and what it has become in one batch: they share a language model, and only see differently."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.model import BATCH, MAX_NEW_TOKENS, VLM
from unlearn_core.vlm.prompt import Answer, Prompt
from unlearn_core.vlm.room import in_batches


class HalfAndHalf:
    """A sight for batches whose first half is seen by one model and whose second half by another."""

    def __init__(self, first: VLM, second: VLM) -> None:
        self.first, self.second = first, second

    def tokens(self, base: VLM, batch: Batch) -> list[Float[Tensor, "n d"]]:
        half = len(batch) // 2
        parts = batch.take(range(half)), batch.take(range(half, len(batch)))
        return [*self.first.tokens(parts[0]), *self.second.tokens(parts[1])]


@torch.no_grad()
def ask_both(
    before: VLM,
    after: VLM,
    prompts: Sequence[Prompt],
    *,
    rows: bool = False,
    max_new_tokens: int = MAX_NEW_TOKENS,
    batch_size: int = BATCH // 2,
) -> list[tuple[Answer, Answer]]:
    """Each prompt's answers before and after, as `VLM.ask` gives them up to rounding: rows of one batch are read together.

    Args:
        batch_size: prompts at a time; twice as many rows go through the language model.

    Raises:
        BadRequest: the two do not share a language model, as after a LoRA baseline. Others as for `VLM.ask`.
    """
    decoders = [vlm.model.get_submodule(vlm.family.language) for vlm in (before, after)]
    if decoders[0] is not decoders[1]:
        raise BadRequest("These two models read with different language models. Please ask them one after the other.")
    both = before.with_sight(HalfAndHalf(before, after))

    def answers(part: Sequence[Prompt]) -> list[tuple[Answer, Answer]]:
        said = both.answers(both.batch([*part, *part]), rows, max_new_tokens)
        return list(zip(said[: len(part)], said[len(part) :], strict=True))

    return [pair for part in in_batches(prompts, batch_size, answers) for pair in part]
