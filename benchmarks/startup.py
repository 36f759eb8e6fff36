"""Time `make run` on an empty environment, and the start of the app once installed, until the page answers.

    python -m benchmarks.startup

Works on a copy of the tracked files in a temporary folder; writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def seconds_to_page(folder: Path, home: Path) -> float:
    """Run `make run` and wait until the page answers; the app is stopped afterwards."""
    port = free_port()
    env = os.environ | {"HOME": str(home)}
    began = time.perf_counter()
    app = subprocess.Popen(
        ["make", "run", f"ARGS=--port {port} --workspace {home / 'workspace'}"],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while app.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
                return time.perf_counter() - began
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the app stopped before its page answered")
    finally:
        os.killpg(app.pid, signal.SIGTERM)
        app.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, home = Path(temporary) / "studio", Path(temporary) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        cold = seconds_to_page(folder, home)
        warm = [seconds_to_page(folder, home) for _ in range(5)]
    record = {
        "command": "python -m benchmarks.startup",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "cold_seconds": round(cold, 1),
        "warm_seconds_median": round(statistics.median(warm), 1),
        "warm_seconds": [round(w, 1) for w in warm],
    }
    (ROOT / "benchmarks" / "results" / "startup.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
