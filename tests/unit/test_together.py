"""Models in one batch answer as each by itself; those that share a language model go through it together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from PIL import Image
from tiny_method import TinyModule
from torch import Tensor

from unlearn_core.methods import CvfModule
from unlearn_core.methods.baselines import LoraModule
from unlearn_core.methods.baselines.adapter import first_factors
from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.together import ask_together


@pytest.fixture(scope="module")
def prompts(picture: Callable[..., Image.Image]) -> list[Prompt]:
    first = picture(0)
    return [Prompt(first, "Who is this?"), Prompt(None, "Who?"), Prompt(picture(1), "What?"), Prompt(first, "Where?")]


def same(got: Answer, wanted: Answer) -> None:
    assert got.ids == wanted.ids
    assert got.logprobs == pytest.approx(wanted.logprobs, abs=1e-5)
    assert (got.rows is None) == (wanted.rows is None)
    if got.rows is not None and wanted.rows is not None:
        torch.testing.assert_close(got.rows.answer, wanted.rows.answer, atol=1e-5, rtol=0)


def lora_of(vlm: VLM) -> VLM:
    """The model with a language model of its own."""
    path = vlm.family.language
    factors = first_factors(vlm.model.get_submodule(path), 2, 0)
    return LoraModule("gd", {f"{path}.{name}": factor for name, factor in factors.items()}, 2, 4).attach(vlm)


def test_all_answer_as_each_alone(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    shift: Tensor = torch.linspace(-3, 3, sharp_vlm.width)
    name = "model.multi_modal_projector.linear_2.weight"
    dense = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    sight, weights = TinyModule(shift).attach(sharp_vlm), CvfModule({name: (dense,)}, {}).attach(sharp_vlm)
    models = [sharp_vlm, lora_of(sharp_vlm), sight, weights]
    passes: list[int] = []
    hook = sharp_vlm.model.get_submodule("lm_head").register_forward_hook(lambda _, __, out: passes.append(len(out)))
    try:
        found = ask_together(models, prompts, rows=True, max_new_tokens=4, batch_size=12)
    finally:
        hook.remove()
    assert set(passes) == {12, 4}, "three that share a language model at once, and one by itself"
    alone = zip(*(vlm.ask(prompts, rows=True, max_new_tokens=4) for vlm in models), strict=True)
    for got, wanted in zip(found, alone, strict=True):
        for one, other in zip(got, wanted, strict=True):
            same(one, other)
    assert any(a.logprobs != b.logprobs for a, _, b, _ in found)
    assert any(a.logprobs != c.logprobs for a, _, _, c in found)
