"""Page Runs: a run that another program started is watched, stopped, described, used again and deleted here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict

from playwright.sync_api import Page, expect

from tests.e2e.driving import MODEL, Server, turn_to
from tests.unit.forgetting import small_request
from unlearn_core.methods import METHODS, Step
from unlearn_core.methods.options import from_values
from unlearn_core.runs import RunState, Workspace
from unlearn_core.runs.run import Wish

NAME = "Somebody <b>bold</b>"


def test_a_run_of_another_program(quiet: Server, visit: Callable[..., Page]) -> None:
    config = from_values(METHODS["cagul"].config, {"steps": 77})
    run = Workspace(quiet.workspace).create("cagul", NAME, small_request(), config, str(MODEL))  # held by this process
    run.set_state(RunState.RUNNING)
    run.append(Step("Reading pictures", 1, 40, seconds=1.0, seconds_left=9.0))
    page = visit(quiet.url)
    turn_to(page, "Runs")
    row = page.locator("#runs-table tr", has_text="bold")
    expect(row).to_contain_text(NAME)
    row.get_by_role("button").click()
    expect(page.locator("#runs-progress")).to_contain_text("1 of 40")

    run.append(Step("Training", 2, 40, {"forget": 2.5}, 0.5, 1.0, 2.0, 8.0))
    expect(page.locator("#runs-progress")).to_contain_text("2 of 40")
    expect(row).to_contain_text("50%")
    expect(page.locator("#runs-losses .js-plotly-plot")).to_be_visible()
    expect(page.locator("#runs-delete")).to_be_hidden()
    page.locator("#runs-pause").click()
    expect(page.locator("#runs-pause")).to_contain_text("Pausing")
    assert run.wish() is Wish.PAUSE
    run.set_state(RunState.PAUSED)
    expect(row).to_contain_text("paused")
    expect(page.locator("#runs-resume")).to_be_visible()

    page.locator("#runs-title textarea, #runs-title input").fill("Second <i>name</i>")
    page.locator("#runs-note textarea").fill("kept too little")
    page.locator("#runs-save").click()
    row = page.locator("#runs-table tr", has_text="kept too little")
    expect(row).to_contain_text("Second <i>name</i>")
    assert Workspace(quiet.workspace).run(run.id).info.note == "kept too little"

    page.locator("#runs-again").click()
    expect(page.locator("#unlearn-who")).to_contain_text("Second <i>name</i>")
    expect(page.locator("#unlearn-methods [data-pick='cagul']")).to_have_attribute("aria-checked", "true")
    expect(page.locator("#option-cagul-steps input")).to_have_value(str(asdict(config)["steps"]))
    expect(page.locator("#unlearn-start")).to_be_enabled()

    turn_to(page, "Runs")
    page.locator("#runs-delete").click()
    expect(page.locator("#runs-delete")).to_contain_text("Delete it")
    page.locator("#runs-delete").click()
    expect(page.locator("#runs-one")).to_be_hidden()
    assert not run.folder.exists()
    expect(page).not_to_have_url(re.compile(run.id))
    assert "Somebody" not in (quiet.home / "log").read_text()
