"""A fit whose processes are killed at random ends as if nobody had disturbed it, and nothing half-written is ever read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_killed_fits_lose_nothing(tmp_path: Path) -> None:
    out = tmp_path / "kills.json"
    command = [sys.executable, "-m", "benchmarks.kills", "--methods", "cvf", "--kills", "3", "--at-once", "3"]
    done = subprocess.run([*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["methods"]["cvf"]
    assert found["kills"] >= 3
    assert found["identical"] == found["runs"]
