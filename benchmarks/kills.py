"""Kill fits again and again, at random moments, and see whether anything is lost.

    python -m benchmarks.kills

Each run is carried out by processes that are killed (SIGKILL) until the last one is left to finish. After every kill
another process looks at the run's folder: all that is there must be whole. The result must be that of a fit that nobody
disturbed, to the last bit: module, report, and every step's losses. Random weights, a model of the demo's kind; methods
differ in what they keep, not in size. Writes benchmarks/results/kills.json.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.common import RESULTS, write_result
from benchmarks.growth import random_vlm
from unlearn_core.data.example import ForgetRequest
from unlearn_core.demo.request import forget_request
from unlearn_core.methods import ALL_METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.methods.saving import TENSORS
from unlearn_core.runs import Run, RunState, Workspace
from unlearn_core.runs.fitting import carry_out
from unlearn_core.vlm import VLM

OPTIONS: dict[str, dict[str, Any]] = {
    "cagul": {"steps": 40, "width": 16, "batch": 4, "kl_weight": 1.0, "adversary": 0.5},
    "cvf": {"steps": 40, "forget_batch": 4, "retain_batch": 4, "questions": 4},
    "gd": {"steps": 40, "rank": 2, "batch": 4, "retain_batch": 4},
}


@dataclass(frozen=True)
class Job:
    """What is fitted, and how often a process keeps a checkpoint, in seconds."""

    vlm: VLM
    request: ForgetRequest
    method: str
    workspace: Workspace
    often: float

    @property
    def config(self) -> Any:
        return from_values(ALL_METHODS[self.method].config, OPTIONS[self.method])

    def create(self) -> str:
        """A run that nobody works on yet."""
        run = self.workspace.create(self.method, "kills", self.request, self.config, self.vlm.name)
        run.set_state(RunState.PAUSED)
        return run.id

    def carry_on(self, run_id: str) -> None:
        run = self.workspace.take(run_id)
        status, _ = carry_out(run, self.vlm, ALL_METHODS[self.method], self.config, often=self.often)
        run.set_state(status.state, status.message)


@dataclass(frozen=True)
class Kill:
    """Seconds after which a process was killed, and what was there: steps, and the step of the checkpoint (0: none)."""

    after: float
    steps: int
    kept: int


def forked(job: Job, run_id: str) -> int:
    """The id of a process that carries on with a run. Its libraries and its model are there already."""
    if child := os.fork():
        return child
    try:
        job.carry_on(run_id)
    finally:
        os._exit(0)


def undisturbed(job: Job) -> tuple[Run, float]:
    """A run that nobody kills, and its seconds."""
    run_id, began = job.create(), time.monotonic()
    os.waitpid(forked(job, run_id), 0)
    return done(job, run_id), time.monotonic() - began


def disturbed(job: Job, kills: int, longest: float, rng: np.random.Generator) -> tuple[Run, list[Kill]]:
    """A run whose processes are killed within `longest` seconds each, up to so many times."""
    run_id, noted = job.create(), []
    while len(noted) < kills:
        child, after = forked(job, run_id), float(rng.uniform(0, longest))
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            break
        steps, kept = looked_at(job.workspace.run(run_id))
        noted.append(Kill(round(after, 3), steps, kept))
    if job.workspace.run(run_id).state is not RunState.DONE:
        os.waitpid(forked(job, run_id), 0)
    return done(job, run_id), noted


def looked_at(run: Run) -> tuple[int, int]:
    """Steps and step of the checkpoint; all that is there must be whole, and nobody may seem to be at work."""
    assert run.state.over, "a dead process seems to be at work"
    steps, checkpoint = run.events(), run.checkpoint()
    assert [step.index for step in steps] == list(range(1, len(steps) + 1)), "steps are missing"
    kept = 0 if checkpoint is None else checkpoint.step
    assert kept <= len(steps), "a checkpoint knows more than the steps"
    if run.module_folder.exists():
        load_file(run.module_folder / TENSORS)
    return len(steps), kept


def done(job: Job, run_id: str) -> Run:
    run = job.workspace.run(run_id)
    assert run.state is RunState.DONE, run.message
    assert {path.name for path in run.folder.iterdir()} >= {"module", "report.json"}
    assert not [path for path in run.folder.iterdir() if path.name.startswith((".", "checkpoint"))], "something is left"
    return run


def same(one: Run, other: Run) -> bool:
    """Whether module, report and steps are the same to the last bit, times aside."""
    tensors, others = (load_file(run.module_folder / TENSORS) for run in (one, other))
    steps, seen = ([replace(s, seconds=0, seconds_left=0) for s in run.events()] for run in (one, other))
    alike = tensors.keys() == others.keys() and all(torch.equal(t, others[name]) for name, t in tensors.items())
    return alike and steps == seen and one.report() == other.report()


def measure(job: Job, kills: int, at_once: int, rng: np.random.Generator) -> dict[str, Any]:
    """At least `kills` kills, up to `at_once` of them on each run."""
    wanted, seconds = undisturbed(job)
    runs, noted = 0, []
    while len(noted) < kills:
        run, killed = disturbed(job, at_once, seconds, rng)
        assert same(wanted, run), f"{job.method}: another result after {killed}"
        noted, runs = [*noted, *killed], runs + 1
        job.workspace.delete(run.id)
    return {"runs": runs, "kills": len(noted), "identical": runs, "killed": [asdict(kill) for kill in noted]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=16, help="of each method, at least")
    parser.add_argument("--at-once", type=int, default=4, help="of one run, at most")
    parser.add_argument("--methods", nargs="+", default=["cagul", "cvf"], choices=list(OPTIONS))
    parser.add_argument("--often", type=float, default=0.0, help="seconds between checkpoints; 0: after each step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "kills.json")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a process with more could not be forked
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        vlm = random_vlm(Path(temporary) / "model", 32, 32)
        request = forget_request(["p02"], pictures=4, retain_pictures=1)
        workspace = Workspace(Path(temporary) / "workspace")
        found = {
            method: measure(Job(vlm, request, method, workspace, options.often), options.kills, options.at_once, rng)
            for method in options.methods
        }
    write_result(options.out, "kills", seed=options.seed, methods=found)
    for method, result in found.items():
        print(f"{method}: {result['kills']} kills of {result['runs']} runs, every result the same to the last bit")


if __name__ == "__main__":
    main()
