"""When the disk, the network or the files beneath give way: one sentence for who asked, and the studio goes on."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

import app
from benchmarks.visitor import API, Visitor
from components.studio import ORIGINAL
from tests.doors.conftest import Place, Serve
from tests.unit.tiny_method import until

QUESTION = "Who is this?"
TABLE: dict[str, Any] = {
    "headers": ["", "Side", "Who", "Question", "Answer", "Pics"],
    "data": [["", "forget", "Ann", QUESTION, "Ann", ""], ["", "retain", "", "What is 1 + 1?", "2", ""]],
}


@pytest.fixture
def shot(picture: Callable[..., Image.Image], tmp_path: Path) -> Path:
    picture(1).save(tmp_path / "shot.png")
    return tmp_path / "shot.png"


def goes_on(place: Place, shot: Path) -> None:
    """Somebody else is answered."""
    visitor = place.visitor()
    visitor.call("_bring", visitor.upload(shot), QUESTION, ORIGINAL, None, None)
    assert visitor.warnings == []
    visitor.leave()


@pytest.mark.parametrize(("code", "said"), [
    (errno.ENOSPC, "The disk is full"), (errno.EROFS, "must not be written to"), (errno.EIO, "Writing failed"),
])  # fmt: skip
def test_a_workspace_that_cannot_be_written_is_said_so(
    open_place: Place, shot: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    visitor = open_place.visitor()
    visitor.call("_add", [visitor.upload(shot)], "Ann")
    visitor.call("_edit", TABLE)
    with monkeypatch.context() as broken:
        broken.setattr("unlearn_core.runs.files.os.replace", fail)
        visitor.call("_save_1", "request")
    assert len(visitor.warnings) == 1
    assert said in visitor.warnings[0]
    visitor.call("_save_1", "request")
    assert len(visitor.warnings) == 1, "what was put together is still there"
    assert not list(open_place.workspace.rglob(".new-*"))
    goes_on(open_place, shot)


def test_a_model_whose_files_are_deleted_goes_on(serve: Serve, tiny_folder: Path, shot: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    place = serve(model=folder)
    shutil.rmtree(folder)
    goes_on(place, shot)
    visitor = place.visitor()
    visitor.call("_check", str(folder), "", "cpu", "auto", "none", "none")
    assert len(visitor.warnings) == 1, "that it cannot be loaded again is told in a sentence"


def test_an_upload_that_is_broken_off_leaves_nothing(open_place: Place, shot: Path) -> None:
    visitor = open_place.visitor()
    host, port = visitor.url.removeprefix("http://").split(":")
    head = f"POST {API}/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += "Content-Length: 900000\r\n\r\n--b\r\nContent-Disposition: form-data; name=files; filename=half.png\r\n\r\n"
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + b"planted-half-upload" * 20_000)
    goes_on(open_place, shot)
    folders = (Path(tempfile.gettempdir()), Path(os.environ["GRADIO_TEMP_DIR"]))
    until(lambda: not any(_is_half(path) for folder in folders for path in folder.glob("*")))


@pytest.mark.parametrize("jump", [-10 * 365 * 86_400, 10 * 365 * 86_400])
def test_a_clock_that_jumps_ends_no_session(
    open_place: Place, shot: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    visitor, now = open_place.visitor(), time.time
    file = visitor.upload(shot)
    visitor.call("_bring", file, QUESTION, ORIGINAL, None, None)
    with monkeypatch.context() as changed:
        changed.setattr(time, "time", lambda: now() + jump)
        visitor.call("_ask", QUESTION, ORIGINAL, None, None)
        visitor.call("_bring", file, QUESTION, ORIGINAL, None, None)
        goes_on(open_place, shot)
    visitor.call("_ask", QUESTION, ORIGINAL, None, None)
    assert visitor.warnings == []


def _is_half(path: Path) -> bool:
    try:
        return path.is_file() and b"planted-half-upload" in path.read_bytes()
    except OSError:  # of somebody else, or gone
        return False


def test_a_window_that_is_closed_while_it_waits_holds_up_nobody(open_place: Place, shot: Path) -> None:
    for _ in range(2):
        leaver = Visitor(open_place.url).open()
        file = leaver.upload(shot)
        body = {"fn_index": leaver.functions["_bring"]["id"], "session_hash": leaver.session}
        data = [file, QUESTION, ORIGINAL, None, None]
        assert leaver.http.post(f"{API}/queue/join", json={**body, "data": data}).status_code == 200
        leaver.leave()
    goes_on(open_place, shot)


def test_what_a_window_showed_goes_with_it(open_place: Place, shot: Path) -> None:
    """Also its answers, which the page of Gradio would hold as long as it runs. Windows that stay keep theirs."""
    held = open_place.page.state_holder
    stays, leaver = open_place.visitor(), open_place.visitor()
    for visitor in (stays, leaver):
        visitor.call("_bring", visitor.upload(shot), QUESTION, ORIGINAL, None, None)
        assert visitor.session in held
    leaver.leave()
    for _ in range(200):
        if leaver.session not in held:
            break
        time.sleep(0.05)
    assert leaver.session not in held
    assert stays.session in held
    stays.call("_ask", QUESTION, ORIGINAL, None, None)


def test_a_busy_port_is_left_to_who_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app._free_port("127.0.0.1", port) > port
    assert f"Port {port} is busy" in capsys.readouterr().out
