"""The page's program killed (SIGKILL) while it compares, attacks and is brought something: what was done is kept, what was
half done is gone, and the next start goes on. Fits are killed in `test_kills.py`."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.visitor import API, Visitor
from components.comparing.page import NOBODY
from components.studio import ORIGINAL, RUN
from tests.e2e.driving import MODEL, Server
from tests.e2e.stored import quick_suite, request_about, store, write_down
from tests.unit.tiny_method import until
from unlearn_core.comparison import standing
from unlearn_core.runs import Run, RunState
from unlearn_core.vlm import VLM
from unlearn_core.vlm.presets import RETAIN_ONLY

PLANTED = b"planted-half-upload"
WAITED = 120
"""Seconds; on a machine that has nothing else to do each takes one or two."""


class Studio:
    """The same home and workspace, through however many starts. A comparison has only the model before to ask yet."""

    def __init__(self, home: Path) -> None:
        vlm, request = VLM.load(MODEL, device="cpu"), request_about("p07")
        self.run: Run = store(home / "workspace", request, vlm, "Forget p07")
        for name, model in (("after", vlm), ("retain-only", VLM.load(RETAIN_ONLY, device="cpu"))):
            write_down(self.run, quick_suite(request), name, model, lambda _, probe: (probe.truth, -0.1))
        self.ref = RUN + self.run.id
        self.server = Server(home)

    def visitor(self, *pages: str) -> Visitor:
        visitor = Visitor(self.server.url).open()
        for refresh in pages:
            visitor.call(refresh, None)  # which results there are
        return visitor

    def kill_and_start(self) -> None:
        self.server.kill()
        self.server = Server(self.server.home)
        assert self.run.state is RunState.DONE
        assert not list(self.server.workspace.rglob(".*new-*"))

    def kept(self, pattern: str) -> Path | None:
        return next(self.run.folder.glob(f"evaluation/*/{pattern}"), None)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = Studio(tmp_path_factory.mktemp("killed"))
    yield studio
    studio.server.stop()


def begin(visitor: Visitor, function: str, *data: Any) -> None:
    """Call and do not wait for what comes of it."""
    body = {"fn_index": visitor.functions[function]["id"], "session_hash": visitor.session, "data": list(data)}
    assert visitor.http.post(f"{API}/queue/join", json=body).status_code == 200


def test_what_was_answered_before_a_kill_is_not_asked_again(studio: Studio) -> None:
    asked = (studio.ref, NOBODY, [], "", False)
    begin(studio.visitor("refresh_1"), "_run", *asked)
    until(lambda: (path := studio.kept("before-*.jsonl")) is not None and path.stat().st_size, WAITED)
    studio.kill_and_start()
    path = studio.kept("before-*.jsonl")
    assert path is not None
    answered = path.read_bytes().splitlines(keepends=True)
    whole = b"".join(line for line in answered if line.endswith(b"\n"))
    visitor = studio.visitor("refresh_1")
    visitor.call("_run", *asked)
    assert visitor.warnings == []
    assert standing(studio.run) is not None, "the comparison came to its end"
    assert path.read_bytes().startswith(whole)


def test_attacks_that_were_done_before_a_kill_are_there_and_others_go_again(studio: Studio) -> None:
    names = ["phrasings", "personas"]
    begin(studio.visitor("refresh_2"), "_attack", [studio.ref], [], names, "quick", "", 0)
    until(lambda: studio.kept("attack-phrasings.json"), WAITED)
    studio.kill_and_start()
    first, second = studio.kept("attack-phrasings.json"), studio.kept("attack-personas.json")
    assert first is not None
    assert json.loads(first.read_bytes())["attack"] == "phrasings"
    assert second is None, "it was killed in the middle of it"
    made = first.read_bytes()
    visitor = studio.visitor("refresh_2")
    begin(visitor, "_attack", [studio.ref], [], names[1:], "quick", "", 0)
    until(lambda: studio.kept("attack-personas.json"), WAITED)
    assert first.read_bytes() == made
    assert visitor.warnings == []


def test_what_was_half_brought_before_a_kill_is_gone_after_it(studio: Studio, tmp_path: Path) -> None:
    def half() -> list[Path]:
        files = (path for path in studio.server.temporary.rglob("*") if path.is_file())
        return [path for path in files if PLANTED in path.read_bytes()]

    host, port = studio.server.url.removeprefix("http://").split(":")
    cookie = "; ".join(f"{name}={value}" for name, value in studio.visitor().http.cookies.items())
    head = f"POST {API}/upload HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\nContent-Length: 900000\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    head += "Content-Disposition: form-data; name=files; filename=half.png\r\n\r\n"
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + PLANTED * 20_000)
        until(half, WAITED)
        studio.kill_and_start()
    assert half() == []
    assert len(list(studio.server.temporary.iterdir())) == 1, "the folder of the studio that is open now"
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "shot.png")
    visitor = studio.visitor()
    visitor.call("_bring", visitor.upload(tmp_path / "shot.png"), "Who is this?", ORIGINAL, None, None)
    assert visitor.warnings == []
