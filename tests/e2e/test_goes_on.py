"""Page Runs: what broke off or was paused goes on to the very result of a run that never was, and is compared from there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from playwright.sync_api import Page, expect
from safetensors.torch import load_file

from tests.e2e.driving import WAIT, Server, turn_to
from tests.e2e.stored import broken_off
from unlearn_core.methods.saving import TENSORS
from unlearn_core.runs import RunState, Workspace

STEPS = 24
"""Enough that a run can be paused on the way."""
FIT = 300_000.0
"""Milliseconds for a fit; on two idle cores it takes seconds."""
WHOLE, PARTED = "In one go", "In two parts"


def choose(page: Page, title: str) -> None:
    page.locator("#runs-table tr", has_text=title).get_by_role("button").click()
    expect(page.locator("#runs-title textarea, #runs-title input")).to_have_value(title)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_go_on_finishes_a_run_and_compare_opens_with_it(quiet: Server, visit: Callable[..., Page]) -> None:
    whole, parted = (broken_off(quiet.workspace, title, STEPS) for title in (WHOLE, PARTED))
    page = visit(quiet.url)
    turn_to(page, "Runs")
    go_on, compare = page.locator("#runs-resume"), page.locator("#runs-compare")
    choose(page, WHOLE)
    go_on.click()
    expect(compare).to_be_visible(timeout=FIT)

    choose(page, PARTED)
    go_on.click()
    expect(page.locator("#runs-progress")).to_contain_text("running")
    page.locator("#runs-pause").click()
    expect(go_on).to_be_visible(timeout=2 * WAIT)
    assert Workspace(quiet.workspace).run(parted.id).state is RunState.PAUSED
    last = parted.events()[-1]
    assert last.index < last.total
    go_on.click()
    expect(compare).to_be_visible(timeout=FIT)
    learned, again = (load_file(run.module_folder / TENSORS) for run in (whole, parted))
    assert learned.keys() == again.keys()
    assert all(torch.equal(learned[name], again[name]) for name in learned)

    choose(page, WHOLE)  # not the newest, on which the choice would fall by itself
    compare.click()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#compare-result input")).to_have_value(re.compile(WHOLE))
    expect(page.locator("#compare-start")).to_be_enabled()
