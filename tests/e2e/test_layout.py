"""Nothing runs over the side of the page, and one can get everywhere with the keyboard."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.driving import Server, turn_to

PAGES = ("Inspect", "Forget", "Unlearn", "Compare", "Export")


def test_no_page_scrolls_sideways(quiet: Server, visit: Callable[..., Page]) -> None:
    """Opened on a phone, which then becomes a screen, narrow and wide."""
    page = visit(quiet.url, 390, 844)
    for width in (390, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 844})
        for name in PAGES:
            turn_to(page, name)
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name}, {width}"


def test_people_can_be_marked_with_the_keyboard(quiet: Server, visit: Callable[..., Page]) -> None:
    page = visit(quiet.url)
    turn_to(page, "Forget")
    card = page.locator("#forget-picker [data-pick='p01']")
    card.focus()
    page.keyboard.press("Space")
    expect(card).to_have_attribute("aria-checked", "true")
    expect(card).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#forget-picker [aria-checked=true]")).to_have_count(2)
