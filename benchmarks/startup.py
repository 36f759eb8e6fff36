"""Time the two commands: `make run` on an empty environment and once installed, until the page answers and until it has answered
a first question; with `--all` also `make check` and `make test`.

    python -m benchmarks.startup --all

Works on a fresh clone of what is committed, with an empty home; writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, write_result
from benchmarks.visitor import Visitor
from components.studio import ORIGINAL

ROOT = Path(__file__).resolve().parent.parent
WARM = 5
"""Starts once installed, of which the median is told."""
SUM = re.compile(r"\d+ (passed|errors?\b)")
QUESTION = "What is the job of this person?"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def running(folder: Path, home: Path) -> Iterator[str]:
    """`make run`, from the command to its end; gives the address, at which nobody may answer yet."""
    port = free_port()
    app = subprocess.Popen(
        ["make", "run", f"ARGS=--port {port} --workspace {home / 'workspace'}"],
        cwd=folder,
        env=os.environ | {"HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{port}"
        if app.poll() is not None:
            raise RuntimeError("the app stopped while it was being timed")
    finally:
        if app.poll() is None:
            os.killpg(app.pid, signal.SIGTERM)
        app.wait()


def wait_for(url: str, most: float = 900.0) -> None:
    end = time.monotonic() + most
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the page did not answer")


def start(folder: Path, home: Path) -> tuple[float, float]:
    """Seconds from `make run` until the page answers, and from then until a first question is answered, with its maps."""
    began = time.perf_counter()
    with running(folder, home) as url:
        wait_for(url)
        page = time.perf_counter()
        visitor = Visitor(url).open()
        picture = visitor.upload(folder / "docs" / "img" / "inspect.png")
        visitor.call("_bring", picture, QUESTION, ORIGINAL, None, None)
        answered = time.perf_counter()
        assert visitor.warnings == []
        visitor.leave()
    return page - began, answered - page


def made(folder: Path, home: Path, target: str) -> tuple[float, str]:
    """Seconds that a target of the Makefile takes, and the last line that sums up. All that it prints goes to a file in the
    home, which is shown where it fails; then RuntimeError is raised."""
    began, log = time.perf_counter(), home / f"{Path(target).name}.log"
    with log.open("w") as file:
        ended = subprocess.run(
            ["make", target], cwd=folder, env=os.environ | {"HOME": str(home)}, stdout=file, stderr=subprocess.STDOUT
        )
    said = log.read_text().splitlines()
    if ended.returncode:
        print(*said[-300:], sep="\n")
        raise RuntimeError(f"make {target} failed")
    return time.perf_counter() - began, next((line.strip("= ") for line in reversed(said) if SUM.search(line)), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="also time `make check` and `make test`")
    parser.add_argument("--out", type=Path, default=RESULTS / "startup.json")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def told(what: str, seconds: float, note: str = "") -> None:
        rows.append({"what": what, "seconds": round(seconds, 1), "note": note})
        print(rows[-1], flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder, home = Path(temporary) / "studio", Path(temporary) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        told("make run, nothing installed", start(folder, home)[0], "from a package index nearby")
        warm = [start(folder, home) for _ in range(WARM)]
        told("make run, installed", statistics.median(page for page, _ in warm))
        told(
            "the first answer, with its maps",
            statistics.median(answer for _, answer in warm),
            "after the page answered",
        )
        if args.all:
            made(folder, home, ".venv/.installed-dev")
            for target in ("check", "test"):
                told(f"make {target}", *made(folder, home, target))
    write_result(args.out, "startup", rows=rows)


if __name__ == "__main__":
    main()
