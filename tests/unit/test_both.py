"""Before and after in one batch answer as each by itself, and go through the language model together."""

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
from unlearn_core.vlm.both import ask_both
from unlearn_core.vlm.errors import BadRequest


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


@pytest.mark.parametrize("kind", ["sight", "weights"])
def test_both_answer_as_each_alone(kind: str, sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    shift: Tensor = torch.linspace(-3, 3, sharp_vlm.width)
    name = "model.multi_modal_projector.linear_2.weight"
    dense = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    module = TinyModule(shift) if kind == "sight" else CvfModule({name: (dense,)}, {})
    after = module.attach(sharp_vlm)
    passes: list[int] = []
    hook = sharp_vlm.model.get_submodule("lm_head").register_forward_hook(lambda _, __, out: passes.append(len(out)))
    try:
        pairs = ask_both(sharp_vlm, after, prompts, rows=True, max_new_tokens=4, batch_size=4)
    finally:
        hook.remove()
    assert set(passes) == {8}
    alone = zip(*(vlm.ask(prompts, rows=True, max_new_tokens=4) for vlm in (sharp_vlm, after)), strict=True)
    for got, wanted in zip(pairs, alone, strict=True):
        same(got[0], wanted[0])
        same(got[1], wanted[1])
    assert any(a.logprobs != b.logprobs for a, b in pairs)


def test_models_with_different_language_models_are_refused(tiny_vlm: VLM, prompts: list[Prompt]) -> None:
    path = tiny_vlm.family.language
    factors = first_factors(tiny_vlm.model.get_submodule(path), 2, 0)
    module = LoraModule("gd", {f"{path}.{name}": factor for name, factor in factors.items()}, 2, 4)
    with pytest.raises(BadRequest, match="one after the other"):
        ask_both(tiny_vlm, module.attach(tiny_vlm), prompts)
