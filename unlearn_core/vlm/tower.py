"""Run the vision tower from the middle: what its first blocks made of a picture is computed once and kept.

It is always the tower itself that runs. Blocks that need not be computed again hand over what they gave the first time,
so windows, crops, packed pictures and features taken halfway up need no code of their own here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unlearn_core.vlm.families.base import Pixels, tower_rows
from unlearn_core.vlm.model import VLM


@dataclass(frozen=True, eq=False)
class HalfSeen:
    """A picture, and by number the outputs of those first blocks of the tower that anything after them reads."""

    pixels: Pixels
    outputs: dict[int, Float[Tensor, "rows *s w"]]


@torch.no_grad()
def see_half(vlm: VLM, pixels: Sequence[Pixels], start: int) -> tuple[list[HalfSeen], list[Float[Tensor, "n d"]]]:
    """Run the tower over pictures, and keep what is needed to run it again from block `start`.

    Returns:
        The half-seen pictures, and their visual tokens.
    """
    blocks = vlm.family.blocks(vlm.model)
    exits = {k for k in vlm.family.side_exits(vlm.model) if 0 <= k < start}
    outputs: dict[int, Tensor] = {}
    hooks = [blocks[k].register_forward_hook(partial(_note, outputs, k)) for k in sorted(exits | {start - 1} - {-1})]
    try:
        tokens = vlm.tokens_of(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    rows = [tower_rows(p) for p in pixels]
    split = {k: out.split(rows) for k, out in outputs.items()}
    return [HalfSeen(p, {k: own[i] for k, own in split.items()}) for i, p in enumerate(pixels)], tokens


def see_rest(vlm: VLM, pictures: Sequence[HalfSeen], start: int) -> list[Float[Tensor, "n d"]]:
    """Visual tokens of half-seen pictures. Differentiable in the tower's blocks from `start` on and in the projector.

    Blocks that need not run are switched off meanwhile, so they must be `vlm`'s own: no other thread may see with it.
    """
    off = [*vlm.family.blocks(vlm.model)[:start], *vlm.family.idle(vlm.model)]
    outputs = {k: torch.cat([p.outputs[k] for p in pictures]) for k in pictures[0].outputs}
    with _switched_off(off, outputs):
        return vlm.tokens_of([p.pixels for p in pictures])


def _note(outputs: dict[int, Tensor], k: int, _: nn.Module, __: Any, out: Tensor) -> None:
    outputs[k] = out


@contextmanager
def _switched_off(blocks: Sequence[nn.Module], outputs: dict[int, Tensor]) -> Iterator[None]:
    """Inside, each block gives its kept output, or its own input if nobody reads what it gives."""
    before = [block.__dict__.get("forward") for block in blocks]  # accelerate sets one where it moves inputs
    for k, block in enumerate(blocks):
        block.forward = _passing(outputs.get(k))
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


def _passing(output: Tensor | None) -> Callable[..., Tensor]:
    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states if output is None else output

    return forward
