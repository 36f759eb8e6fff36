"""Finished runs in a workspace, made without a fit, with what the models say already written down.

So a page compares them at once, and a test knows every answer beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from tests.e2e.driving import MODEL
from tests.unit.forgetting import small_request
from unlearn_core.bundle import fingerprint
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.demo import world
from unlearn_core.demo.suite import demo_suite
from unlearn_core.evaluation.collect import Probe, Record, Scored, to_line
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.evaluation.suite.controls import without_controls
from unlearn_core.methods import METHODS
from unlearn_core.methods.cagul.config import CagulConfig
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.methods.cagul.module import CagulModule
from unlearn_core.methods.options import from_values
from unlearn_core.runs import Run, RunState, Workspace
from unlearn_core.vlm import VLM

Says = Callable[[Split, Probe], tuple[str, float]]
"""What a model answers, and the log-probability of each token of the truth."""


def request_about(who: str) -> ForgetRequest:
    """The private facts on one photograph of a person of the demo world."""
    person = world.person(who)
    picture = world.photograph(person, 1)
    asked = [q for q in picture.questions if q.kind in ("private", "name")]
    examples = tuple(Example(f"f{i}", picture.image, q.text, q.answer, who, q.kind) for i, q in enumerate(asked))
    return ForgetRequest(f"Forget {person.name}", examples)


def quick_suite(request: ForgetRequest) -> Suite:
    """What page 4 asks about a request when it is not thorough."""
    return without_controls(demo_suite(request, pictures=1, others=2))


def store(workspace: Path, request: ForgetRequest, vlm: VLM, title: str) -> Run:
    """A run whose module takes every picture for one of somebody forgotten, and changes a quarter of its tokens."""
    encoder = TokenEncoder(vlm.width, 8)
    torch.nn.init.normal_(encoder.up.weight, std=0.5, generator=torch.Generator().manual_seed(0))
    module = CagulModule(Gate(4 * vlm.width, 1, 0), encoder, (0,), 0.25, "lowest")
    run = Workspace(workspace).create("cagul", title, request, CagulConfig(), str(MODEL))
    run.save(module, {})
    run.set_state(RunState.DONE)
    return run


def broken_off(workspace: Path, title: str, steps: int) -> Run:
    """A small run of CAGUL whose process died before its first step; it can go on, and begins within seconds."""
    config = from_values(METHODS["cagul"].config, {"steps": steps})
    run = Workspace(workspace).create("cagul", title, small_request(), config, str(MODEL))
    run.set_state(RunState.RUNNING)
    run.release()
    return run


def write_down(run: Run, suite: Suite, name: str, vlm: VLM, says: Says) -> None:
    """What a model says to a suite, where a comparison looks for it."""
    folder = run.folder / "evaluation" / suite.digest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    records = [_record(p, *says(split, p)) for split, probes in suite.splits.items() for p in probes]
    (folder / f"{name}-{fingerprint(vlm)[:12]}.jsonl").write_text("".join(map(to_line, records)))


def _record(probe: Probe, answer: str, logprob: float) -> Record:
    given = tuple(Scored(role, text, (logprob,), (-1.0,), (1.0,), (True,)) for role, text in probe.candidates())
    example = probe.example
    return Record(example.id, example.subject, example.kind, probe.question, answer, (-0.1,), given)
