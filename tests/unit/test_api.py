"""The endpoints of an open studio, called as its documentation says, and nothing beyond what they are for."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from components import api
from components.build import build, launch
from tests.unit.tiny_method import request_of
from unlearn_core import bundle
from unlearn_core.runs.requests import export_request
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadOption
from unlearn_core.vlm.loading import Choice

Picture = Callable[..., Image.Image]
DOCS = Path(__file__).parents[2] / "docs" / "api.md"
VIEWER, OPERATOR = {"models", "ask", "attend", "runs", "watch"}, {"start", "cancel", "export"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, picture: Picture) -> Path:
    """What a program brings."""
    folder = tmp_path_factory.mktemp("program")
    picture(1).save(folder / "picture.png")
    export_request(request_of([picture(i) for i in range(6)]), folder / "request.zip")
    return folder


@pytest.fixture(scope="module")
def served(tiny_vlm: VLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, api.Studio]]:
    """A studio on loopback, and its address."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
    page, studio = build(Choice(tiny_vlm.name, device="cpu"), tiny_vlm, tmp_path_factory.mktemp("workspace"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch(page, "127.0.0.1", port, wait=False)
    yield f"http://127.0.0.1:{port}", studio
    studio.close()
    page.close(verbose=False)
    patch.undo()


@pytest.fixture(scope="module")
def client(served: tuple[str, api.Studio], tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(served[0], verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


def test_all_endpoints_and_no_more_are_offered_each_with_its_role(
    client: Client, served: tuple[str, api.Studio]
) -> None:
    offered = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {name.removeprefix("/") for name in offered} == VIEWER | OPERATOR
    roles = {e.name: e.role for e in api.endpoints(served[1])}
    assert roles == dict.fromkeys(VIEWER, "viewer") | dict.fromkeys(OPERATOR, "operator")
    table = dict(re.findall(r"\| `/(\w+)` \| (\w+) \|", DOCS.read_text()))
    assert table == roles


def test_the_examples_of_the_documentation_run(
    served: tuple[str, api.Studio], folder: Path, tiny_vlm: VLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("picture.png", "request.zip"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model").symlink_to(tiny_vlm.name)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python( library)?\n(.*?)```", DOCS.read_text(), re.DOTALL)
    shared: dict[str, Any] = {}
    for _, code in sorted(blocks, key=lambda block: bool(block[0])):  # the library's needs the bundle of the others
        exec(code.replace("http://127.0.0.1:7860", served[0]), shared)
        if "file" in shared:
            Path("bundle.zip").write_bytes(Path(shared["file"]).read_bytes())
    assert shared["state"]["state"] == "done"
    with np.load(shared["numbers"], allow_pickle=False) as numbers:
        assert numbers["words"].tolist() == shared["looked"]["words"]
    assert Image.open(shared["png"]).width == 960
    manifest = bundle.verify(Path("bundle.zip"), tiny_vlm)
    assert (manifest.title, manifest.data_license) == ("Forget one person", "cc-by-4.0")
    assert shared["unlearned"].sight is not None


def test_only_what_was_uploaded_is_read(client: Client, tiny_folder: Path) -> None:
    """A path on the server is refused, however it is written, and so is one that Gradio would not look at."""
    for sent in ({"path": "/etc/passwd"}, {"path": str(tiny_folder / "config.json")}, {"path": "../../etc/passwd"}, {}):
        with pytest.raises(AppError, match=r"not brought in this browser|path on the server is not taken"):
            client.predict("Who?", sent, api_name="/ask")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (("/ask", " ", None), "question is empty"),
        (("/ask", "Who?", None, "run:../../etc"), "no such run"),
        (("/export", "20200101-000000-00000000"), "no such run"),
        (("/start", "magic", None, ["p01"]), "no method"),
        (("/start", "cagul", None, []), "either a request or subjects"),
        (("/start", "cagul", None, ["p01"], {"steps": -1}), "outside the range"),
    ],
)
def test_mistakes_get_a_sentence(client: Client, call: tuple[Any, ...], sentence: str) -> None:
    name, *values = call
    with pytest.raises(AppError, match=sentence):
        client.predict(*values, api_name=name)


def test_what_is_wrong_inside_is_not_told(served: tuple[str, api.Studio], client: Client, monkeypatch: Any) -> None:
    def broken() -> None:
        raise RuntimeError("a secret of somebody")

    monkeypatch.setattr(served[1], "models", broken)
    with pytest.raises(AppError, match="Something went wrong") as caught:
        client.predict(api_name="/models")
    assert "secret" not in str(caught.value)


def test_mcp_says_which_package_it_needs(served: tuple[str, api.Studio], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.build.find_spec", lambda name: None)
    with pytest.raises(BadOption, match=r"vlm-unlearning-studio\[mcp\]"):
        launch(None, "127.0.0.1", 0, mcp=True)  # type: ignore[arg-type]
