"""A model that is unloaded on the page leaves no bytes behind, measured as the system counts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import unloading
from benchmarks.growth import random_vlm

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the allocator decides")
def test_memory_comes_back_each_time_a_model_is_unloaded(tmp_path: Path) -> None:
    random_vlm(tmp_path, unloading.SIDE, 384)
    size = (tmp_path / "model.safetensors").stat().st_size / 2**20
    command = [sys.executable, "-m", "benchmarks.unloading", "--model", str(tmp_path), "--rounds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout.splitlines()[-1]):
        assert row["loaded"] - row["before"] > 0.9 * size
        assert row["unloaded"] - row["before"] < 0.3 * size
