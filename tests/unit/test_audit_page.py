"""What attacks found is kept one by one, read with care, and shown with its controls, escaped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_method import TinyModule, request_of

from components.auditing import verdicts
from unlearn_core.evaluation.attacks import ATTACKS, budgets_of
from unlearn_core.evaluation.progress import Progress, finish
from unlearn_core.evaluation.suite import Suite, suite_of
from unlearn_core.examination import Examination, Finding, kept, latest
from unlearn_core.runs import RunState, Status
from unlearn_core.runs.errands import Errand
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption, StorageFailed

Picture = Callable[..., Image.Image]
NAMES = ("phrasings", "membership", "pairs")


@pytest.fixture(scope="module")
def folder(tiny_vlm: VLM, picture: Picture, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An audit that was stopped in its third attack; the second needs never-seen people, whom the suite has not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Suite, "gives_away", lambda *_: True)
        suite = suite_of(request_of([picture(i) for i in range(4)]), tiny_vlm, limit=2)
        module = TinyModule(torch.zeros(tiny_vlm.width))
        finding = Finding("<b>A</b>", "tiny", module, tmp_path_factory.mktemp("run") / "evaluation")
        job = Examination(finding, tiny_vlm, suite).attack(NAMES, budgets_of("quick"))
        seen: list[Progress] = []
        for progress in job:
            seen.append(progress)
            if progress.phase.startswith("In company: "):
                break
        job.close()
        shares = [p.done / p.total for p in seen]
        assert shares == sorted(shares)
        assert shares[-1] < 1
        with pytest.raises(BadOption):
            finish(Examination(finding, tiny_vlm, suite).attack(["wishing"]))
        yield finding.folder


def test_each_result_is_kept_as_soon_as_it_is_there(folder: Path) -> None:
    suite = latest(folder)
    assert suite is not None
    found = {entry["attack"]: entry for entry in kept(suite)}
    assert set(found) == {"phrasings", "membership"}
    assert found["phrasings"]["withstands"] is False
    assert "no model saw" in found["membership"]["why"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in suite.iterdir())


def test_a_deleted_run_does_not_come_back(tiny_vlm: VLM, picture: Picture, tmp_path: Path) -> None:
    suite = suite_of(request_of([picture(0)]), tiny_vlm, limit=1)
    finding = Finding("A", "tiny", TinyModule(torch.zeros(tiny_vlm.width)), tmp_path / "gone" / "evaluation")
    with pytest.raises(StorageFailed, match="still there"):
        finish(Examination(finding, tiny_vlm, suite).attack(["membership"]))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", ["", "[]", '{"attack": "hints"}', '{"attack": "hints", "title": "x", "verdict": "y"}']
)
def test_what_cannot_be_read_counts_as_not_run(folder: Path, content: str) -> None:
    suite = latest(folder)
    assert suite is not None
    (suite / "attack-hints.json").write_text(content)
    assert {entry["attack"] for entry in kept(suite)} == {"phrasings", "membership"}
    (suite / "attack-hints.json").unlink()


def test_a_verdict_stands_with_its_numbers_its_controls_and_what_was_not_run(folder: Path) -> None:
    suite = latest(folder)
    assert suite is not None
    (result, reason) = sorted(kept(suite), key=lambda entry: "why" in entry)
    payload = "<img src=x onerror=alert(1)>"
    page = verdicts.audited(payload, [json.loads(json.dumps(result | {"verdict": payload})), reason | {"why": payload}])
    assert "<img" not in page
    assert page.count("&lt;img") == 3
    page = verdicts.audited("A run", [result, reason])
    for part in (result["verdict"].split(",")[0], "people who stay", "gives way", reason["why"], "Removing the module"):
        assert part in page
    assert all(attack.title in page for attack in ATTACKS.values())
    assert "No attack was run yet" in verdicts.audited("A run", [])


def test_progress_is_told_in_words() -> None:
    errand = Errand("run:1", "<i>Forget</i>", Status(RunState.RUNNING), Progress("Hints: asking, 2 of 4", 1, 2))
    shown = verdicts.progress(errand)
    assert "50.0%" in shown
    assert "<i>Forget" not in shown
    assert "Hints: asking, 2 of 4" in shown
    errand.status = Status(RunState.FAILED, "The disk is full.")
    assert "The disk is full." in verdicts.progress(errand)
