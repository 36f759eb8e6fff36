"""The page with the tiny model on loopback, in this process: open to all, and with users."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.visitor import Visitor
from components.build import build, launch
from components.doors import GuardedBlocks
from components.studio import Studio
from unlearn_core import accounts
from unlearn_core.accounts import Accounts, Role
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import Choice

PASSWORD = "correct horse battery"


@dataclass(frozen=True, eq=False)
class Place:
    """A studio that is served."""

    url: str
    page: GuardedBlocks
    studio: Studio
    workspace: Path

    def visitor(self, name: str | None = None) -> Visitor:
        """Somebody who has opened the page, logged in if a name is given."""
        visitor = Visitor(self.url)
        if name is not None:
            assert visitor.log_in(name, PASSWORD).status_code == 200
        return visitor.open()


Serve = Callable[..., Place]


@pytest.fixture(scope="module")
def serve(tiny_folder: Path, tiny_vlm: VLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    places: list[Place] = []

    def start(users: Accounts | None = None, model: Path = tiny_folder, *, mcp: bool = False) -> Place:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        workspace = tmp_path_factory.mktemp("place") / "workspace"
        page, studio = build(Choice(model=str(model), device="cpu"), tiny_vlm, workspace)
        launch(page, "127.0.0.1", port, users, mcp=mcp, wait=False)
        places.append(Place(f"http://127.0.0.1:{port}", page, studio, workspace))
        return places[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        yield start
        for place in places:
            place.page.close(verbose=False)
            place.studio.close()
    gc.collect()


@pytest.fixture(scope="module")
def open_place(serve: Serve) -> Place:
    return serve()


@pytest.fixture(scope="session")
def users() -> Accounts:
    """A viewer, Vera, and an operator, Otto. Their hashes are cheap, since many log in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "COST", 2**4)
        return Accounts({}).with_user("vera", Role.VIEWER, PASSWORD).with_user("otto", Role.OPERATOR, PASSWORD)


@pytest.fixture(scope="module")
def guarded_place(serve: Serve, users: Accounts) -> Place:
    return serve(users)
