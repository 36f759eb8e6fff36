"""A process with a memory limit refuses what would go beyond it, says so, and goes on."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearn_core.runs.fitting import NO_MEMORY
from unlearn_core.vlm.ceiling import below_limit, limit_memory
from unlearn_core.vlm.errors import BadOption
from unlearn_core.vlm.loading import DEMO
from unlearn_core.vlm.room import NO_STEP, NOT_ONE

ROOT = Path(__file__).parents[2]
GIVING_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "2"}
"""As docs/howto/memory.md has it: else the allocator keeps what is free, and so close to the limit a thread could not start."""
PROGRAM = """
import sys
from pathlib import Path
from tests.unit.forgetting import small_request
from tests.unit.tiny_method import TinyConfig, TinyMethod, load_tiny, until
from unlearn_core.methods import METHODS
from unlearn_core.runs import Worker, Workspace
from unlearn_core.vlm import VLM, Prompt, ceiling
from unlearn_core.vlm.memory import free_memory

ROOM = 2**28
request, vlm = small_request(), VLM.load(sys.argv[2], device="cpu")
asked = [Prompt(request.forget[0].image, "What is the job?")]
before = vlm.ask(asked)[0].ids
worker = Worker(Workspace(Path(sys.argv[1])), load_tiny)
ceiling.SPARE = 0
ceiling.limit_memory((ceiling._in_use() + ROOM) / 1e9)
assert free_memory(vlm.device) <= ROOM + 2**26, "no model is loaded that would not fit below the limit"
method = METHODS["cagul"]
run = worker.start(vlm, request, method, method.config(batch=512), "one that does not fit")

def over():
    try:
        return run.state.over
    except MemoryError:  # there is none just now for whoever looks on, either
        return False

until(over, 120)
print(run.state, run.message)
assert vlm.ask(asked)[0].ids == before
small = worker.start(vlm, request, TinyMethod(), TinyConfig(), "one that fits")
until(lambda: small.state.over)
print(small.state)
worker.close()
"""


@pytest.mark.slow
def test_a_fit_that_does_not_fit_says_so_and_the_program_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "workspace"), str(DEMO)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | GIVING_BACK, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.removeprefix("failed ") in (NO_STEP, NOT_ONE, NO_MEMORY)
    assert second == "done"


@pytest.mark.parametrize("limit", [0.0, -1.0, 0.01, math.nan])
def test_a_limit_below_what_is_in_use_is_refused(limit: float) -> None:
    with pytest.raises(BadOption, match="must be at least"):
        limit_memory(limit)
    assert below_limit() is None
