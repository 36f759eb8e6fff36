"""A small hub on loopback that speaks what the real client asks for: a model's files, and each file whole or in ranges.

Its weights are told to be in large storage (with a SHA-256), everything else in git (with a SHA-1). It can be slow,
break off, lie, or want a token; `asked` is what it was asked for. Whoever has the token may also make repositories and
commit to them; `made` says which are private, `received` is what files they hold.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
NAME = "people/tiny"
GATED = "people/gated"
TOKEN = "a token of somebody who accepted the terms"


@dataclass
class Trouble:
    """What goes wrong with one file.

    Args:
        cut: bytes after which an answer breaks off. times: how many answers do.
        pause: seconds to wait in the middle of the first answer.
        flip: another byte than announced is sent.
        short: a byte less than the model's list says is announced and sent.
    """

    cut: int | None = None
    times: int = 1
    pause: float = 0.0
    flip: bool = False
    short: bool = False


@dataclass
class HubServer:
    """Serves one folder as `NAME` and as `GATED`, which wants `TOKEN`."""

    folder: Path
    trouble: dict[str, Trouble] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, and range of each request."""
    made: dict[str, bool] = field(default_factory=dict)
    received: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files by digest, before a commit gives them a name."""
    broken: int | None = None
    """The status with which everything is answered, if any."""

    def __post_init__(self) -> None:
        hub = self

        class Handler(_Handler):
            server_of = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def gets(self, path: str) -> list[str]:
        """The ranges in which a file's content was asked for."""
        return [part for method, what, part in self.asked if method == "GET" and what.endswith(f"/{path}")]

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())


class _Handler(BaseHTTPRequestHandler):
    server_of: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, path = self.server_of, unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path, self.headers.get("Range", "")))
        if hub.broken is not None:
            return self._say(hub.broken)
        model = re.fullmatch(r"/api/models/(\w+/\w+)(?:/revision/(.+))?", path)
        if model:
            return self._model(*model.groups())
        file = re.fullmatch(r"/(\w+/\w+)/resolve/([^/]+)/(.+)", path)
        return self._file(*file.groups()) if file else self._say(404)

    # -- what is sent to it --------------------------------------------------------------------------------------------

    def do_POST(self) -> None:
        hub, path = self.server_of, unquote(urlsplit(self.path).path)
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        hub.asked.append((self.command, path, ""))
        if hub.broken is not None:
            return self._say(hub.broken)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401)
        if path == "/api/repos/create":
            wanted = json.loads(sent)
            name = f"{wanted['organization']}/{wanted['name']}"
            hub.made.setdefault(name, wanted["visibility"] == "private")
            return self._tell({"url": f"{hub.url}/{name}"})
        if path == "/api/validate-yaml":
            return self._tell({"errors": [], "warnings": []})
        if "/preupload/" in path:
            modes = {f["path"]: "lfs" if f["path"].endswith(".zip") else "regular" for f in json.loads(sent)["files"]}
            return self._tell(
                {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
            )
        if path.endswith("/objects/batch"):
            objects = json.loads(sent)["objects"]
            for o in objects:
                o["actions"] = {"upload": {"href": f"{hub.url}/store/{o['oid']}"}}
            return self._tell({"transfer": "basic", "objects": objects})
        return self._commit([json.loads(line) for line in sent.splitlines()])

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "lfsFile":
                self.server_of.received[value["path"]] = self.server_of.stored[value["oid"]]
            elif line["key"] == "file":
                self.server_of.received[value["path"]] = base64.b64decode(value["content"])
        self._tell({"commitUrl": f"{self.server_of.url}/owner/name/commit/{COMMIT}", "commitOid": COMMIT})

    def do_PUT(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server_of.stored[name] = self.rfile.read(int(self.headers["Content-Length"]))
        self._say(200)

    def _tell(self, content: dict[str, Any]) -> None:
        self._say(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    # -- what it has ---------------------------------------------------------------------------------------------------

    def _allowed(self, name: str, revision: str | None, content: bool) -> bool:
        if name not in (NAME, GATED):
            self._say(401, {"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", COMMIT):
            self._say(404, {"X-Error-Code": "RevisionNotFound"})
        elif content and name == GATED and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._say(401, {"X-Error-Code": "GatedRepo"})
        else:
            return True
        return False

    def _model(self, name: str, revision: str | None) -> None:
        if self._allowed(name, revision, content=False):
            siblings = [_listed(path) for path in self.server_of.files()]
            self._say(200, {}, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())

    def _file(self, name: str, revision: str, file: str) -> None:
        if not self._allowed(name, revision, content=True):
            return
        path = self.server_of.folder / file
        if not path.is_file():
            return self._say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        trouble = self.server_of.trouble.get(file, Trouble())
        content = path.read_bytes()
        etag = _listed(path)["blobId"]
        if trouble.flip:
            content = bytes([content[0] ^ 1]) + content[1:]
        if trouble.short:
            content = content[:-1]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if part:
            start, end = int(part[1]), int(part[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return self._say(206, headers, content[start : end + 1], trouble)
        return self._say(200, headers, content, trouble)

    def _say(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", trouble: Trouble | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # or who is connected would still be answered after the hub has closed
        self.end_headers()
        if self.command != "HEAD":
            self._send(body, trouble or Trouble())

    def _send(self, body: bytes, trouble: Trouble) -> None:
        half = len(body) // 2 if trouble.cut is None else min(trouble.cut, len(body))
        self.wfile.write(body[:half])
        if trouble.times > 0 and (trouble.cut is not None or trouble.pause):
            trouble.times -= 1
            self.wfile.flush()
            time.sleep(trouble.pause)
            if trouble.cut is not None:
                return
        self.wfile.write(body[half:])


def _listed(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"rfilename": path.name, "size": len(content), "blobId": blob}
    if path.suffix == ".safetensors":
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
    return entry
