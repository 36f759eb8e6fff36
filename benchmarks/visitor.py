"""A visitor without a browser: sends what a page would send, and anything else."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

API = "/gradio_api"


class Denied(Exception):
    """Args: status: of HTTP; 200 for a call that was taken and then refused. sentence: what was said."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@dataclass
class Visitor:
    """One browser with one window.

    Args:
        url: of the studio.
        session: as a browser draws one for each window.
    """

    url: str
    session: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self.functions: dict[str, dict[str, Any]] = {}
        self.warnings: list[str] = []

    def log_in(self, name: str, password: str) -> httpx.Response:
        return self.http.post("/login", data={"username": name, "password": password})

    def open(self) -> Visitor:
        """Open the page: a cookie, and which functions there are, by name."""
        self.http.get("/")
        config = self.http.get("/config").raise_for_status().json()
        self.functions = {d["api_name"]: d for d in config["dependencies"]}
        return self

    def call(self, function: int | str, *data: Any, event: dict[str, Any] | None = None) -> list[Any]:
        """Call through the queue and return what the function gave last. Raises Denied."""
        index = function if isinstance(function, int) else self.functions[function]["id"]
        body = {"fn_index": index, "data": list(data), "session_hash": self.session, "event_data": event}
        answer = self.http.post(f"{API}/queue/join", json=body)
        if answer.status_code != 200:
            raise Denied(answer.status_code, str(answer.json().get("detail")))
        return self._result(answer.json()["event_id"])

    def _result(self, event: str) -> list[Any]:
        """Warnings are kept; later outputs of a stream are differences, of which only the last whole one is given."""
        latest: list[Any] = []
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("msg") == "log":
                    self.warnings.append(message["log"])
                if message.get("msg") == "unexpected_error":
                    raise Denied(200, message["message"])
                if message.get("msg") == "process_completed" and message["event_id"] == event:
                    if not message["success"]:
                        raise Denied(200, str(message["output"].get("error")))
                    return message["output"]["data"]
        return latest

    def upload(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """Bring a file, and what a page would then send as its value. Raises Denied."""
        answer = self.http.post(f"{API}/upload", files={"files": (name or path.name, path.read_bytes())})
        if answer.status_code != 200:
            raise Denied(answer.status_code, answer.text)
        return {"path": answer.json()[0], "orig_name": name or path.name, "meta": {"_type": "gradio.FileData"}}

    def leave(self) -> None:
        """Close the window: what keeps a session alive is opened and broken off."""
        with self.http.stream("GET", f"{API}/heartbeat/{self.session}") as stream:
            next(stream.iter_lines())
        self.http.close()
