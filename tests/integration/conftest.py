"""Work with the embedded model takes all cores that no other worker has; unit tests take one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def all_cores() -> Iterator[None]:
    threads = torch.get_num_threads()
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    torch.set_num_threads(max(1, min(2, os.cpu_count() or 1) // workers))
    yield
    torch.set_num_threads(threads)
