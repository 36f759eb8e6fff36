"""A fit that goes on from a checkpoint, in another process as far as it can tell, ends where one ends that never stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.forgetting import small_request
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import ALL_METHODS, Fit, Step
from unlearn_core.methods.options import from_values
from unlearn_core.methods.progress import Clock
from unlearn_core.runs import RunDamaged
from unlearn_core.runs.checkpoints import read_checkpoint, write_checkpoint
from unlearn_core.vlm import VLM

STEPS = 6
LORA = {"steps": STEPS, "rank": 2, "alpha": 4, "batch": 3, "rate": 0.01}
OPTIONS: dict[str, dict[str, Any]] = {
    "cagul": {"steps": STEPS, "width": 8, "batch": 4, "adversary": 1.0, "kl_weight": 1.0, "retain_weight": 1.0},
    "cvf": {"steps": STEPS, "forget_batch": 3, "retain_batch": 4, "questions": 3},
    "ga": LORA,
    "kl": LORA | {"retain_batch": 4},
    "idk": LORA | {"retain_batch": 4},
    "npo": LORA | {"retain_batch": 4},
}


@pytest.fixture(scope="module")
def request_() -> ForgetRequest:
    return small_request()


def start(name: str, vlm: VLM, request: ForgetRequest) -> Fit:
    method = ALL_METHODS[name]
    return method.start(vlm, request, from_values(method.config, OPTIONS[name]))


def timeless(step: Step) -> Step:
    return dataclasses.replace(step, seconds=0.0, seconds_left=0.0)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_fit_goes_on_as_if_it_had_never_stopped(
    name: str, tiny_vlm: VLM, request_: ForgetRequest, tmp_path: Path
) -> None:
    whole = start(name, tiny_vlm, request_)
    assert whole.checkpoint() is None
    steps, path = [], tmp_path / "checkpoint"
    for step in whole:
        steps.append(step)
        if step.index == step.total - 3:
            checkpoint = whole.checkpoint()
            assert checkpoint is not None
            write_checkpoint(path, checkpoint)

    again = start(name, tiny_vlm, request_)
    stored = read_checkpoint(path)
    assert stored is not None
    assert stored.step == steps[-1].total - 3
    again.restore(stored)
    rest = list(again)
    assert [timeless(s) for s in rest[-3:]] == [timeless(s) for s in steps[-3:]]
    assert [s.index for s in rest] == [s.index for s in steps if s.losses == {}] + [s.index for s in steps[-3:]]
    assert rest[-1].seconds > stored.values["seconds"]
    wanted, made = whole.module.tensors(), again.module.tensors()
    assert wanted.keys() == made.keys()
    assert all(torch.equal(tensor, made[key]) for key, tensor in wanted.items())
    assert again.report == whole.report


def test_steps_count_on_where_more_or_fewer_processes_prepared() -> None:
    clock = Clock({"read": (8, 2.0), "train": (6, 1.0)})
    for _ in range(8):
        clock.step("read")
    clock.skip("train", 3, 1.0, 7)  # after four units of preparation and three of training
    rest = [clock.step("train") for _ in range(3)]
    assert [(step.index, step.total) for step in rest] == [(8, 10), (9, 10), (10, 10)]
    assert rest[-1].seconds_left == 0.0


def test_a_checkpoint_of_another_fit_is_refused(tiny_vlm: VLM, request_: ForgetRequest) -> None:
    fit, other = start("cagul", tiny_vlm, request_), start("ga", tiny_vlm, request_)
    for step in fit:
        if step.losses:
            break
    checkpoint = fit.checkpoint()
    assert checkpoint is not None
    other.restore(checkpoint)
    with pytest.raises(ValueError, match="shape"):
        list(other)


@pytest.mark.parametrize("content", [b"", b"\x08", b"not one of ours, whatever its name says"])
def test_a_file_that_is_no_checkpoint_is_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    assert read_checkpoint(path) is None
    path.write_bytes(content)
    with pytest.raises(RunDamaged):
        read_checkpoint(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(RunDamaged):
        read_checkpoint(path)
