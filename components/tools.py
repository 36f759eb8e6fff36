"""The endpoints of `api` as tools for language models: the Model Context Protocol, at one address behind the doors.

A tool is called on behalf of whoever sent the request, so that logins, roles, turns and files are those of any other call.
Gradio has a server of its own; it calls in one name for all and fetches addresses that it is told, so it stays off.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any, Union, get_args, get_origin, get_type_hints

import anyio
import gradio as gr
from gradio.data_classes import FileData
from gradio.utils import get_function_description
from mcp import types
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic import AnyUrl, Field, create_model
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from components.doors.caller import Caller, Denied, on_behalf_of
from components.doors.doors import API
from components.doors.roles import role_of
from unlearn_core.accounts import Role
from unlearn_core.runs.fitting import trace

PLACE = re.compile(rf"{API}/mcp/?")
FILE = "The file itself in base64, or as a data URL; addresses are not fetched."
WRONG = "Something went wrong. The log of the studio says what happened."
LOOKED_AT = 1.0
"""Seconds between two looks whether the caller still waits."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tool:
    """An endpoint as language models see it. Its types and its docstring say what it takes."""

    name: str
    run: Callable[..., Any]

    @property
    def role(self) -> Role:
        return role_of(self.run)

    def described(self) -> types.Tool:
        about, parameters, _ = get_function_description(self.run)
        hints, fields = get_type_hints(self.run), {}
        for name, parameter in signature(self.run).parameters.items():
            file = _is_file(hints[name])
            hint = Union[tuple(str if kind is FileData else kind for kind in _kinds(hints[name]))]  # noqa: UP007
            default = ... if parameter.default is Parameter.empty else parameter.default
            fields[name] = (hint, Field(default, description=f"{parameters[name]} {FILE if file else ''}".strip()))
        schema = create_model(self.name, __config__={"extra": "forbid"}, **fields).model_json_schema()
        return types.Tool(name=self.name, description=about, inputSchema=schema)

    async def call(self, caller: Caller, arguments: Mapping[str, Any]) -> list[types.ContentBlock]:
        """Raises Denied."""
        hints, values = get_type_hints(self.run), []
        for name, parameter in signature(self.run).parameters.items():
            value = arguments.get(name, parameter.default)
            values.append(await caller.bring(_bytes(value)) if _is_file(hints[name]) and value is not None else value)
        (output,) = await caller.call(self.name, values)
        parts = output if get_origin(hints["return"]) is tuple else [output]
        return [await _content(caller, part) for part in parts]


@dataclass
class Tools:
    """ASGI middleware, to stand behind the doors.

    Args:
        page: its public functions become tools.
    """

    app: ASGIApp
    page: gr.Blocks
    _manager: StreamableHTTPSessionManager = field(init=False)

    def __post_init__(self) -> None:
        self._tools = {t.name: t for t in tools(self.page)}
        server: Server[Any, Request] = Server(str(self.page.title))

        @server.list_tools()
        async def _() -> list[types.Tool]:
            role = _sent(server).state.visitor.role
            return [tool.described() for tool in self._tools.values() if role in (tool.role, Role.OPERATOR)]

        @server.call_tool()
        async def _(name: str, arguments: dict[str, Any]) -> types.CallToolResult:
            return await self._call(_sent(server), name, arguments)

        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            async with self._manager.run():
                await self.app(scope, receive, send)
        elif not PLACE.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
        elif scope["method"] != "POST":  # it keeps no sessions and has nothing to tell unasked
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
        else:
            await self._manager.handle_request(scope, receive, send)

    async def _call(self, request: Request, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """What nobody waits for any more is called off, as for a page that is closed."""
        told = types.CallToolResult(content=[], isError=True)
        async with anyio.create_task_group() as group:
            group.start_soon(_until_gone, request, group.cancel_scope)
            told = await self._told(request, name, arguments)
            group.cancel_scope.cancel()
        return told

    async def _told(self, request: Request, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        try:
            async with on_behalf_of(request, self.page.app) as caller:
                return types.CallToolResult(content=await self._tool(name).call(caller, arguments))
        except Denied as denied:
            return types.CallToolResult(content=[_text(denied)], isError=True)
        except Exception as error:
            log.error("a call of a tool failed\n%s", trace(error))
            return types.CallToolResult(content=[_text(WRONG)], isError=True)

    def _tool(self, name: str) -> Tool:
        if name not in self._tools:
            raise Denied(f"There is no tool of this name. Choose one of: {', '.join(self._tools)}.")
        return self._tools[name]


def tools(page: gr.Blocks) -> list[Tool]:
    """Of what the page offers to programs."""
    public = [f for f in page.fns.values() if f.api_visibility == "public" and f.fn is not None]
    return [Tool(str(f.api_name), f.fn) for f in public if f.fn is not None]


def _sent(server: Server[Any, Request]) -> Request:
    """The request that is being answered."""
    request = server.request_context.request
    assert request is not None, "there is one wherever HTTP is spoken"
    return request


async def _until_gone(request: Request, scope: anyio.CancelScope) -> None:
    while not await request.is_disconnected():
        await anyio.sleep(LOOKED_AT)
    scope.cancel()


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type alone."""
    return get_args(hint) if type(None) in get_args(hint) else (hint,)


def _is_file(hint: Any) -> bool:
    return FileData in _kinds(hint)


def _bytes(sent: str) -> bytes:
    """Raises Denied."""
    try:
        return base64.b64decode(sent.rpartition("base64,")[2], validate=True)
    except ValueError:
        raise Denied(f"This is no file. {FILE}") from None


async def _content(caller: Caller, output: Any) -> types.ContentBlock:
    """A picture as such, another file as a link that opens for whoever called, and all else as text."""
    if not (isinstance(output, dict) and "path" in output):
        return _text(output if isinstance(output, str) else json.dumps(output, ensure_ascii=False))
    path, name = output["path"], output["orig_name"]
    if name.endswith(".png"):
        picture = base64.b64encode(await caller.fetch(path)).decode()
        return types.ImageContent(type="image", data=picture, mimeType="image/png")
    return types.ResourceLink(type="resource_link", name=name, uri=AnyUrl(caller.address(path)))


def _text(text: Any) -> types.TextContent:
    return types.TextContent(type="text", text=str(text))
