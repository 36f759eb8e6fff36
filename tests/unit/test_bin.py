"""What was deleted on a page goes for good, also where the disk does not let it go at once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from components.bin import Bin
from components.seats import Seat, Seats
from components.studio import Studio
from tests.unit.tiny_method import TinyConfig, request_of
from unlearn_core.runs import Run, RunState
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import Choice

Picture = Callable[..., Image.Image]


def open_studio(vlm: VLM, root: Path) -> Studio:
    return Studio(Seats(Seat(Choice(vlm.name, device="cpu"), vlm)), root)


def stored(studio: Studio, picture: Picture) -> Run:
    run = studio.workspace.create("tiny", "One", request_of([picture(0)]), TinyConfig(), "model")
    run.set_state(RunState.CANCELLED)
    return run


def kept(root: Path) -> list[str]:
    """Hidden folders in which a deleted run may still lie."""
    return [path.name for path in root.glob(".*") if path.is_dir()]


def refuse(*_: Any) -> None:
    raise OSError(errno.EIO, "the disk")


@pytest.mark.parametrize("what", ["os.rename", "shutil.rmtree"])
def test_a_disk_that_refuses_when_the_time_is_over_is_asked_again(
    what: str,
    tiny_vlm: VLM,
    tmp_path: Path,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    studio, timers = open_studio(tiny_vlm, tmp_path), list[threading.Timer]()
    run = stored(studio, picture)
    monkeypatch.setattr("threading.Timer.start", lambda timer: timers.append(timer))
    with gr.Blocks():
        Bin(studio, "test", studio.workspace, "run").discard(run.id)
    (discarded,) = kept(tmp_path)
    os.utime(tmp_path / discarded, (0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(what, refuse)
        timers[0].function()
    assert "could not be removed" in caplog.text
    assert len(kept(tmp_path)) == 1
    stored(studio, picture)
    assert kept(tmp_path) == []
    studio.close()


def test_a_studio_ends_and_starts_on_a_disk_that_refuses(
    tiny_vlm: VLM, tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(tiny_vlm, tmp_path)
    studio.workspace.discard(stored(studio, picture).id)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        studio.close()
        open_studio(tiny_vlm, tmp_path).close()
    assert len(kept(tmp_path)) == 1
    open_studio(tiny_vlm, tmp_path).close()
    assert kept(tmp_path) == []
