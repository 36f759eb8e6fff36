"""A workspace, a request, a run and a worker of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.tiny_method import TinyConfig, load_tiny, request_of
from unlearn_core.data.example import ForgetRequest
from unlearn_core.runs import Run, Worker, Workspace

Picture = Callable[..., Image.Image]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "runs")


@pytest.fixture
def request_(picture: Picture) -> ForgetRequest:
    return request_of([picture(i) for i in range(4)])


@pytest.fixture
def run(workspace: Workspace, request_: ForgetRequest) -> Run:
    return workspace.create("tiny", "First try", request_, TinyConfig(steps=7), "demo")


@pytest.fixture
def worker(workspace: Workspace) -> Iterator[Worker]:
    worker = Worker(workspace, load_tiny)
    yield worker
    worker.close()
