"""Where memory does not suffice, the same is done with less at a time, and if even that fails, a sentence says what to do."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_method import until
from torch import Tensor, nn

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import ALL_METHODS
from unlearn_core.methods.base import Fit
from unlearn_core.methods.cvf.student import Fitters, Student
from unlearn_core.methods.objectives import answer_cross_entropy
from unlearn_core.methods.options import from_values
from unlearn_core.runs import RunState, Worker, Workspace
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import OutOfMemory
from unlearn_core.vlm.room import NO_STEP, NOT_ONE, in_batches, short_of_memory

Picture = Callable[..., Image.Image]


@pytest.fixture(scope="module", autouse=True)
def little_garbage() -> Iterator[None]:
    """Each shortage collects garbage; looking through all that torch and pytest have loaded would take a while."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@contextmanager
def room_for(most: int, part: nn.Module, when: Callable[[], bool] = lambda: True) -> Iterator[list[int]]:
    """Passes of `part`, and of copies made of it, with more than `most` rows fail as on a full GPU, as often as `when` says
    so. Gives the sizes that were let through."""
    sizes: list[int] = []

    def refuse(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        size = next(len(x) for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        if size > most and when():
            raise torch.OutOfMemoryError("CUDA out of memory.")
        sizes.append(size)

    hook = part.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


def tower(vlm: VLM) -> nn.Module:
    return vlm.model.get_submodule(vlm.family.vision)


def decoder(vlm: VLM) -> nn.Module:
    return vlm.model.get_submodule(vlm.family.language)


@pytest.fixture
def vlm(sharp_vlm: VLM) -> VLM:
    """One that nobody else trains with: a VLM remembers how many rows fit."""
    return VLM(sharp_vlm.model, sharp_vlm.processor, sharp_vlm.family, sharp_vlm.name)


@pytest.fixture(scope="module")
def prompts(picture: Picture) -> list[Prompt]:
    images = [picture(i) for i in range(4)]
    return [Prompt(images[i], "Who is this?") for i in range(4)] + [Prompt(None, "What is the job of Mira Olden?")]


@pytest.fixture(scope="module")
def request_(picture: Picture) -> ForgetRequest:
    def rows(who: str, count: int, first: int) -> tuple[Example, ...]:
        return tuple(Example(f"{who}{i}", picture(first + i), "What is the job?", "baker", who) for i in range(count))

    strangers = tuple(picture(500 + i) for i in range(3))
    return ForgetRequest("test", rows("x", 4, 100), (), rows("y", 6, 900), strangers)


# -- one piece ---------------------------------------------------------------------------------------------------------


def test_batches_are_halved_until_they_fit_and_stay_so(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[list[int]] = []

    def work(part: Sequence[int]) -> list[int]:
        tried.append(list(part))
        if len(part) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [x * x for x in part]

    caplog.set_level(logging.WARNING)
    assert [x for part in in_batches(range(10), 8, work) for x in part] == [x * x for x in range(10)]
    assert [len(part) for part in tried] == [8, 4, 2, 2, 2, 2, 2]
    assert "8 at a time; going on with 4." in caplog.text


def test_what_a_failed_attempt_held_is_free_before_the_next() -> None:
    held: list[weakref.ref[Tensor]] = []

    def work(part: Sequence[int]) -> int:
        assert all(ref() is None for ref in held)
        tensor = torch.ones(3)
        held.append(weakref.ref(tensor))
        if len(part) > 1:
            raise MemoryError
        return int(tensor.sum())

    assert list(in_batches("abcd", 4, work)) == [3, 3, 3, 3]


def test_only_shortage_of_memory_is_taken_for_it() -> None:
    with pytest.raises(RuntimeError) as allocation:
        torch.empty(2**55)
    assert short_of_memory(allocation.value)
    assert short_of_memory(RuntimeError("can't start new thread"))
    assert short_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not short_of_memory(RuntimeError("shapes do not match"))
    with pytest.raises(ZeroDivisionError):
        list(in_batches([1, 2], 2, lambda part: 1 // 0))
    with pytest.raises(OutOfMemory, match="bfloat16 or quantised"):
        list(in_batches([1, 2], 2, lambda part: torch.empty(2**55)))


def test_who_shares_weights_with_others_does_not_go_on_with_less(vlm: VLM, prompts: list[Prompt]) -> None:
    """The others would take the weights that it borrows for another layer's."""
    vlm._training.firm = True
    batch = vlm.batch(prompts, [vlm.answer_ids("baker")] * len(prompts))
    tokens = vlm.tokens(batch)
    with room_for(2, decoder(vlm)) as read, pytest.raises(OutOfMemory, match="smaller batches"):
        vlm.answer_logits(batch, tokens)
    assert read == []


# -- see, ask, score ---------------------------------------------------------------------------------------------------


def test_the_verbs_give_what_small_batches_give(vlm: VLM, prompts: list[Prompt]) -> None:
    images, truths = [p.image for p in prompts if p.image is not None], ["baker"] * len(prompts)

    def all_verbs(size: int) -> list[Any]:
        asked = vlm.ask(prompts, rows=True, max_new_tokens=4, batch_size=size)
        rows = [a.rows.answer for a in asked if a.rows is not None]
        return [
            [(a.ids, a.logprobs) for a in asked],
            [x.tolist() for x in (*rows, *vlm.score(prompts, truths, batch_size=size))],
            [view.tokens.tolist() for view in vlm.see(prompts, batch_size=size)],
            [tokens.tolist() for tokens in vlm.encode(images, batch_size=size)],
        ]

    wanted = all_verbs(2)
    with room_for(2, decoder(vlm)) as read, room_for(2, tower(vlm)) as seen:
        assert all_verbs(4) == wanted
    assert max(read) == max(seen) == 2
    with room_for(0, tower(vlm)), pytest.raises(OutOfMemory) as told:
        vlm.ask(prompts)
    assert str(told.value) == NOT_ONE


# -- fits --------------------------------------------------------------------------------------------------------------

OPTIONS = {
    "cagul": {"steps": 2, "width": 8, "batch": 4, "gate_views": 0, "hard_negatives": 0, "rate": 0.05},
    "cvf": {"steps": 2, "forget_batch": 3, "retain_batch": 3, "questions": 4, "rate": 0.02, "drift_budget": 1.0},
    "npo": {"steps": 2, "batch": 4, "retain_batch": 4, "rank": 2, "rate": 0.01},
}


def fit_of(name: str, vlm: VLM, request: ForgetRequest) -> Fit:
    method = ALL_METHODS[name]
    return method.start(vlm, request, from_values(method.config, OPTIONS[name]))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_fit_goes_on_in_little_memory(name: str, vlm: VLM, request_: ForgetRequest) -> None:
    """Pictures are read and probed, and questions trained on, two at a time; CVF's tower is trained in one piece."""
    steps = list(fit_of(name, vlm, request_))
    reading = room_for(2, tower(vlm), when=lambda: not torch.is_grad_enabled())
    with room_for(2, decoder(vlm)) as asked, reading as read:
        again = list(fit_of(name, vlm, request_))
    assert max(asked) == 2
    assert len(read) > 1
    assert len(again) == len(steps)
    first = next(i for i, step in enumerate(steps) if step.losses)
    assert again[first].losses == pytest.approx(steps[first].losses, rel=0.02)  # fits may run in bfloat16


def test_a_training_pass_in_parts_has_the_gradients_of_the_whole(vlm: VLM, prompts: list[Prompt]) -> None:
    """In parts of two rows, one of them without a picture, for answers of differing lengths."""
    weight = decoder(vlm).get_parameter("layers.0.mlp.up_proj.weight")
    batch = vlm.batch(prompts, [vlm.answer_ids(a) for a in ("baker", "a smith", "no", "Mira Olden", "x")])
    tokens = [t.requires_grad_() for t in vlm.tokens(batch)]

    def passed(vlm: VLM) -> tuple[Tensor, ...]:
        logits = vlm.answer_logits(batch, tokens)
        loss = answer_cross_entropy(logits, batch.targets or ()).mean()
        return logits.detach(), *torch.autograd.grad(loss, [weight, *tokens])

    weight.requires_grad_(True)
    try:
        whole = passed(vlm)
        with room_for(2, decoder(vlm)) as sizes:
            parts = passed(vlm)
            assert sizes == [2, 2, 1, 1, 2, 2]
            passed(vlm)
            assert len(sizes) == 12, "what fits is remembered"
    finally:
        weight.requires_grad_(False)
    for got, wanted in zip(parts, whole, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_inputs_of_a_pass_that_failed_are_not_counted(vlm: VLM, request_: ForgetRequest) -> None:
    images = [e.image for e in request_.retain if e.image is not None]
    last: nn.Module = vlm.family.blocks(vlm.model)[-1]
    sums: list[Fitters] = []
    for most in (len(images), 2):
        with room_for(most, last):  # those before it have run when it fails
            sums.append({})
            Student(vlm, blocks=-1).read(images, sums[-1])
    for name, fitter in sums[0].items():
        assert fitter.count == sums[1][name].count > 0
        torch.testing.assert_close(fitter.sum, sums[1][name].sum, atol=1e-5, rtol=1e-5)


def test_a_run_without_room_fails_with_advice_and_the_next_one_goes(
    vlm: VLM, request_: ForgetRequest, tmp_path: Path
) -> None:
    method = ALL_METHODS["cvf"]
    config = from_values(method.config, OPTIONS["cvf"])
    worker = Worker(Workspace(tmp_path / "runs"))

    def ended(part: nn.Module, when: Callable[[], bool] = lambda: True) -> tuple[RunState, str]:
        with room_for(0, part, when):
            run = worker.start(vlm, request_, method, config, "")
            until(lambda: run.state.over)
        return run.state, run.message

    try:
        assert ended(tower(vlm)) == (RunState.FAILED, NOT_ONE)
        assert ended(tower(vlm), torch.is_grad_enabled) == (RunState.FAILED, NO_STEP)
        assert ended(nn.Identity()) == (RunState.DONE, "")
    finally:
        worker.close()
