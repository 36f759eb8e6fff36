"""Views of an answer say what the attention was, and checks of a map tell a true one from a false one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import pytest
import torch
from PIL import Image
from torch import Tensor

from unlearn_core.attention import (
    PARTS,
    Scorer,
    boxes,
    faithfulness,
    generic_rows,
    gradient_rows,
    heads_apart,
    looked_at,
    parts,
    places_at,
    relative,
    token_map,
)
from unlearn_core.attention.attribution import ablation, integrated_gradients, region_of, shapley
from unlearn_core.attention.sinks import share, sinks, without
from unlearn_core.attention.words import join
from unlearn_core.methods.cagul.encoder import TokenEncoder, choose_tokens
from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.methods.cagul.module import CagulModule
from unlearn_core.methods.cvf.module import CvfModule
from unlearn_core.methods.seen import GateReading, seen_through
from unlearn_core.vlm import VLM, Answer, Prompt, Rows, Tile
from unlearn_core.vlm.model import pieces_of

Picture = Callable[..., Image.Image]
T = TypeVar("T")
SIDE = 4
GRID = (Tile(SIDE, SIDE, torch.arange(SIDE * SIDE), (0, 0, 1, 1)),)
STEPS = 6


def last(items: Iterator[T]) -> T:
    *_, result = items
    return result


def rows_of(answer: Tensor, question: Tensor | None = None) -> Rows:
    """Rows with no attention on text."""
    none = torch.zeros(answer.shape[:3])
    question = answer if question is None else question
    return Rows(answer, question, ("",) * question.shape[2], GRID, none, none)


@pytest.fixture(scope="module")
def prompt(picture: Picture) -> Prompt:
    return Prompt(picture(1), "What is the job of this person?")


@pytest.fixture(scope="module")
def answer(sharp_vlm: VLM, prompt: Prompt) -> Answer:
    return sharp_vlm.ask([prompt], rows=True, max_new_tokens=STEPS)[0]


@pytest.fixture(scope="module")
def eager(sharp_vlm: VLM) -> VLM:
    model: Any = copy.deepcopy(sharp_vlm.model)
    model.set_attn_implementation("eager")
    return VLM(model, sharp_vlm.processor, sharp_vlm.family, "eager")


# -- where attention went ---------------------------------------------------------------------------------------------


def test_the_parts_of_attention_are_those_of_eager_attention_also_in_a_padded_batch(
    sharp_vlm: VLM, eager: VLM, prompt: Prompt, picture: Picture
) -> None:
    long = Prompt(picture(2), "What is the job of this person, and where does this person live?")
    for asked, said in zip([prompt, long], sharp_vlm.ask([prompt, long], rows=True, max_new_tokens=STEPS), strict=True):
        batch = eager.batch([asked], [said.ids])
        with torch.no_grad():
            maps = eager.model(**eager.inputs(batch, eager.tokens(batch)), output_attentions=True).attentions
        first = batch.ids.shape[1] - len(said.ids)
        rows = torch.stack(list(maps))[:, 0, :, first - 1 : -1].mean((0, 1))
        want = [rows[:, batch.visual[0]], rows[:, batch.question[0]], rows[:, first:]]
        assert said.rows is not None
        got = parts(said.rows)
        torch.testing.assert_close(got[:3], torch.stack([x.sum(1) for x in want]), atol=1e-5, rtol=0)
        torch.testing.assert_close(got.sum(0), torch.ones(STEPS))
        assert got.shape[0] == len(PARTS)
        assert got[2, 0] == 0, "before the first token nothing was said"
        assert got[2, 1:].max() > 0.01


def test_a_place_is_looked_at_by_the_words_whose_attention_falls_there(answer: Answer) -> None:
    rows = answer.rows
    assert rows is not None
    looks = torch.stack([looked_at(rows, [place], layers=[1], heads=[0, 2]) for place in range(16)], 1)
    torch.testing.assert_close(looks, rows.answer[1, [0, 2]].mean(0))
    torch.testing.assert_close(looked_at(rows, range(16)), parts(rows)[0])


def test_heads_apart_average_to_the_map(answer: Answer) -> None:
    assert answer.rows is not None
    torch.testing.assert_close(heads_apart(answer.rows, [1, 3]).mean((0, 1)), token_map(answer.rows, [1, 3]))


def test_a_point_finds_the_tokens_of_all_tiles_that_cover_it() -> None:
    tiles = (*GRID, Tile(2, 1, torch.tensor([30, 31]), (0.5, 0, 1, 1)), Tile(1, 1, torch.tensor([40]), (-1, -1, 0, 0)))
    assert places_at(tiles, 0.1, 0.1) == (0,)
    assert places_at(tiles, 0.9, 0.9) == (15, 31)
    assert places_at(tiles, 1.0, 0.5) == places_at(tiles, 0.3, -0.2) == ()
    assert boxes(tiles, [31, 99, 5]) == [(0.5, 0.5, 1.0, 1.0), (0.25, 0.25, 0.5, 0.5)]


# -- sinks and relative maps ------------------------------------------------------------------------------------------


def test_a_sink_draws_every_word_and_what_is_asked_about_only_its_own() -> None:
    looks = torch.full((2, 2, 5, 16), 0.001)
    looks[..., 3] = 0.3
    looks[..., 0, 7] = 0.9
    found = sinks(rows_of(looks))
    assert found.tolist() == [3]
    values = token_map(rows_of(looks), [0])
    assert share(values, found) == pytest.approx(0.3 / (0.3 + 0.9 + 14 * 0.001), rel=1e-4)
    assert without(values, found).isnan().nonzero().flatten().tolist() == [3]
    assert not len(sinks(rows_of(torch.rand(2, 2, 5, 16) + 0.5)))


def test_a_relative_map_is_the_logarithm_of_the_ratio_to_the_generic_prompt(sharp_vlm: VLM, prompt: Prompt) -> None:
    assert prompt.image is not None
    generic = generic_rows(sharp_vlm, prompt.image)
    assert generic.answer.shape[2] == 1
    even = rows_of(torch.full((1, 1, 1, 16), 1 / 16))
    torch.testing.assert_close(relative(token_map(generic, [0], [1], [0]), generic, [1], [0]), torch.zeros(16))
    twice = torch.full((16,), 0.01)
    twice[5] = 0.02
    torch.testing.assert_close(relative(twice, even)[5] - relative(twice, even)[4], torch.tensor(1.0))
    assert relative(torch.eye(16)[0], even).isfinite().all()


# -- gradients --------------------------------------------------------------------------------------------------------


def test_gradient_rows_equal_those_of_eager_attention(
    sharp_vlm: VLM, eager: VLM, prompt: Prompt, answer: Answer
) -> None:
    chosen = [1, 4]
    batch = eager.batch([prompt], [answer.ids])
    with torch.no_grad():
        tokens = [t.clone() for t in eager.tokens(batch)]
    out = eager.model(**eager.inputs(batch, [t.requires_grad_() for t in tokens]), output_attentions=True)
    start = batch.ids.shape[1] - len(answer.ids) - 1
    logprobs = out.logits[0, start:-1].log_softmax(-1)
    slopes = torch.autograd.grad(sum(logprobs[t, answer.ids[t]] for t in chosen), out.attentions)
    want = torch.stack([(a * g)[0] for a, g in zip(out.attentions, slopes, strict=True)])
    want = want[:, :, [start + t for t in chosen]][..., batch.visual[0]].clamp(min=0)
    got = gradient_rows(sharp_vlm, prompt, answer, chosen)
    assert want.max() > 1e-4
    torch.testing.assert_close(got.answer, want.detach(), atol=1e-5, rtol=1e-3)
    assert token_map(got, [0, 1], layers=[0]).shape == (16,)
    with pytest.raises(ValueError, match="rows"):
        gradient_rows(sharp_vlm, prompt, Answer("", (), (), ()), [0])


# -- scores -----------------------------------------------------------------------------------------------------------


def test_scores_are_the_log_probabilities_of_the_answer(sharp_vlm: VLM, prompt: Prompt, answer: Answer) -> None:
    score = Scorer.of(sharp_vlm, prompt, answer, [0, 2])
    whole, none = score.tokens[None], torch.zeros(1, 16, dtype=torch.bool)
    with torch.no_grad():
        assert float(score(whole)) == pytest.approx(answer.logprobs[0] + answer.logprobs[2], abs=1e-4)
        several = score(torch.cat([whole, score.blanked(~none)]))
        torch.testing.assert_close(several, torch.cat([score(whole), score(score.blanked(~none))]))
    assert torch.equal(score.blanked(none), whole)
    with pytest.raises(ValueError, match="picture"):
        Scorer.of(sharp_vlm, Prompt(None, "Who?"), answer, [0])


# -- is a map telling the truth? --------------------------------------------------------------------------------------


class Sum(Scorer):
    """An answer to which each token contributes a known amount: `tokens` are these amounts and blank is their mean."""

    def __init__(self, worth: Tensor) -> None:
        object.__setattr__(self, "tokens", worth[:, None])

    def __call__(self, seen: Tensor) -> Tensor:
        return seen.sum((1, 2))


WORTH = torch.linspace(0, 3, 16) ** 3


def test_a_true_map_beats_every_random_choice_and_a_false_one_none() -> None:
    true = last(faithfulness(Sum(WORTH), WORTH, GRID))
    assert true.beaten == 1
    assert true.marked == pytest.approx([float((WORTH[-k:] - WORTH.mean()).sum()) for k in (2, 3, 5)], rel=1e-5)
    assert all(top > mean for top, mean in zip(true.marked, true.chance, strict=True))
    assert true.all == pytest.approx(0, abs=1e-4)
    assert last(faithfulness(Sum(WORTH), -WORTH, GRID)).beaten == 0
    assert last(faithfulness(Sum(torch.ones(16)), WORTH, GRID)).beaten == 0.5, "nothing lost by either is no merit"


def test_a_check_leaves_tokens_that_lie_nowhere_and_tells_how_far_it_is() -> None:
    inside = (Tile(3, 4, torch.arange(2, 14), (0, 0, 1, 1)),)
    touched: list[Tensor] = []

    class Watched(Sum):
        def __call__(self, seen: Tensor) -> Tensor:
            touched.append(seen != self.tokens)
            return super().__call__(seen)

    items = list(
        faithfulness(Watched(WORTH), WORTH.index_fill(0, torch.tensor([13]), float("nan")), inside, batch_size=5)
    )
    assert not torch.cat(touched)[:, [0, 1, 14, 15]].any()
    assert [x.done for x in items[:-1]] == list(range(0, items[0].total, 5))
    assert items[-1].done == items[-1].total == 2 + 3 + 3 * 8
    assert items[-1].marked[0] == pytest.approx(float(WORTH[12] - WORTH.mean()), rel=1e-5), "NaN is lower than all"


def test_a_check_that_is_closed_stops_asking() -> None:
    asked: list[int] = []

    class Watched(Sum):
        def __call__(self, seen: Tensor) -> Tensor:
            asked.append(len(seen))
            return super().__call__(seen)

    for start in (faithfulness(Watched(WORTH), WORTH, GRID, batch_size=4), ablation(Watched(WORTH), 4)):
        asked.clear()
        next(start)
        next(start)
        start.close()
        assert sum(asked) <= 5


# -- contributions ----------------------------------------------------------------------------------------------------


def test_contributions_of_a_sum_are_its_terms() -> None:
    terms = WORTH - WORTH.mean()
    torch.testing.assert_close(last(ablation(Sum(WORTH), 5)).values, terms, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last(integrated_gradients(Sum(WORTH))).values, terms, atol=1e-4, rtol=1e-4)
    group = region_of(16, GRID, 2)
    assert group.view(4, 4).tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2
    regions = torch.stack([terms[group == g].mean() for g in group])
    torch.testing.assert_close(last(shapley(Sum(WORTH), GRID, 2, 3)).values, regions, atol=1e-4, rtol=1e-4)


def test_contributions_on_a_model(sharp_vlm: VLM, prompt: Prompt, answer: Answer) -> None:
    """Ablation is one token taken away; the others sum to what the whole picture gives. The global generator stays."""
    score = Scorer.of(sharp_vlm, prompt, answer, range(len(answer.ids)))
    with torch.no_grad():
        without_one = score(score.blanked(torch.eye(16, dtype=torch.bool)))
        whole, blank = (float(score(score.blanked(torch.full((1, 16), x)))) for x in (False, True))
    torch.testing.assert_close(last(ablation(score)).values, whole - without_one, atol=1e-4, rtol=1e-3)
    before = torch.random.get_rng_state()
    found = list(shapley(score, GRID, 2, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert float(found[-1].values.sum()) == pytest.approx(whole - blank, abs=1e-3)
    assert all(a.done < b.done for a, b in pairwise(found))
    integrated = last(integrated_gradients(score, 64)).values
    assert float(integrated.sum()) == pytest.approx(whole - blank, rel=0.1, abs=0.02)


# -- words of byte-level pieces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (" the cat and the cat", ["the", "cat", "and", "the", "cat"]),
        (" Юрий живёт в Tarnów", ["Юрий", "живёт", "в", "Tarnów"]),
        (" 👩\u200d🍳 ok 👩\u200d🍳!", ["👩\u200d🍳", "ok", "👩\u200d🍳!"]),
        (" هذا خباز", ["هذا", "خباز"]),
        ("面包", ["面", "包"]),
    ],
)
def test_words_light_their_own_byte_pieces(tiny_vlm: VLM, said: str, expected: list[str]) -> None:
    ids = tiny_vlm.tokenizer(said, add_special_tokens=False)["input_ids"]
    found = join(pieces_of(tiny_vlm.tokenizer, ids))
    assert [word.text for word in found] == expected
    assert [i for word in found for i in word.tokens] == list(range(len(ids)))
    for word in found:
        assert tiny_vlm.tokenizer.decode([ids[i] for i in word.tokens]).strip() == word.text


# -- how an unlearned model sees ---------------------------------------------------------------------------------------


def test_what_cagul_selects_is_what_changes_and_only_where_its_gate_flags(tiny_vlm: VLM, prompt: Prompt) -> None:
    encoder = TokenEncoder(tiny_vlm.width, 8)
    torch.nn.init.ones_(encoder.up.bias)
    module = CagulModule(Gate(4 * tiny_vlm.width, 1, 0), encoder, (1,), 0.25, "lowest")
    found = seen_through(tiny_vlm, module.attach(tiny_vlm), prompt)
    batch = tiny_vlm.batch([prompt])
    scores = module.scores(tiny_vlm, batch, tiny_vlm.tokens(batch))[0]
    assert sorted(found.changed.tolist()) == sorted(choose_tokens(scores, 0.25, "lowest").tolist())
    assert found.gates == (GateReading(0.0, 0.0),)
    assert found.gates[0].flagged
    assert (found.moved > 0).nonzero().flatten().tolist() == found.changed.tolist()
    module.gate.threshold.fill_(1.0)
    let_through = seen_through(tiny_vlm, module.attach(tiny_vlm), prompt)
    assert not let_through.gates[0].flagged
    assert not len(let_through.changed)
    assert not let_through.moved.any()


def test_how_far_cvf_moved_each_token(tiny_vlm: VLM, prompt: Prompt) -> None:
    name = "model.multi_modal_projector.linear_2.weight"
    weight = tiny_vlm.model.get_parameter(name)
    found = seen_through(tiny_vlm, CvfModule({name: (0.1 * weight,)}, {}).attach(tiny_vlm), prompt)
    before = tiny_vlm.see([prompt])[0].tokens
    spread = (before - before.mean(0)).norm(dim=1).square().mean().sqrt()
    torch.testing.assert_close(found.moved, 0.1 * before.norm(dim=1) / spread, atol=1e-4, rtol=1e-3)
    assert found.gates == ()
    assert len(found.changed) == 16
