"""Nothing runs over the side of the page, and one can get everywhere with the keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.driving import Server, turn_to

PAGES = ("Inspect", "Forget", "Unlearn", "Compare", "Export")


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_no_page_scrolls_sideways(width: int, server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server.url, width, 844)
    for name in PAGES:
        turn_to(page, name)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_people_can_be_marked_with_the_keyboard(server: Server, visit: Callable[..., Page]) -> None:
    page = visit(server.url)
    turn_to(page, "Forget")
    card = page.locator("#forget-picker [data-pick='p01']")
    card.focus()
    page.keyboard.press("Space")
    expect(card).to_have_attribute("aria-checked", "true")
    expect(card).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#forget-picker [aria-checked=true]")).to_have_count(2)
