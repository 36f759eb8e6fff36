"""Models whose layers lie on several devices: what moves inputs between them must not get in the way of parts and towers.

Accelerate's hooks are put on every module of a model on a CPU, where they move nothing but do all else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from PIL import Image

from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.tower import see_half, see_rest


@pytest.fixture
def laid_out(tiny_vlm: VLM) -> VLM:
    """The tiny model as it is when it is laid over devices."""
    model = copy.deepcopy(tiny_vlm.model)
    for module in model.modules():
        add_hook_to_module(module, AlignDevicesHook(execution_device="cpu", io_same_device=True))
    return VLM(model, tiny_vlm.processor, tiny_vlm.family, "laid out")


def test_replaced_parts_are_the_ones_that_run(
    laid_out: VLM, tiny_vlm: VLM, picture: Callable[..., Image.Image]
) -> None:
    prompts = [Prompt(picture(1), "What is the job of this person?")]
    said = {}
    for vlm in (tiny_vlm, laid_out):
        parts = {path: copy.deepcopy(vlm.model.get_submodule(path)) for path in vlm.family.seeing_parts()}
        for part in parts.values():
            for parameter in part.parameters():
                parameter.data.mul_(1.5)
        changed = vlm.with_parts(parts)
        said[vlm.name] = [m.ask(prompts, rows=True, max_new_tokens=4)[0].logprobs for m in (vlm, changed)]
        assert said[vlm.name][0] != said[vlm.name][1]
        ours, theirs = vlm.model.lm_head.weight, changed.model.lm_head.weight
        assert ours is theirs, "what is not replaced is shared"
    assert said["laid out"] == said[tiny_vlm.name]


def test_the_tower_runs_from_the_middle_and_is_whole_again(laid_out: VLM, picture: Callable[..., Image.Image]) -> None:
    pixels = laid_out.pixels([picture(1), picture(2)])
    half, tokens = see_half(laid_out, pixels, 1)
    forwards = [block.forward for block in laid_out.family.blocks(laid_out.model)]
    with torch.no_grad():
        rest = see_rest(laid_out, half, 1)
    assert all(torch.equal(a, b) for a, b in zip(tokens, rest, strict=True))
    assert [block.forward for block in laid_out.family.blocks(laid_out.model)] == forwards
