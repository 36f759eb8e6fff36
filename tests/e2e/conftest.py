"""The studio as its own process, and a real browser. Each server has its port, workspace and home.

Servers that work end with the tests of their file, so that what comes next has the cores to itself.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.e2e.driving import WAIT, Server

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "correct horse battery"
"""Of everybody who has a login."""


CUT = re.compile("signal is aborted|Connection errored out|Unexpected error 404")
"""What Gradio says when a reload or an end cuts a stream that was open, or when it asks for one of a page that is left."""


def is_trouble(message: ConsoleMessage) -> bool:
    return message.type == "error" and not CUT.search(message.text)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start a fresh studio; all are stopped at the end."""
    servers: list[Server] = []

    def start(*flags: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("studio"), *flags))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def server(serve: Callable[[], Server]) -> Server:
    """The studio that the tests of a file share."""
    return serve()


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("lasting"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def quiet(lasting: Server) -> Server:
    """A studio that is never stopped and has nothing left to do when a file ends: files share it, each with an empty workspace."""
    for path in lasting.workspace.glob("*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return lasting


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a studio in a window of its own. At the end no request may have left the server and nothing may be in the console."""
    pages: list[Page] = []
    trouble: list[str] = []

    def open_page(url: str, width: int = 1280, height: int = 900, who: str | None = None, at: str = "") -> Page:
        page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        page.set_default_timeout(WAIT)
        inside = (url, url.replace("http:", "ws:"), "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(inside) else trouble.append(f"request to {r.url}"))
        page.on("console", lambda m: trouble.append(f"console: {m.text}") if is_trouble(m) else None)
        page.on("pageerror", lambda e: trouble.append(f"page error: {e}"))
        page.goto(f"{url}/{at}")
        if who is not None:
            page.get_by_label("Name").fill(who)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
        page.locator("#inspect-answer .said").wait_for(state="attached")  # the page may open on another one
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not trouble
