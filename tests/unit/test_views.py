"""A new view of a stored answer is made from what is stored: the model is not touched, and numbers are shown exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.views import stored, views, without_passes
from components import answers
from components.looking import ATTENTION, GRADIENT, KINDS, RELATIVE, Choice, Looked, heat
from unlearn_core.vlm import VLM, Prompt


@pytest.fixture(scope="module")
def looked(demo_vlm: VLM) -> Looked:
    return stored(demo_vlm)


def test_no_layer_of_the_model_runs_for_a_new_view(looked: Looked) -> None:
    with without_passes():
        for name, view in views(looked).items():
            assert view() is not None or name == "all that a click redraws"


@pytest.mark.parametrize("work", [lambda vlm, p: vlm.encode([p.image]), lambda vlm, p: vlm.score([p], ["baker"])])
def test_a_pass_of_any_part_of_the_model_is_noticed(
    work: Callable[[VLM, Prompt], Any], looked: Looked, demo_vlm: VLM
) -> None:
    with without_passes(), pytest.raises(AssertionError, match="asked the model"):
        work(demo_vlm, looked.prompt)


@pytest.mark.parametrize("kind", [ATTENTION, RELATIVE, GRADIENT])
def test_what_is_pointed_at_tells_its_exact_value_and_unit(kind: str, looked: Looked) -> None:
    choice = Choice(words=(3,), kind=kind)
    drawn: Any = answers.heat_map(looked, choice).data[0]
    np.testing.assert_array_equal(np.asarray(drawn.z), heat(looked, choice).numpy())
    assert drawn.hovertemplate == f"{KINDS[kind].hover}<extra></extra>"
    assert drawn.colorbar.title.text == KINDS[kind].unit


def test_a_repeated_word_has_its_own_map_each_time(looked: Looked) -> None:
    rows = looked.rows
    assert rows is not None
    texts = [word.text for word in looked.words]
    twice = next(text for text in texts if texts.count(text) > 1)
    one, other = [i for i, text in enumerate(texts) if text == twice][:2]
    assert not set(looked.words[one].tokens) & set(looked.words[other].tokens)
    maps = [heat(looked, Choice(words=(i,))) for i in (one, other)]
    assert not torch.equal(*maps)
