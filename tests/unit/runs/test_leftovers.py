"""What killed processes leave half written is removed, and nothing that a living one is writing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from tests.unit.tiny_method import TinyModule, load_tiny
from unlearn_core import bundle
from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.cvf import CvfModule
from unlearn_core.runs import Run, RunState, Workspace
from unlearn_core.runs.files import NEW, clear, replacing, write_file
from unlearn_core.runs.scratch import PREFIX, scratch
from unlearn_core.vlm import VLM

NAME = b"Quillon Marchbanks"


@contextmanager
def process(work: Callable[[Callable[[], None]], object]) -> Iterator[Callable[[], int]]:
    """Another process, which has come to where `work` calls what it is given and stays there. Calling the result ends it
    well and gives its exit status; else it is killed."""
    came, told = os.pipe(), os.pipe()

    def wait() -> None:
        os.write(came[1], b"x")
        os.read(told[0], 1)

    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(told[1])
            work(wait)
            code = 0
        finally:
            os._exit(code)
    for end in (came[1], told[0]):
        os.close(end)
    assert os.read(came[0], 1), "it ended before it came there"
    ended: list[int] = []

    def end_well() -> int:
        os.write(told[1], b"x")
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return ended[0]

    yield end_well
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for end in (came[0], told[1]):
        os.close(end)


def writing(path: Path) -> Callable[[Callable[[], None]], None]:
    def work(wait: Callable[[], None]) -> None:
        with replacing(path) as file:
            file.write(NAME)
            file.flush()
            wait()

    return work


def half_written(root: Path) -> set[Path]:
    return {path.parent for path in root.rglob(f"{NEW}*")}


def test_only_what_nobody_is_writing_is_swept(workspace: Workspace, run: Run, request_: ForgetRequest) -> None:
    run.set_state(RunState.DONE)
    places = [workspace.root / "requests", workspace.root / "imported", run.folder / "evaluation" / "suite", run.folder]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        with process(writing(place / "file")):
            pass
    assert half_written(workspace.root) == set(places)
    with process(writing(places[0] / "alive")) as end_well:
        workspace.sweep()
        assert half_written(workspace.root) == {places[0]}, "what a living process writes stays"
        assert end_well() == 0
    assert (places[0] / "alive").read_bytes() == NAME
    workspace.sweep()
    assert half_written(workspace.root) == set()
    assert [r.id for r in workspace.runs()] == [run.id]
    assert run.request().forget


def test_a_workspace_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    Workspace(tmp_path / "none").sweep()
    assert not (tmp_path / "none").exists()


def test_sweeping_never_takes_what_is_being_made(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for i in range(100):
                write_file(tmp_path / "file", str(i).encode())
            code = 0
        finally:
            os._exit(code)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        clear(tmp_path.glob(f"{NEW}*"))
    assert ended[1] == 0
    assert (tmp_path / "file").read_bytes() == b"99"


def test_temporary_files_of_a_killed_program_go_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(kept)

    def upload(wait: Callable[[], None]) -> None:
        with scratch() as folder:
            (folder / "upload.png").write_bytes(NAME)
            wait()

    def folders() -> list[Path]:
        return [path for path in tmp_path.glob(f"{PREFIX}*") if not path.is_symlink()]

    with process(upload):
        pass
    (left,) = folders()
    assert (left / "upload.png").read_bytes() == NAME
    with process(upload) as end_well:
        (alive,) = folders()
        assert alive != left
        with scratch() as own:
            assert own.stat().st_mode & 0o777 == 0o700
            assert set(folders()) == {alive, own}, "another studio on this machine keeps its files"
        assert end_well() == 0
    assert folders() == []
    assert kept.is_dir()


@pytest.mark.parametrize("where", ["exporting.pack", "archive.content_of"])
def test_a_command_that_was_killed_at_a_bundle_leaves_nothing_to_the_next(
    where: str, tmp_path: Path, tiny_vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it writes one, and while it reads one: what lies among the temporary files goes with the next."""
    temporary, path = tmp_path / "temporary", tmp_path / "bundle.zip"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    module = TinyModule(torch.zeros(tiny_vlm.width))

    def export() -> None:
        bundle.export(module, tiny_vlm, path, title="T", report={}, limits=(), load_module=load_tiny)

    export()

    def killed(wait: Callable[[], None]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"unlearn_core.bundle.{where}", lambda *_: wait())
            export() if where.startswith("exporting") else bundle.describe(path)

    with process(killed):
        assert len(list(temporary.iterdir())) == 1
        bundle.verify(path, tiny_vlm)
        assert len(list(temporary.iterdir())) == 1, "a living process keeps its own"
    assert len(list(temporary.iterdir())) == 1
    bundle.verify(path, tiny_vlm)
    assert list(temporary.iterdir()) == []


def test_a_merge_that_was_killed_leaves_nothing_to_the_next(tmp_path: Path, tiny_vlm: VLM) -> None:
    weights = dict(tiny_vlm.model.named_parameters())
    name = next(n for n in weights if "multi_modal_projector" in n and n.endswith("weight"))
    module, folder = CvfModule({name: (torch.ones_like(weights[name]),)}, {}), tmp_path / "merged [1]"

    def merge(wait: Callable[[], None]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.replace", lambda *_: wait())
            bundle.merge(module, tiny_vlm, folder, title="T")

    with process(merge):
        pass
    assert len(list(tmp_path.iterdir())) == 1
    bundle.merge(module, tiny_vlm, folder, title="T")
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "model.safetensors").is_file()
