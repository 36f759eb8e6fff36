"""Quick check during a fit: which true answers would greedy decoding still give?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.data.example import Example
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM
from unlearn_core.vlm.room import Room, in_batches


@torch.no_grad()
def answered(vlm: VLM, examples: Sequence[Example], world: World = ALONE) -> float:
    """Share of examples whose true answer is what greedy decoding gives, 0..1.

    One pass with the answers given: greedy decoding yields an answer exactly if each of its tokens is the most likely one
    after those before it. Each process looks at its share of the examples.
    """
    if not examples:
        return float("nan")
    own, room = world.mine(examples), Room(firm=vlm.sharded)
    # Where weights are shared, also a process without examples of its own must go through the model.
    count = sum(in_batches(own or examples[:1], len(examples), lambda part: hits(vlm, part), room))
    found = torch.tensor(count if own else 0)
    world.add([found])
    return int(found) / len(examples)


@torch.no_grad()
def hits(vlm: VLM, examples: Sequence[Example]) -> int:
    """How many of these examples' true answers greedy decoding gives; all in one pass."""
    batch = vlm.batch([e.prompt for e in examples], [vlm.answer_ids(e.answer) for e in examples])
    with fast_matmul(vlm.device):
        logits = vlm.answer_logits(batch, vlm.tokens(batch))
    return right(logits, batch.targets or ())


def right(logits: Float[Tensor, "b t v"], targets: Sequence[Int[Tensor, " t"]]) -> int:
    """In how many rows each token of the answer is the most likely one; shorter answers stand at the right edge."""
    best = logits.argmax(-1).cpu()
    return sum(torch.equal(row[-len(t) :], t.cpu()) for row, t in zip(best, targets, strict=True))


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """`count` examples taken evenly over the whole list."""
    if len(examples) <= count:
        return list(examples)
    return [examples[i * len(examples) // count] for i in range(count)]
