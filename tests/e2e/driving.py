"""The studio as people have it, and what they do on its pages."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from unlearn_core.vlm.loading import DEMO

ROOT = Path(__file__).resolve().parents[2]
MODEL = Path(os.environ.get("STUDIO_MODEL", DEMO))
"""The embedded demo, or another checkpoint that was taught the same."""
START = 90.0
"""Seconds within which a server must answer, also on a busy machine."""
WAIT = 30_000.0
"""Milliseconds within which the page must follow a click."""

expect.set_options(timeout=WAIT)


class Server:
    """One process of the studio; `flags` are added to its command, `setting` to its environment. A home that there is
    already is used again."""

    def __init__(self, home: Path, *flags: str, **setting: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.home, self.workspace = f"http://127.0.0.1:{port}", home, home / "workspace"
        command = [sys.executable, "app.py", "--port", str(port), "--workspace", str(self.workspace)]
        command += ["--model", str(MODEL), *flags]
        temporary = home / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary), **setting}
        if "PYTEST_XDIST_WORKER" not in os.environ:  # alone, the studio takes all cores, as it does for people
            env.pop("OMP_NUM_THREADS", None)
        self.log = (home / "log").open("w")
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=self.log, stderr=subprocess.STDOUT)
        self.temporary = temporary
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"{self.url}/config", timeout=1)
                return
            except urllib.error.HTTPError:  # it answers, and wants to know who asks
                return
            except OSError:
                assert self.process.poll() is None, (self.home / "log").read_text()
                time.sleep(0.2)
        self.stop()
        raise TimeoutError(f"the studio did not start within {START:.0f} s")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(90)
        self.log.close()


# -- what people do on the pages ------------------------------------------------------------------------------------------


def turn_to(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def mark(page: Page, *subjects: str) -> None:
    turn_to(page, "Forget")
    for subject in subjects:
        page.locator(f"#forget-picker [data-pick='{subject}']").click()
    expect(page.locator("#forget-picker [aria-checked=true]")).to_have_count(len(subjects))


def start(page: Page, method: str, steps: int | None = None) -> None:
    """Start a run on the people who are marked, and wait until it is the one that is shown. `steps` None leaves the default."""
    turn_to(page, "Unlearn")
    page.locator(f"#unlearn-methods [data-pick='{method}']").click()
    expect(page.locator(f"#unlearn-methods [data-pick='{method}']")).to_have_attribute("aria-checked", "true")
    if steps is not None:
        page.locator(f"#option-{method}-steps input").fill(str(steps))
    page.locator("#unlearn-start").click()
    expect(page.locator("#unlearn-onward")).to_be_hidden()  # that of the run before


def upload(page: Page, button: str, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(button).click()
    chooser.value.set_files(path)


def told(page: Page) -> Locator:
    """The sentence of the newest message."""
    return page.get_by_test_id("toast-body").last


def share(page: Page, kind: str, column: int) -> float:
    """A number of the summary: column 3 is before, 4 is A; B and retain-only follow where there are such."""
    row = page.locator("#compare-summary tr", has=page.get_by_role("rowheader", name=kind, exact=True))
    text = row.locator(f":nth-child({column})").first.inner_text()
    return float(re.findall(r"\d+", text)[0]) / 100
