"""Trackers are told numbers and nothing else, only when asked, and cannot end a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker

from tests.unit.tiny_method import TinyConfig, TinyMethod, load_tiny, until
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.base import Step
from unlearn_core.runs import Run, RunState, Worker, Workspace
from unlearn_core.runs.tracking import TRACKERS, check_trackers, tracked
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption


class Notes(GeneralTracker):
    """Keeps what it is told, as long as it works."""

    name, requires_logging_directory, main_process_only = "notes", False, False

    def __init__(self, breaks_at: int = 99) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.breaks_at = breaks_at

    @property
    def tracker(self) -> list[Any]:
        return self.told

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.told.append(values)

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        if step == self.breaks_at:
            raise ConnectionError("Mira Olden is not reached")
        self.told.append((step, values))

    def finish(self) -> None:
        self.told.append("end")


def test_trackers_hear_numbers_and_one_that_fails_is_given_up(
    workspace: Workspace, tiny_vlm: VLM, request_: ForgetRequest, caplog: pytest.LogCaptureFixture
) -> None:
    steady, weak = Notes(), Notes(breaks_at=2)
    worker = Worker(workspace, load_tiny, trackers=(steady, weak))
    try:
        run = worker.start(tiny_vlm, request_, TinyMethod(), TinyConfig(), "Mira Olden")
        until(lambda: run.state.over)
    finally:
        worker.close()
    assert run.state == RunState.DONE
    begin = {"method": "tiny", "steps": 3, "size": 32}
    losses = [(1, {"loss/refusal": 1.0}), (2, {"loss/refusal": 0.5}), (3, {"loss/refusal": 1 / 3})]
    assert steady.told == [begin, *losses, "end"]
    assert weak.told == [begin, losses[0]]
    assert "(Notes) failed (ConnectionError)" in caplog.text
    assert "Mira" not in caplog.text


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_whose_package_is_there_writes_what_it_is_told(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The tracker itself, through accelerate, and no server."""
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    for variable, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "TRACKIO_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(variable, value)
    with tracked([name], run, TinyConfig()) as tell:
        tell(Step("fit", 1, 2, {"refusal": 0.5}, forget=1.0, retain=0.75))
        tell(Step("fit", 2, 2, {"refusal": 0.25}))
    assert "failed" not in caplog.text
    assert [path for path in tmp_path.rglob("*") if path.is_file() and run.id in str(path)]


def test_only_known_trackers_whose_package_is_there_are_taken() -> None:
    assert check_trackers([]) == ()
    with pytest.raises(BadOption, match="tensorboard, trackio, wandb"):
        check_trackers(["smoke-signals"])
