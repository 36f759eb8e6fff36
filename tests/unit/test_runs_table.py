"""The table of runs: a thousand are no burden, what people wrote is text, and each stands where it should."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image

from components.runs_table import Listing, size, table
from tests.unit.tiny_method import TinyConfig, request_of
from unlearn_core.data.strict_json import to_json
from unlearn_core.methods.base import Step
from unlearn_core.runs import Run, RunState, Workspace

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def run(tmp_path: Path, picture: Callable[..., Image.Image]) -> Run:
    return Workspace(tmp_path).create("tiny", HOSTILE, request_of([picture(0), picture(1)]), TinyConfig(), "demo")


def copies(run: Run, count: int) -> None:
    """As many more runs like it, done, without writing everything again."""
    for i in range(count):
        made = replace(
            run.info, id=f"20250101-000000-{i:08x}", title=f"number {i}", created=f"2025-01-01T00:00:00.{i:06}"
        )
        folder = run.folder.with_name(made.id)
        folder.mkdir()
        for file in ("config.json", "state.json", "events.jsonl"):
            os.link(run.folder / file, folder / file)
        (folder / "info.json").write_bytes(to_json(asdict(made)))


def test_of_a_thousand_runs_those_are_read_that_are_shown_and_none_twice(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.append(Step("fit", 1, 1, forget=0.25, retain=1.0, seconds=61.0))
    run.set_state(RunState.DONE)
    copies(run, 1000)
    listing = Listing(Workspace(run.folder.parent))
    assert len(listing.find("", "All")) == 1001
    read: list[str] = []
    real = Workspace.run
    monkeypatch.setattr(Workspace, "run", lambda self, run_id: read.append(run_id) or real(self, run_id))
    found = listing.find("", "All")
    assert read == []
    assert [found[0].id, found[1].info.title] == [run.id, "number 999"]
    found[1].describe("renamed", "")
    assert listing.find("renamed", "Done")[0].id == found[1].id
    assert read == [found[1].id]
    shown = table(listing.rows(found[:25]), run.id)
    assert len(shown) < 40_000
    assert shown.count("data-pick") == 25
    assert re.search(r'aria-pressed="true"><b>&lt;img', shown)
    for cell in ("25%", "100%", "61 s"):
        assert f">{cell}</td>" in shown


def test_what_people_wrote_is_text_and_can_be_searched(run: Run) -> None:
    run.describe(HOSTILE, f"{HOSTILE}\nsecond line")
    listing = Listing(Workspace(run.folder.parent))
    assert "<img" not in table(listing.rows(listing.find("TINY onerror", "All")), "")
    assert listing.find("second tiny", "Going")
    assert not listing.find("third", "All")
    assert not listing.find("", "Done")
    run.set_state(RunState.PAUSED)
    assert listing.find("", "Can go on")
    assert listing.rows(listing.find("", "All"))[0].nbytes == run.nbytes() > 500
    listing.workspace.delete(run.id)
    assert listing.find("", "All") == []
    assert "no such run" in table([], "")


@pytest.mark.parametrize(("nbytes", "said"), [(1, "1 kB"), (2_540_000, "2.5 MB"), (3 * 10**9, "3.0 GB")])
def test_sizes_are_said_as_people_say_them(nbytes: int, said: str) -> None:
    assert size(nbytes) == said
