"""Results side by side: every model is asked once, what it said is kept, and a run's standing can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_method import TinyConfig, TinyModule, request_of

from unlearn_core.comparison import Result, set_side_by_side, standing
from unlearn_core.data.example import Example
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.progress import Progress, finish
from unlearn_core.evaluation.status import Form
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.runs import Run, RunDamaged, RunState, Workspace
from unlearn_core.vlm import VLM, Prompt

Picture = Callable[..., Image.Image]


@pytest.fixture
def run(tmp_path: Path, picture: Picture) -> Run:
    run = Workspace(tmp_path).create("tiny", "A run", request_of([picture(0), picture(1)], "p1"), TinyConfig(), "tiny")
    run.set_state(RunState.DONE)
    return run


@pytest.fixture(scope="module")
def suite(tiny_vlm: VLM, picture: Picture) -> Suite:
    """Questions whose truth is what the random model says."""
    asked = [Prompt(picture(i), "Who is this?") for i in range(4)]
    said = tiny_vlm.ask(asked, max_new_tokens=4)
    probes = [
        Probe(Example(f"e{i}", p.image, p.question, a.text or "x", f"p{i // 2 + 1}"))
        for i, (p, a) in enumerate(zip(asked, said, strict=True))
    ]
    return Suite("s", {Split.FORGET: tuple(probes[:2]), Split.RETAIN_FAR: tuple(probes[2:])}, form=Form.EXACT)


@pytest.fixture
def asked(suite: Suite, tiny_vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions were asked each time; answers are kept short."""
    short, counts = tiny_vlm.ask, []

    def ask(self: VLM, prompts: list[Prompt], **more: int) -> object:
        counts.append(len(prompts))
        return short(prompts, **more | {"max_new_tokens": 4})

    monkeypatch.setattr(VLM, "ask", ask)
    return counts


def test_all_are_asked_once_and_kept(run: Run, suite: Suite, tiny_vlm: VLM, asked: list[int]) -> None:
    shifted = TinyModule(torch.linspace(-3, 3, tiny_vlm.width)).attach(tiny_vlm)
    results = [Result("A", shifted, run), Result("B", tiny_vlm)]
    seen: list[Progress] = []
    found = finish(set_side_by_side(tiny_vlm, results, suite, gold=tiny_vlm), seen.append)
    assert found.names == ("before", "A", "B", "retain-only")
    assert [(p.done, p.total) for p in seen] == [(0, 16), (4, 16), (8, 16), (12, 16), (16, 16)]
    assert [s.model for s in found.table.summaries] == list(found.names)
    now = standing(run)
    assert now is not None
    assert (now.leaked.value, now.questions) == (found.table.summaries[1].leaked.value, 4)

    asked.clear()
    again = finish(set_side_by_side(tiny_vlm, results, suite, gold=tiny_vlm))
    assert asked == [4], "only B, which no folder keeps"
    assert [e.splits for e in again.evaluations] == [e.splits for e in found.evaluations]


def test_a_standing_is_noted_only_of_its_own_request_and_can_be_told_from_a_damaged_one(
    run: Run, suite: Suite, tiny_vlm: VLM, asked: list[int]
) -> None:
    assert standing(run) is None
    others = Suite("o", {Split.FORGET: suite.splits[Split.RETAIN_FAR]}, form=Form.EXACT)
    finish(set_side_by_side(tiny_vlm, [Result("A", tiny_vlm, run)], others))
    assert standing(run) is None, "the questions were about somebody else"
    (run.folder / "evaluation" / "standing.json").write_text('{"leaked": 1}')
    with pytest.raises(RunDamaged):
        standing(run)
