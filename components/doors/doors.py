"""What stands between the network and the page: every request passes here, and what is not let through is refused.

Roles and files of a call are looked at in `GuardedBlocks`; here it is hosts, origins, routes, logins, sessions and sizes.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.doors import login
from components.doors.admission import is_own_machine
from components.doors.headers import HEADERS, PRIVATE
from components.doors.visits import Attempts, Logins, Visitor, Visits
from unlearn_core.accounts import Accounts, Role
from unlearn_core.data.strict_json import from_json

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
API = "/gradio_api"
MAX_BODY = 16 * 10**6
"""Bytes of what a page sends beside files."""
MAX_FORM = 4_000
"""Bytes of a login."""
PER_NAME, PER_ADDRESS = 5, 20
"""Wrong passwords within five minutes, of one name from one address and of one address."""

PROGRAM = re.compile(
    r"/(assets|static|svelte)/.*|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/pwa_icon(/\d+)?"
)
"""Parts of the program, the same for everybody."""
PUBLIC = re.compile(rf"/login|/robots\.txt|/favicon\.ico|{API}/startup-events")
"""What is answered before anybody has logged in."""
ROUTES = {
    "GET": re.compile(
        rf"/|/config/?|/login|{PROGRAM.pattern}|{API}/(info/?|openapi\.json|app_id/?|user/?|login_check/?|theme\.css|startup-events"
        r"|heartbeat/[^/]+|queue/(data|status)|upload_progress|file=.+|call/.+|mcp/?)"
    ),
    "POST": re.compile(rf"/login|/logout|{API}/(upload|queue/join|cancel|reset/?|(run|api|call)/.+|mcp/?)"),
}
"""All else that Gradio could do is not there: proxies, streams, its editor, its run history, reloads, code as components."""

LINK = re.compile(r"at=[a-z]{1,20}(&run=[0-9a-f-]{1,40})?")
"""What a link to a page and a run asks for, which a login must not lose. Nothing else is carried on."""

Next = Callable[[Receive], Awaitable[None]]


class Refused(Exception):
    """Args: status: of HTTP. sentence: for people."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


