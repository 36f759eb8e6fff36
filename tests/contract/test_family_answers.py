"""Every family answers and scores as its own code does, alone and in batches, and reads the tokens it is given."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.contract.family import STEPS, outcome
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.errors import UnsupportedFamily
from unlearn_core.vlm.sharding import shard


def test_prompts_are_those_of_the_models_own_processor(vlm: VLM, prompts: list[Prompt]) -> None:
    """The same token ids, and logits as from pixels, for a picture and a text that the processor itself puts together."""
    for prompt in prompts[:2]:
        batch = vlm.batch([prompt])
        text = vlm.family.prompt(vlm.processor, prompt.question, True)
        if vlm.family.model_type == "paligemma":  # it writes the rest of the prompt by itself
            text = f"<image>{prompt.question}"
        bos = vlm.tokenizer.bos_token
        whole = vlm.processor(
            images=[prompt.image], text=[text], return_tensors="pt", add_special_tokens=bos not in text
        )
        assert whole["input_ids"].tolist() == batch.ids.tolist()
        with torch.no_grad():
            accepted = {k: v for k, v in whole.items() if k not in ("labels", "num_crops")}
            theirs = vlm.model(**accepted).logits[0, -1]
            ours = vlm.model(**vlm.inputs(batch, vlm.tokens(batch))).logits[0, -1]
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_batching_does_not_change_answers_or_scores(vlm: VLM, prompts: list[Prompt]) -> None:
    together, alone = (vlm.ask(prompts, max_new_tokens=STEPS, batch_size=n) for n in (len(prompts), 1))
    for a, b in zip(together, alone, strict=True):
        assert a.ids == b.ids
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)
    answers = ["baker", "This is Mira Olden.", "a cook", "no", "there"]
    for a, b in zip(*(vlm.score(prompts, answers, batch_size=n) for n in (len(prompts), 1)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


def test_scores_of_answers_are_those_of_generating_them(vlm: VLM, prompts: list[Prompt]) -> None:
    answers = vlm.ask(prompts, max_new_tokens=STEPS)
    assert all(len(a.ids) == STEPS for a in answers)
    batch = vlm.batch(prompts, [a.ids for a in answers])
    with torch.no_grad():
        logits = vlm.answer_logits(batch, vlm.tokens(batch)).float().log_softmax(-1)
    for row, answer in zip(logits, answers, strict=True):
        assert row[torch.arange(STEPS), list(answer.ids)].tolist() == pytest.approx(answer.logprobs, abs=1e-3)


class Edited:
    """A sight that changes the base model's tokens by `change`."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self.change = change

    def tokens(self, base: VLM, batch: Batch) -> list[Tensor]:
        return [self.change(t) for t in base.tokens(batch)]


def test_given_tokens_are_what_the_decoder_reads(vlm: VLM, prompts: list[Prompt]) -> None:
    plain = outcome(vlm, prompts)
    assert outcome(vlm.with_sight(Edited(lambda t: t.clone())), prompts) == plain
    for changed in (lambda t: -t, lambda t: t + 1):
        edited = outcome(vlm.with_sight(Edited(changed)), prompts)
        for a, b, prompt in zip(edited, plain, prompts, strict=True):
            assert (a == b) == (prompt.image is None)


def test_every_part_of_a_token_is_read(vlm: VLM, prompts: list[Prompt]) -> None:
    """Also of tokens that have several parts, such as deepstack features."""
    hidden = vlm.model.config.get_text_config().hidden_size
    for at in range(0, vlm.width, hidden):
        part = torch.zeros(vlm.width)
        part[at : at + hidden] = torch.randn(hidden, generator=torch.Generator().manual_seed(0))
        edited = vlm.with_sight(Edited(lambda t, part=part: t + part))
        assert outcome(edited, prompts[:1]) != outcome(vlm, prompts[:1])


def test_answers_carry_gradients_to_the_tokens_of_their_row(vlm: VLM, prompts: list[Prompt]) -> None:
    batch = vlm.batch(prompts, [vlm.answer_ids("baker")] * len(prompts))
    tokens = [t.detach().clone().requires_grad_() for t in vlm.tokens(batch)]
    vlm.answer_logits(batch, tokens)[0].sum().backward()
    reached = [t.grad is not None and bool(t.grad.abs().sum() > 0) for t in tokens]
    assert reached == [True, False, False, False]


def test_the_decoder_runs_the_same_layers_whatever_is_shown(vlm: VLM, prompts: list[Prompt]) -> None:
    """Processes that share its weights wait for one another at each linear layer. Where this is not so, none is shared."""

    def order(prompt: Prompt) -> list[str]:
        ran: list[str] = []
        hooks = [
            layer.register_forward_hook(lambda *_, name=name: ran.append(name))
            for name, layer in vlm.model.get_submodule(vlm.family.language).named_modules()
            if isinstance(layer, nn.Linear)
        ]
        vlm.score([prompt], ["baker"])
        for hook in hooks:
            hook.remove()
        return ran

    with_picture, without = order(prompts[0]), order(prompts[2])
    assert (with_picture == without) == vlm.family.in_sequence
    assert len(with_picture) == len(set(with_picture))
    if not vlm.family.in_sequence:
        with pytest.raises(UnsupportedFamily, match="where no picture is shown"):
            shard(vlm.model, vlm.family, vlm.device)
