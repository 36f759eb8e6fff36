"""A full disk stops what is being written with a sentence, and keeps what was."""

from __future__ import annotations

import collections
import errno
from collections.abc import Callable

import pytest
from PIL import Image

from tests.unit.runs.full import no_room_beyond
from tests.unit.tiny_method import TinyConfig, TinyMethod, request_of, until
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.base import Step
from unlearn_core.runs import Run, RunState, Worker, Workspace
from unlearn_core.runs.files import storing
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import StorageFailed

Picture = Callable[..., Image.Image]


def test_a_step_that_does_not_fit_on_the_disk_leaves_the_others_whole(run: Run) -> None:
    with no_room_beyond(2_000), pytest.raises(StorageFailed, match="disk is full"):
        collections.deque(run.append(Step("fit", i, 99)) for i in range(100))
    written = len(run.events())
    assert 5 < written < 100
    assert [step.index for step in run.events()] == list(range(written))
    run.append(Step("fit", written, 99))
    assert len(run.events()) == written + 1


def test_a_run_that_does_not_fit_on_the_disk_leaves_nothing(workspace: Workspace, picture: Picture) -> None:
    request = request_of([Image.effect_noise((300, 300), 90).convert("RGB")])
    with no_room_beyond(10_000), pytest.raises(StorageFailed, match="free some space"):
        workspace.create("tiny", "", request, TinyConfig(), "demo")
    assert workspace.runs() == []
    assert [path.name for path in workspace.root.iterdir()] == [".lock"]


def test_a_result_that_does_not_fit_is_failed_whole_and_the_next_run_goes(
    worker: Worker, tiny_vlm: VLM, request_: ForgetRequest
) -> None:
    with no_room_beyond(100_000):
        run = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(size=50_000), "")
        until(lambda: run.state.over)
    assert run.state == RunState.FAILED
    assert "free some space" in run.message
    assert not run.module_folder.exists()
    assert not list(run.folder.glob(".*"))
    after = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "")
    until(lambda: after.state == RunState.DONE)


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "space"), (errno.EROFS, "permissions"), (errno.ENOENT, "still there")]
)
def test_what_goes_wrong_on_the_disk_is_said_plainly(number: int, advice: str) -> None:
    with pytest.raises(StorageFailed, match=advice), storing():
        raise OSError(number, "what the system says")
