"""Captured rows are what eager attention would have been, and capturing changes nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import LlavaConfig, LlavaForConditionalGeneration, MistralConfig

from unlearn_core.vlm import VLM, Prompt, capture
from unlearn_core.vlm.capture import Capture, LayersDone, capturing

Picture = Callable[..., Image.Image]
STEPS = 8


@pytest.fixture(scope="module")
def prompts(picture: Picture) -> list[Prompt]:
    """A left-padded batch: long, short, without a picture, and with a picture that the first one shows too."""
    first, second = picture(1), picture(2, (60, 40))
    return [
        Prompt(first, "What is the job of this person, and where does this person live?"),
        Prompt(second, "Who?"),
        Prompt(None, "What is the job of Mira?"),
        Prompt(first, "Is there a hat?"),
    ]


def eager(vlm: VLM) -> VLM:
    model = copy.deepcopy(vlm.model)
    model.set_attn_implementation("eager")
    return VLM(model, vlm.processor, vlm.family, "eager")


def generate(vlm: VLM, prompts: Sequence[Prompt], **options: bool) -> Any:
    batch, model = vlm.batch(prompts), cast(Any, vlm.model)
    with torch.no_grad():
        return model.generate(
            **vlm.inputs(batch, vlm.tokens(batch)),
            max_new_tokens=STEPS,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            **options,
        )


def question_reference(vlm: VLM, prompts: Sequence[Prompt]) -> list[Tensor]:
    """Per prompt with a picture, (layers, heads, question tokens, visual tokens) of eager attention."""
    plain, batch = eager(vlm), vlm.batch(prompts)
    with torch.no_grad():
        maps = torch.stack(plain.model(**plain.inputs(batch, plain.tokens(batch)), output_attentions=True).attentions)
    return [maps[:, i][:, :, batch.question[i]][..., batch.visual[i]] for i in batch.with_image()]


def test_question_rows_equal_eager_attention(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    reference = question_reference(sharp_vlm, prompts)
    assert max(r.max() for r in reference) > 0.5, "attention must be peaked for this to prove anything"
    answers = sharp_vlm.ask(prompts, rows=True, max_new_tokens=1)
    for want, got in zip(reference, [a.rows for a in answers if a.rows is not None], strict=True):
        torch.testing.assert_close(got.question, want, atol=1e-5, rtol=0)
        assert got.question.shape[2] == len(got.question_pieces)


def test_answer_rows_equal_eager_attention_in_every_step(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    out = generate(eager(sharp_vlm), prompts, output_attentions=True)
    batch = sharp_vlm.batch(prompts)
    answers = sharp_vlm.ask(prompts, rows=True, max_new_tokens=STEPS)
    peak = 0.0
    for i in batch.with_image():
        rows = answers[i].rows
        assert rows is not None
        assert rows.answer.shape == (2, 4, len(answers[i].ids), 16)
        assert len(answers[i].ids) > 4, "the answer must be long enough for decoding to be tested"
        assert answers[i].ids == tuple(out.sequences[i, batch.ids.shape[1] :][: len(answers[i].ids)].tolist())
        for t in range(len(answers[i].ids)):
            want = torch.stack([layer[i, :, -1, batch.visual[i]] for layer in out.attentions[t]])
            torch.testing.assert_close(rows.answer[:, :, t], want, atol=1e-5, rtol=0)
            peak = max(peak, want.max().item())
    assert peak > 0.5


def test_rows_do_not_depend_on_the_batch(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    together = sharp_vlm.ask(prompts, rows=True, max_new_tokens=STEPS)
    alone = sharp_vlm.ask(prompts, rows=True, max_new_tokens=STEPS, batch_size=1)
    for a, b in zip(together, alone, strict=True):
        assert a.ids == b.ids
        assert (a.rows is None) == (b.rows is None)
        if a.rows is not None and b.rows is not None:
            torch.testing.assert_close(a.rows.answer, b.rows.answer, atol=1e-4, rtol=0)
            torch.testing.assert_close(a.rows.question, b.rows.question, atol=1e-4, rtol=0)


def test_a_prompt_without_picture_has_no_rows(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    answers = sharp_vlm.ask(prompts, rows=True, max_new_tokens=2)
    assert [a.rows is None for a in answers] == [p.image is None for p in prompts]
    assert sharp_vlm.ask([prompts[2]], rows=True, max_new_tokens=2)[0].rows is None


def test_capture_changes_neither_tokens_nor_logits(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    batch = sharp_vlm.batch(prompts)
    before = generate(sharp_vlm, prompts)
    with capturing(Capture(torch.full((len(batch), 1), batch.ids.shape[1] - 1), torch.zeros(len(batch), 1).long())):
        during = generate(sharp_vlm, prompts)
    assert torch.equal(before.sequences, during.sequences)
    assert all(torch.equal(a, b) for a, b in zip(before.logits, during.logits, strict=True))
    plain, kept = sharp_vlm.ask(prompts), sharp_vlm.ask(prompts, rows=True)
    assert [a.ids for a in plain] == [a.ids for a in kept]
    assert [a.logprobs for a in plain] == [a.logprobs for a in kept]


def test_threads_do_not_see_each_others_captures(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    work = [prompts[:2], prompts[1:2], prompts[3:]]

    def rows(i: int) -> list[Tensor]:
        answers = sharp_vlm.ask(work[i % 3], rows=True, max_new_tokens=STEPS)
        return [a.rows.answer for a in answers if a.rows is not None]

    alone = [rows(i) for i in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for i, got in enumerate(pool.map(rows, range(60))):
            assert all(torch.equal(a, b) for a, b in zip(got, alone[i % 3], strict=True))


def test_question_attention_gives_the_rows_of_the_full_pass(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    shown = [p for p in prompts if p.image is not None]
    full = [a.rows for a in sharp_vlm.ask(shown, rows=True, max_new_tokens=1)]
    batch = sharp_vlm.batch(shown)
    for layers in ([0], [1], [0, 1]):
        early = sharp_vlm.question_attention(batch, sharp_vlm.tokens(batch), layers)
        for rows, part in zip(full, early, strict=True):
            assert rows is not None
            torch.testing.assert_close(part, rows.question[layers], atol=1e-5, rtol=0)


def test_question_attention_runs_no_layer_too_many(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    ran: list[int] = []
    layers = sharp_vlm.model.model.language_model.layers
    hooks = [layer.register_forward_pre_hook(lambda *_, i=i: ran.append(i)) for i, layer in enumerate(layers)]
    batch = sharp_vlm.batch(prompts[:1])
    sharp_vlm.question_attention(batch, sharp_vlm.tokens(batch), [0])
    for hook in hooks:
        hook.remove()
    assert ran == [0]


def test_capture_ends_with_its_block_even_after_an_error(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    batch = sharp_vlm.batch(prompts[:1])
    inputs = sharp_vlm.inputs(batch, sharp_vlm.tokens(batch))
    stopped = Capture(torch.zeros(1, 1).long(), torch.zeros(1, 1).long(), stop_after=0)
    with torch.no_grad(), pytest.raises(LayersDone), capturing(stopped):
        sharp_vlm.model(**inputs)
    with torch.no_grad():
        sharp_vlm.model(**inputs)
    assert {k: len(v) for k, v in stopped.kept.items()} == {0: 1}


def test_only_wanted_layers_are_kept(sharp_vlm: VLM, prompts: list[Prompt]) -> None:
    batch = sharp_vlm.batch(prompts[:1])
    wanted = Capture(torch.zeros(1, 1).long(), torch.zeros(1, 1).long(), layers=frozenset({1}))
    with torch.no_grad(), capturing(wanted):
        sharp_vlm.model(**sharp_vlm.inputs(batch, sharp_vlm.tokens(batch)))
    assert set(wanted.kept) == {1}


def sliding(tiny_vlm: VLM, window: int) -> VLM:
    """A random model whose language model sees the last `window` tokens only, and whose cache drops the others."""
    tiny = tiny_vlm.model.config
    sizes = ("hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers", "num_attention_heads")
    text: dict[str, Any] = {k: getattr(tiny.text_config, k) for k in sizes}
    torch.manual_seed(3)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=tiny.vision_config,
            text_config=MistralConfig(**text, num_key_value_heads=2, sliding_window=window),
            image_token_index=tiny.image_token_id,
            vision_feature_layer=-2,
        )
    ).eval()
    model.set_attn_implementation(
        {"": capture.IMPLEMENTATION, "text_config": capture.IMPLEMENTATION, "vision_config": "sdpa"}
    )
    return VLM(model, tiny_vlm.processor, tiny_vlm.family, "sliding")


@pytest.mark.parametrize("room", [-10, 3])
def test_keys_that_a_sliding_window_dropped_get_no_attention(tiny_vlm: VLM, prompts: list[Prompt], room: int) -> None:
    """`room`: how many tokens longer the window is than the prompt; with 3 it begins to slide amid the answer."""
    asked = [Prompt(prompts[0].image, "Who is this person?")]
    batch = tiny_vlm.batch(asked)
    length, visual = batch.ids.shape[1], batch.visual[0]
    vlm = sliding(tiny_vlm, length + room)
    out = generate(eager(vlm), asked, output_attentions=True)
    rows = vlm.ask(asked, rows=True, max_new_tokens=STEPS)[0].rows
    assert rows is not None
    assert rows.answer.shape[2] == STEPS
    dropped = 0
    for t in range(1, STEPS):
        dropped = length + t - out.attentions[t][0].shape[3]
        for layer in range(2):
            seen = visual >= dropped
            want = torch.zeros(4, len(visual))
            want[:, seen] = out.attentions[t][layer][0, :, 0, visual[seen] - dropped]
            torch.testing.assert_close(rows.answer[layer, :, t], want, atol=1e-5, rtol=0)
    assert dropped > visual[0], "the window must have dropped visual tokens for this to prove anything"