@dataclass
class Doors:
    """ASGI middleware.

    Args:
        accounts: who may log in; None lets everybody in as an operator.
        host: the address that is listened on.
        port: goes into the name of the cookie, since cookies know no ports.
        max_upload: bytes of one upload.
    """

    app: ASGIApp
    visits: Visits
    accounts: Accounts | None
    host: str
    port: int
    max_upload: int
    logins: Logins = field(default_factory=Logins)
    by_name: Attempts = field(default_factory=lambda: Attempts(PER_NAME))
    by_address: Attempts = field(default_factory=lambda: Attempts(PER_ADDRESS))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(Request(scope, receive), send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, request: Request, send: Send) -> None:
        fresh: list[str] = []
        told = _telling(send, request, fresh, self._cookie)
        try:
            await self._let_in(request, told, fresh)
        except Refused as error:
            refusal = JSONResponse({"detail": error.sentence, "error": error.sentence}, error.status, error.headers)
            await refusal(request.scope, request.receive, told)

    @property
    def _cookie(self) -> str:
        return f"studio-{self.port}"

    # -- in order: place, sender, person, content ---------------------------------------------------------------------

    async def _let_in(self, request: Request, send: Send, fresh: list[str]) -> None:
        """Raises Refused."""
        method, path = "GET" if request.method == "HEAD" else request.method, request.scope["path"]
        self._from_here(request)
        if method not in ROUTES or not ROUTES[method].fullmatch(path):
            raise Refused(404, "There is nothing here.")
        if path in ("/login", "/logout"):
            answer = await self._log_in_or_out(request, fresh)
            await answer(request.scope, request.receive, send)
            return
        visitor = self._visitor(request, fresh)
        if visitor is None:
            if path == "/":
                await RedirectResponse(f"login{_link(request)}", 303)(request.scope, request.receive, send)
                return
            if not PUBLIC.fullmatch(path):
                raise Refused(401, "Please log in first.")
        else:
            request.state.visitor = visitor
        receive = request.receive
        if visitor is not None and method == "POST":
            if path == f"{API}/upload":
                receive, send = _whole(receive), self._uploading(request, visitor, send)
            else:
                receive = await self._looked_through(request, visitor)
        elif visitor is not None:
            self._own(request, path, visitor)
        await self.app(request.scope, receive, send)

    def _from_here(self, request: Request) -> None:
        """Only a page of the studio itself may send requests, whatever else the browser shows. Raises Refused."""
        host = request.headers.get("host", "")
        if self.accounts is None and is_own_machine(self.host) and _name(host) not in LOCAL:
            raise Refused(421, "The studio answers under localhost and 127.0.0.1 only.")  # a name bent to this machine
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refused(403, "This request comes from another page.")
        elsewhere = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        if elsewhere and (request.method != "GET" or request.headers.get("sec-fetch-mode") != "navigate"):
            raise Refused(403, "This request comes from another page.")

    def _visitor(self, request: Request, fresh: list[str]) -> Visitor | None:
        """Who this is; None for somebody who must log in first. A new browser is given a cookie with the page."""
        key = request.cookies.get(self._cookie, "")
        if self.accounts is not None:
            return self.logins.find(key)
        if not key and request.scope["path"] == "/":
            key = secrets.token_urlsafe(32)
            fresh.append(key)
        return Visitor(key, Role.OPERATOR)

    # -- login --------------------------------------------------------------------------------------------------------

    async def _log_in_or_out(self, request: Request, fresh: list[str]) -> Response:
        if self.accounts is None:
            return RedirectResponse(".", 303)
        key = request.cookies.get(self._cookie, "")
        if request.method in ("GET", "HEAD"):
            return login.page(self.logins.find(key), _link(request))
        if request.scope["path"] == "/logout":
            self.logins.end(key)
            fresh.append("")
            return RedirectResponse("login", 303)
        name, password = await self._form(request)
        address = request.client.host if request.client else ""
        slots = ((self.by_name, f"{address} {name}"), (self.by_address, address))
        wait = max(attempts.wait(slot) for attempts, slot in slots)
        if wait > 0:
            raise Refused(429, "Too many wrong passwords. Please wait a few minutes.", **{"Retry-After": f"{wait:.0f}"})
        for attempts, slot in slots:  # before the password is looked at, so that many at once do not slip through
            attempts.note(slot)
        role = await run_in_threadpool(self.accounts.role, name, password)
        if role is None:
            return login.page(None, _link(request), "The name or the password is wrong.", 401)
        for attempts, slot in slots:
            attempts.forgive(slot)
        fresh.append(self.logins.begin(name, role).key)
        by_hand = "text/html" in request.headers.get("accept", "")
        return RedirectResponse(f".{_link(request)}", 303) if by_hand else JSONResponse({"success": True})

    async def _form(self, request: Request) -> tuple[str, str]:
        body = await _body(request, MAX_FORM)
        async with Request(request.scope, _replay(body, request.receive)).form() as form:
            return str(form.get("username", "")), str(form.get("password", ""))

    # -- content ------------------------------------------------------------------------------------------------------

    def _own(self, request: Request, path: str, visitor: Visitor) -> None:
        """Streams and files of others are not for this visitor. Raises Refused."""
        session = request.query_params.get("session_hash")
        if path.startswith(f"{API}/heartbeat/"):
            session = path.rsplit("/", 1)[1]
        if session is not None and not self.visits.claim(session, visitor):
            raise Refused(403, "This session belongs to somebody else. Please open the page anew.")
        name = f"{API}/file="
        if path.startswith(name) and not self.visits.has(visitor, path.removeprefix(name)):
            raise Refused(403, "This file was not made in this browser, or is no longer here.")

    async def _looked_through(self, request: Request, visitor: Visitor) -> Receive:
        """The body again, after a look at it. Raises Refused."""
        body = await _body(request, MAX_BODY)
        try:
            content = from_json(body)
        except ValueError as error:
            raise Refused(400, "This is no JSON that the studio reads.") from error
        session = content.get("session_hash") if isinstance(content, dict) else None
        if session is not None and not (isinstance(session, str) and self.visits.claim(session, visitor)):
            raise Refused(403, "This session belongs to somebody else. Please open the page anew.")
        return _replay(body, request.receive)

    def _uploading(self, request: Request, visitor: Visitor, send: Send) -> Send:
        """What notes which files were brought. Raises Refused."""
        room = min(self.visits.room(visitor), self.max_upload)
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > room:
            raise Refused(413, f"There is room for {max(room, 0) / 1e6:.0f} MB. Please bring fewer or smaller files.")
        answer = bytearray()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.body":
                answer.extend(message.get("body", b""))
                if not message.get("more_body"):
                    self.visits.give(visitor, _strings(bytes(answer)))
            await send(message)

        return noted


def _link(request: Request) -> str:
    return f"?{request.url.query}" if LINK.fullmatch(request.url.query) else ""


def _telling(send: Send, request: Request, fresh: list[str], cookie: str) -> Send:
    """Answers with the headers that all have, and with a cookie where one is due."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS if PROGRAM.fullmatch(request.scope["path"]) else HEADERS | PRIVATE)
            for key in fresh:
                secure = "; Secure" if request.url.scheme == "https" else ""
                ends = "" if key else "; Max-Age=0"
                headers.append("Set-Cookie", f"{cookie}={key}; Path=/; HttpOnly; SameSite=Lax{secure}{ends}")
        await send(message)

    return told


async def _body(request: Request, most: int) -> bytes:
    """Raises Refused if it is longer."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise Refused(413, f"This is more than {most / 1e6:g} MB.")
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as if it came now, then whatever comes after it."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return parts.pop() if parts else await receive()

    return again


def _whole(receive: Receive) -> Receive:
    """The parts of an upload. One that breaks off is given to Gradio as one that is malformed, whose file it removes."""

    async def part() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MultiPartException("The upload was broken off.")
        return message

    return part


def _strings(answer: bytes) -> list[str]:
    try:
        content: Any = json.loads(answer)
    except ValueError:
        return []
    return [text for text in content if isinstance(text, str)] if isinstance(content, list) else []


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    return urlsplit(f"//{host}").hostname or ""
