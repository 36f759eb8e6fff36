"""Attention that is captured in every family is its eager attention, and maps of it can be checked."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tests.contract.family import STEPS
from unlearn_core.attention import Scorer, boxes, faithfulness, gradient_rows, places_at, token_map
from unlearn_core.vlm import VLM, Prompt, Tile
from unlearn_core.vlm.errors import UnsupportedFamily


def test_rows_equal_eager_attention(vlm: VLM, prompts: list[Prompt]) -> None:
    """In the prompt and in every step of generating, in a left-padded batch with a row that shows no picture."""
    if not vlm.family.in_sequence:
        with pytest.raises(UnsupportedFamily, match="cannot be shown"):
            vlm.ask(prompts, rows=True)
        return
    batch = vlm.batch(prompts)
    plain = copy.deepcopy(vlm.model)
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        out = cast(Any, plain).generate(
            **vlm.inputs(batch, vlm.tokens(batch)),
            max_new_tokens=STEPS,
            do_sample=False,
            output_attentions=True,
            return_dict_in_generate=True,
        )
    answers = vlm.ask(prompts, rows=True, max_new_tokens=STEPS)
    peak = 0.0
    for i in batch.with_image():
        rows = answers[i].rows
        assert rows is not None
        assert list(answers[i].ids) == out.sequences[i, batch.ids.shape[1] :][: len(answers[i].ids)].tolist()
        for k, prefill in enumerate(out.attentions[0]):
            want = prefill[i][:, batch.question[i]][..., batch.visual[i]]
            torch.testing.assert_close(rows.question[k], want, atol=1e-5, rtol=0)
            for t in range(len(answers[i].ids)):
                want = columns(out.attentions[t][k][i][:, -1], batch.visual[i], batch.ids.shape[1] + t)
                torch.testing.assert_close(rows.answer[k, :, t], want, atol=1e-5, rtol=0)
                peak = max(peak, float(want.max()))
    assert peak > 0.2, "attention must be peaked for this to prove anything"


def columns(row: Tensor, visual: Tensor, seen: int) -> Tensor:
    """Attention (heads, keys) on the visual tokens, where a sliding window may have dropped the oldest of `seen` keys."""
    dropped = max(0, seen - row.shape[1])
    return row[:, (visual - dropped).clamp(min=0)] * (visual >= dropped)


def test_attention_of_the_question_is_that_of_asking(vlm: VLM, prompts: list[Prompt]) -> None:
    batch = vlm.batch(prompts)
    shown = batch.with_image()
    if not vlm.family.in_sequence:
        with pytest.raises(UnsupportedFamily, match="cannot be shown"):
            vlm.question_attention(batch.take(shown), vlm.tokens(batch), [0])
        return
    got = vlm.question_attention(batch.take(shown), vlm.tokens(batch), range(vlm.layers))
    answers = vlm.ask(prompts, rows=True, max_new_tokens=1)
    for i, attention in zip(shown, got, strict=True):
        rows = answers[i].rows
        assert rows is not None
        torch.testing.assert_close(attention, rows.question, atol=1e-5, rtol=0)


def test_maps_can_be_checked_and_differentiated(vlm: VLM, prompts: list[Prompt]) -> None:
    """A point of the picture finds the token whose cell it lies in; gradients and a check reach the visual tokens."""
    if not vlm.family.in_sequence:
        return
    answer = vlm.ask(prompts[:1], rows=True, max_new_tokens=3)[0]
    rows = answer.rows
    assert rows is not None
    for box, place in zip(boxes(rows.tiles, range(rows.answer.shape[3])), places_in_order(rows.tiles), strict=True):
        assert place in places_at(rows.tiles, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    raised = gradient_rows(vlm, prompts[0], answer, [0, 2]).answer
    assert raised.shape == (*rows.answer.shape[:2], 2, rows.answer.shape[3])
    assert float(raised.max()) > 0
    score = Scorer.of(vlm, prompts[0], answer, range(3))
    with torch.no_grad():
        assert float(score(score.tokens[None])) == pytest.approx(sum(answer.logprobs), abs=1e-3)
    *_, found = faithfulness(score, token_map(rows, range(3)), rows.tiles, fractions=(0.3,), draws=2)
    assert found.all != 0
    assert 0 <= found.beaten <= 1


def places_in_order(tiles: Sequence[Tile]) -> list[int]:
    return sorted(int(i) for tile in tiles for i in tile.index)
