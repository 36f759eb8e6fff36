"""Fits of two processes that were killed or paused go on together and end as if nobody had disturbed them.

This file is also the program that the processes run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.unit.forgetting import small_request
from unlearn_core import cli
from unlearn_core.methods.base import Step
from unlearn_core.methods.saving import TENSORS
from unlearn_core.methods.world import World
from unlearn_core.runs import Run, RunState, Workspace, fitting
from unlearn_core.runs.requests import write_request
from unlearn_core.runs.run import Wish

STEPS, STOP = 6, 3
FLAGS = {
    "gd": "--rank 2 --batch 4 --retain-batch 4 --rate 0.01",
    "cvf": "--forget-batch 4 --retain-batch 4 --questions 4",
    "cagul": "--width 8 --batch 4 --gate-views 1 --hard-negatives 1 --adversary 1 --kl-weight 1 --retain-weight 1",
}
"""The last is killed, the others are paused."""


def work(model: str, request: str, out: str) -> None:
    """What each of the processes does, at first and when there are stopped runs."""
    stopped = sorted(Workspace(Path(out, "stopped")).runs(), key=lambda run: run.id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(World, "close", lambda self: None)  # the command after this one needs the others too
        patch.setattr(fitting, "OFTEN", 0.0)
        patch.setattr(sys, "stdout", sys.stderr)
        shared = ["--model", model, "--json"]
        for run in stopped:
            said(patch, "resume", str(run.folder), *shared)
        for workspace in () if stopped else ("whole", "stopped"):
            if workspace == "stopped":
                stop_on_the_way(patch)
            for name, flags in FLAGS.items():
                words = ["forget", name, request, *flags.split(), "--steps", str(STEPS), *shared]
                said(patch, *words, "--workspace", f"{out}/{workspace}")


def said(patch: pytest.MonkeyPatch, *words: str) -> None:
    patch.setattr(sys, "argv", ["unlearn", *words])
    cli.main()


def stop_on_the_way(patch: pytest.MonkeyPatch) -> None:
    """From now on each run is paused or killed once it has trained a while; the first process alone writes runs."""
    append = Run.append

    def stopping(run: Run, step: Step) -> None:
        append(run, step)
        if step.losses and step.total - step.index == STEPS - STOP:
            if run.info.method == "cagul":
                os.kill(os.getpid(), signal.SIGKILL)
            run.ask_for(Wish.PAUSE)

    patch.setattr(Run, "append", stopping)


@pytest.fixture(scope="module")
def runs(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, Run]]:
    """The undisturbed run and the one that was stopped, by method."""
    out = tmp_path_factory.mktemp("resumed")
    (out / "request").mkdir()
    write_request(out / "request", small_request())
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for killed in (True, False):
        done = subprocess.run(
            [*launcher, __file__, str(tiny_folder), str(out / "request"), str(out)],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert bool(done.returncode) == killed, done.stderr
    found: list[dict[str, Run]] = [
        {run.info.method: run for run in Workspace(out / name).runs()} for name in ("whole", "stopped")
    ]
    return {name: (found[0][name], found[1][name]) for name in FLAGS}


@pytest.mark.parametrize("name", FLAGS)
def test_what_two_processes_go_on_with_ends_as_if_undisturbed(name: str, runs: dict[str, tuple[Run, Run]]) -> None:
    whole, stopped = runs[name]
    assert whole.state is stopped.state is RunState.DONE
    wanted, made = (load_file(run.module_folder / TENSORS) for run in (whole, stopped))
    assert wanted.keys() == made.keys()
    assert all(torch.equal(tensor, made[key]) for key, tensor in wanted.items())
    assert timeless(stopped) == timeless(whole)
    assert stopped.report() == whole.report()


def timeless(run: Run) -> list[Any]:
    return [replace(step, seconds=0.0, seconds_left=0.0) for step in run.events()]


if __name__ == "__main__":
    work(*sys.argv[1:])
