"""Every page looks as it did, in light, in dark and on a phone. `make looks` renews the pictures; look at them before you commit them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.e2e.driving import ROOT, WAIT, Server, mark, turn_to
from tests.e2e.furnished import WHO, furnish
from tests.e2e.pictures import compare

KEPT = Path(__file__).parent / "looks"
"""Half as large as the page: they are compared in blocks, and looked at by people."""
FAILED = ROOT / "test-artifacts" / "looks"
RENEW = "RENEW_LOOKS"
QUALITY = 80
"""Of WebP; the comparison sees no difference to the picture itself."""
STILL = 40
"""Most pictures that are taken of a page until two of them are the same."""

WINDOWS: dict[str, Any] = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}


def _inspect(page: Page) -> None:
    page.locator("#inspect-map .js-plotly-plot").wait_for()


def _forget(page: Page) -> None:
    mark(page, WHO, "p08")
    expect(page.locator("#forget-summary")).to_contain_text("2 people")


def _unlearn(page: Page) -> None:
    page.locator("#unlearn-losses .js-plotly-plot").wait_for()


def _compare(page: Page) -> None:
    page.locator("#compare-start").click()
    page.locator("#compare-rows .exam li button").first.click()
    page.locator("#closer-moved .js-plotly-plot").wait_for()


def _audit(page: Page) -> None:
    page.locator("#audit-verdicts .verdicts").wait_for()


def _export(page: Page) -> None:
    page.locator("#export-made .limits").wait_for()


def _runs(page: Page) -> None:
    page.locator("#runs-table button").first.click()
    page.locator("#runs-losses .js-plotly-plot").wait_for()


PAGES: dict[str, Callable[[Page], None]] = {
    "Inspect": _inspect,
    "Forget": _forget,
    "Unlearn": _unlearn,
    "Compare": _compare,
    "Audit": _audit,
    "Export": _export,
    "Runs": _runs,
}
"""What is done on each page until there is something to see."""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio with something on every page, by whose clock it is always the same time."""
    home = tmp_path_factory.mktemp("furnished")
    furnish(home / "workspace")
    server = Server(home, TZ="UTC")
    yield server
    server.stop()


@pytest.fixture(scope="module", params=WINDOWS)
def window(request: pytest.FixtureRequest, furnished: Server, browser: Browser) -> Iterator[tuple[str, Page]]:
    """A window in which one page after the other is looked at."""
    fixed: Any = {"reduced_motion": "reduce", "device_scale_factor": 1, "locale": "en-GB"}
    page = browser.new_page(**WINDOWS[request.param], **fixed)
    page.set_default_timeout(WAIT)
    page.goto(furnished.url)
    yield request.param, page
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_looks_as_it_did(name: str, window: tuple[str, Page]) -> None:
    look, page = window
    turn_to(page, name)
    PAGES[name](page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    picture, kept = taken(page), KEPT / f"{name.lower()}-{look}.webp"
    if os.environ.get(RENEW):
        KEPT.mkdir(exist_ok=True)
        picture.save(kept, quality=QUALITY, method=6)
        return
    before = Image.open(kept).convert("RGB")
    found = compare(before, picture)
    if not found.alike:
        FAILED.mkdir(parents=True, exist_ok=True)
        picture.save(FAILED / f"{kept.stem}.png")
        found.shown(picture).save(FAILED / f"{kept.stem}-difference.png")
    assert found.alike, (
        f"see {kept.stem}.png in {FAILED} and the difference beside it; if it is meant so, run `make looks`"
    )


def taken(page: Page) -> Image.Image:
    """The whole page, half as large, once nothing on it moves any more."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
    last = b""
    for _ in range(STILL):
        now = page.screenshot(full_page=True, animations="disabled", caret="hide")
        if now == last:
            break
        last = now
        page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(last)).convert("RGB")
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
