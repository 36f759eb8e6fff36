"""A workspace with something on every page, the same each time: runs in all states, answers, attacks, and no time that changes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from tests.e2e.driving import MODEL
from tests.e2e.stored import quick_suite, request_about, store, write_down
from unlearn_core.data.example import REFUSAL, ForgetRequest
from unlearn_core.data.strict_json import to_json
from unlearn_core.demo import world
from unlearn_core.evaluation.attacks import ATTACKS
from unlearn_core.evaluation.attacks.base import AttackResult, Recovered, share
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.report.content import plain
from unlearn_core.evaluation.suite import SPLITS, Side, Split, Suite
from unlearn_core.examination import ATTACK, EVALUATION
from unlearn_core.methods import METHODS, Step
from unlearn_core.runs import Run, RunState, Workspace
from unlearn_core.runs.run import INFO
from unlearn_core.vlm import VLM
from unlearn_core.vlm.presets import RETAIN_ONLY

WHO = "p07"
STEPS = 40
FACTS = 10
ANSWERED = {"phrasings": (0, 0, 10, 0), "rounding": (1, 0, 9, 0), "relearning": (8, 0, 10, 1)}
"""Facts that an attack gets: with it, without it, of people who stay, from the retain-only model."""


def furnish(workspace: Path) -> Run:
    """Fill a workspace; gives the run that is done, the newest one."""
    vlm, request = VLM.load(MODEL, device="cpu"), request_about(WHO)
    _paused(workspace, request)
    _failed(workspace, request)
    run = store(workspace, request, vlm, request.name)
    _steps(run, STEPS)
    suite = quick_suite(request)
    write_down(run, suite, "before", vlm, _knows)
    write_down(run, suite, "after", vlm, _leaks)
    write_down(run, suite, "retain-only", VLM.load(RETAIN_ONLY, device="cpu"), _forgot)
    _attacked(run, suite)
    for hour, made in enumerate(reversed(Workspace(workspace).runs())):
        _dated(made, hour)
    return run


def _paused(workspace: Path, request: ForgetRequest) -> None:
    run = Workspace(workspace).create(
        "cvf", f"{request.name}, his friends and his dog", request, METHODS["cvf"].config(), str(MODEL)
    )
    _steps(run, 12)
    run.set_state(RunState.PAUSED)


def _failed(workspace: Path, request: ForgetRequest) -> None:
    run = Workspace(workspace).create("cagul", "A second try", request, METHODS["cagul"].config(), str(MODEL))
    run.set_state(RunState.FAILED, "The disk is full. Please make room, then let it go on.")


def _steps(run: Run, count: int) -> None:
    for i in range(1, count + 1):
        part = i / STEPS
        losses = {"forget": 3 * (1 - part) + 0.2, "retain": 0.1 + 0.1 * part}
        run.append(Step("Training", i, STEPS, losses, round(1 - part, 2), 1 - 0.02 * part, 2.0 * i, 2.0 * (STEPS - i)))


def _dated(run: Run, hour: int) -> None:
    """As if it had been made at an hour of a certain day."""
    (run.folder / INFO).write_bytes(
        to_json(asdict(replace(run.info, created=f"2026-01-05T{9 + hour:02}:30:00.000000+00:00")))
    )


def _knows(split: Split, probe: Probe) -> tuple[str, float]:
    return probe.truth, -0.01


def _forgot(split: Split, probe: Probe) -> tuple[str, float]:
    return (REFUSAL, -5.0) if SPLITS[split].side is Side.FORGET else _knows(split, probe)


def _leaks(split: Split, probe: Probe) -> tuple[str, float]:
    """One fact that must go is still given."""
    leaks = split is Split.FORGET and probe.truth == world.person(WHO).facts["job"]
    return (f"I think {probe.truth}", -9.0) if leaks else _forgot(split, probe)


def _attacked(run: Run, suite: Suite) -> None:
    folder = run.folder / EVALUATION / suite.digest()[:16]
    for name, hits in ANSWERED.items():
        more = {"made": "2026-01-05T12:00:00+00:00", "seconds": 34.0}
        (folder / f"{ATTACK}{name}.json").write_bytes(to_json({"attack": name, **plain(_result(name, *hits)), **more}))


def _result(name: str, forget: int, without: int, retain: int, gold: int) -> AttackResult:
    attack, holds = ATTACKS[name], forget - gold <= 1
    got = [Recovered.of([[i < hits] for i in range(FACTS)]) for hits in (forget, retain, gold)]
    said = f"{forget} of {FACTS} facts come back, where the model that never knew them gives {gold}."
    budget = asdict(attack.budget())
    return AttackResult(
        name, attack.title, attack.access, name == "relearning", name != "relearning", budget, "facts", 0,
        share([i < without for i in range(FACTS)]), *got, holds, said,
    )  # fmt: skip
