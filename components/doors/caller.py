"""A call of an endpoint on behalf of somebody whose request is here: it enters by the same doors as if they had sent it."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
from starlette.requests import Request
from starlette.types import ASGIApp

from components.doors.doors import API


class Denied(Exception):
    """Its text is a sentence for people."""


class Caller:
    """Args: http: sends to the doors what the somebody would be let in with."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._brought: list[Path] = []

    async def call(self, endpoint: str, values: Sequence[Any]) -> list[Any]:
        """What the endpoint gives at the end. Raises Denied."""
        taken = _let_in(await self._http.post(f"{API}/call/{endpoint}", json={"data": list(values)}))
        told = _let_in(await self._http.get(f"{API}/call/{endpoint}/{taken.json()['event_id']}")).text
        event, data = (line.partition(": ")[2] for line in told.rstrip().split("\n\n")[-1].split("\n"))
        output = json.loads(data)
        if event != "complete":
            raise Denied(output["error"] if isinstance(output, dict) else output)
        return output

    async def bring(self, data: bytes) -> dict[str, Any]:
        """Upload a file, which stays as long as this caller; gives what stands for it in a call. Raises Denied."""
        name = secrets.token_hex(8)  # the same bytes of two callers would lie in the same place otherwise
        brought = _let_in(await self._http.post(f"{API}/upload", files={"files": (name, data)}))
        self._brought += map(Path, brought.json())
        return {"path": brought.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def fetch(self, path: str) -> bytes:
        """A file that a call gave. Raises Denied."""
        return _let_in(await self._http.get(self._place(path))).content

    def address(self, path: str) -> str:
        """Where they can fetch the file themselves."""
        return str(self._http.base_url.join(self._place(path)))

    def leave(self) -> None:
        """Delete what was brought."""
        for path in self._brought:
            path.unlink(missing_ok=True)

    @staticmethod
    def _place(path: str) -> str:
        return f"{API}/file={quote(path)}"


@asynccontextmanager
async def on_behalf_of(request: Request, app: ASGIApp) -> AsyncIterator[Caller]:
    """Args: app: the page with its doors."""
    cookie = {"cookie": request.headers["cookie"]} if "cookie" in request.headers else {}
    address = f"{request.url.scheme}://{request.headers.get('host', '')}"
    inside = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=inside, base_url=address, headers=cookie, timeout=None) as http:
        caller = Caller(http)
        try:
            yield caller
        finally:
            caller.leave()


def _let_in(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise Denied(answer.json().get("detail", answer.reason_phrase))
