"""The endpoints as tools of language models, asked by the official client: who may do what is as on every other way in."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

pytest.importorskip("mcp")

from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from benchmarks.visitor import API, Visitor
from components import tools
from components.build import ABREAST
from components.doors.blocks import ONLY_OPERATORS
from tests.doors.conftest import PASSWORD, Place, Serve
from tests.unit.tiny_method import TinyConfig, request_of
from unlearn_core.accounts import Accounts
from unlearn_core.methods.base import Step
from unlearn_core.runs import RunState
from unlearn_core.runs.requests import export_request

VIEWER, OPERATOR = {"models", "ask", "attend", "runs", "watch"}, {"start", "cancel", "export"}
HELLO = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPTED = {"Accept": "application/json, text/event-stream"}

Picture = Callable[..., Image.Image]


@pytest.fixture(scope="module")
def place(serve: Serve) -> Place:
    return serve(mcp=True)


@pytest.fixture(scope="module")
def guarded(serve: Serve, users: Accounts) -> Place:
    return serve(users, mcp=True)


def cookie(place: Place, name: str) -> dict[str, str]:
    """What a program sends as somebody who has logged in, as the documentation says."""
    told = Visitor(place.url).log_in(name, PASSWORD)
    return {"Cookie": told.headers["set-cookie"].split(";")[0]}


def within(place: Place, use: Callable[[ClientSession], Coroutine[Any, Any, Any]], **headers: str) -> Any:
    """What comes of using the tools in a session of the official client."""

    async def session() -> Any:
        async with (
            create_mcp_http_client(headers) as http,
            streamable_http_client(f"{place.url}{API}/mcp/", http_client=http) as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            return await use(client)

    return asyncio.run(session())


def call(place: Place, name: str, headers: dict[str, str] | None = None, **values: Any) -> list[Any]:
    """What the tool gives. Raises AssertionError with the sentence of one that fails."""
    told: types.CallToolResult = within(place, lambda client: client.call_tool(name, values), **headers or {})
    assert not told.isError, told.content[0]
    return told.content


def in_base64(picture: Image.Image) -> str:
    file = BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_the_tools_are_the_endpoints_with_their_types_and_texts(place: Place) -> None:
    offered: types.ListToolsResult = within(place, lambda client: client.list_tools())
    assert {tool.name for tool in offered.tools} == VIEWER | OPERATOR
    ask = next(tool for tool in offered.tools if tool.name == "ask")
    assert ask.description == "Ask the original or an unlearned model one question."
    assert ask.inputSchema["required"] == ["question"]
    assert "base64" in ask.inputSchema["properties"]["picture"]["description"]


def test_a_picture_is_asked_about_and_comes_back_with_where_the_answer_looked(place: Place, picture: Picture) -> None:
    sent = in_base64(picture(1))
    question = "What is the job of this person?"
    (said,) = call(place, "ask", question=question, picture=f"data:image/png;base64,{sent}")
    looked, png, numbers = call(place, "attend", question=question, picture=sent)
    assert json.loads(said.text)["answer"] == json.loads(looked.text)["answer"]
    assert Image.open(BytesIO(base64.b64decode(png.data))).width == 960
    assert httpx.get(str(numbers.uri)).content.startswith(b"PK")
    left = [path.read_bytes() for path in Path(get_upload_folder()).rglob("*") if path.is_file()]
    assert base64.b64decode(sent) not in left


def test_a_run_from_request_to_bundle(place: Place, picture: Picture, tmp_path: Path) -> None:
    export_request(request_of([picture(i) for i in range(6)]), tmp_path / "request.zip")
    request = base64.b64encode((tmp_path / "request.zip").read_bytes()).decode()
    (started,) = call(place, "start", method="cagul", request=request, options={"steps": 3})
    (end,) = call(place, "watch", run=started.text)
    assert json.loads(end.text)["state"] == RunState.DONE
    (bundle,) = call(place, "export", run=started.text)
    assert httpx.get(str(bundle.uri)).content.startswith(b"PK")


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("ask", {"question": " "}, "question is empty"),
        ("ask", {"question": "Who?", "picture": "http://127.0.0.1/picture.png"}, "addresses are not fetched"),
        ("ask", {"question": "Who?", "picture": "/etc/passwd"}, "This is no file"),
        ("ask", {"question": "Who?", "model": "run:../../etc"}, "no such run"),
        ("ask", {}, "'question' is a required property"),
        ("_start", {}, "no tool of this name"),
    ],
)
def test_mistakes_get_a_sentence(place: Place, name: str, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        call(place, name, **values)


def test_what_is_wrong_inside_is_not_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sent: str) -> bytes:
        raise RuntimeError("a secret of somebody")

    monkeypatch.setattr(tools, "_bytes", broken)
    with pytest.raises(AssertionError, match="Something went wrong") as caught:
        call(place, "ask", question="Who?", picture="")
    assert "secret" not in str(caught.value)


def test_roles_hold_here_too(guarded: Place) -> None:
    vera, otto = cookie(guarded, "vera"), cookie(guarded, "otto")
    for headers, allowed in ((vera, VIEWER), (otto, VIEWER | OPERATOR)):
        offered = within(guarded, lambda client: client.list_tools(), **headers)
        assert {tool.name for tool in offered.tools} == allowed
    assert call(guarded, "models", vera)
    with pytest.raises(AssertionError, match=ONLY_OPERATORS):
        call(guarded, "start", vera, method="cagul", subjects=["p01"])
    with pytest.raises(AssertionError, match="no such run"):
        call(guarded, "cancel", otto, run="20200101-000000-00000000")


def test_files_open_for_whoever_called_alone(guarded: Place, picture: Picture) -> None:
    vera, otto = cookie(guarded, "vera"), cookie(guarded, "otto")
    *_, numbers = call(guarded, "attend", vera, question="Who?", picture=in_base64(picture(1)))
    assert [httpx.get(str(numbers.uri), headers=h).status_code for h in (vera, otto, {})] == [200, 403, 401]


def test_the_doors_stand_before_the_tools(place: Place, guarded: Place) -> None:
    """Nobody without a login, no other page, and no name bent to this machine."""

    def answer(place: Place, method: str = "POST", **headers: str) -> int:
        return httpx.request(method, f"{place.url}{API}/mcp", json=HELLO, headers=ACCEPTED | headers).status_code

    assert answer(place) == 200
    assert answer(place, "GET") == 405
    assert answer(guarded) == 401
    assert answer(guarded, Cookie=f"studio-{httpx.URL(guarded.url).port}=guessed") == 401
    assert answer(place, Origin="http://elsewhere.example") == 403
    assert answer(place, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert answer(place, Host="elsewhere.example") == 421


def test_a_call_that_nobody_waits_for_is_called_off(
    place: Place, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as may go at once are broken off; the next one still goes."""
    monkeypatch.setattr(tools, "LOOKED_AT", 0.05)
    endless, over = (
        place.studio.workspace.create("tiny", "watched", request_of([picture(1)]), TinyConfig(), "demo")
        for _ in range(2)
    )
    over.set_state(RunState.CANCELLED)
    asked = HELLO | {"method": "tools/call", "params": {"name": "watch", "arguments": {"run": endless.id}}}
    for _ in range(ABREAST):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{place.url}{API}/mcp", json=asked, headers=ACCEPTED, timeout=0.5)
    endless.append(Step("fit", 1, 3, {}, 0.0))
    (end,) = call(place, "watch", run=over.id)
    assert json.loads(end.text)["state"] == RunState.CANCELLED
    endless.release()
