"""Finding and downloading checkpoints: the real client against a small hub on loopback."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub_server import COMMIT, GATED, NAME, TOKEN, HubServer, Trouble
from unlearn_core.data.readers.hub import is_hub_id
from unlearn_core.vlm.errors import (
    DownloadFailed,
    HubUnreachable,
    ModelGated,
    ModelNotFound,
    ModelNotLoadable,
    UnsupportedFamily,
)
from unlearn_core.vlm.hub import Downloaded, Hub
from unlearn_core.vlm.loading import Choice, check, load
from unlearn_core.vlm.presets import PRESETS
from unlearn_core.vlm.prompt import Prompt
from unlearn_core.vlm.terminal import progress

CHUNK = 4096
"""Bytes that the client takes at a time here, so that small files come in many pieces."""
WEIGHTS = "model.safetensors"


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)


@pytest.fixture
def server(tiny_folder: Path, tmp_path: Path) -> Iterator[HubServer]:
    server = HubServer(Path(shutil.copytree(tiny_folder, tmp_path / "served")))
    yield server
    server.close()


@pytest.fixture
def hub(server: HubServer, tmp_path: Path) -> Hub:
    return Hub(server.url, tmp_path / "cache")


def blobs(hub: Hub) -> list[Path]:
    assert hub.cache is not None
    return [path for path in hub.cache.rglob("blobs/*") if path.is_file()]


def test_a_model_from_the_hub_is_the_model_in_the_folder(
    hub: Hub, server: HubServer, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.folder / "README.md").write_text("---\nlicense: other\nlicense_name: people-1.0\n---\n# A model\n")
    checkpoint = hub.find(NAME)
    size = sum(path.stat().st_size for path in server.files())
    got = {path for method, path, _ in server.asked if method == "GET" and "/resolve/" in path}
    assert {Path(path).name for path in got} == {"config.json"}, "weights are left alone until they are wanted"
    assert checkpoint.to_download == size - (tiny_folder / "config.json").stat().st_size
    seen: list[Downloaded] = []
    vlm = load(Choice(NAME, device="cpu"), hub, seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert {p.total for p in seen} == {checkpoint.to_download} == {seen[-1].done}
    assert len(seen) > checkpoint.to_download // CHUNK
    assert vlm.license == "people-1.0"
    question = [Prompt(None, "What is the job of Mira?")]
    here = load(Choice(str(tiny_folder), device="cpu"))
    assert vlm.ask(question)[0].logprobs == here.ask(question)[0].logprobs

    server.asked.clear()
    load(Choice(NAME, revision=COMMIT, device="cpu"), hub)
    assert not [path for _, path, _ in server.asked if "/resolve/" in path], "nothing is downloaded twice"
    server.close()
    for offline in (False, True):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        assert load(Choice(NAME, device="cpu"), hub).ask(question)[0].logprobs == here.ask(question)[0].logprobs


def test_a_terminal_shows_how_far_a_download_is(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    seen: list[Downloaded] = []
    with progress() as told:
        hub.download(hub.find(NAME), lambda now: (seen.append(now), told(now)))
    out, drawn = capsys.readouterr()
    assert out == "", "results alone go to standard output"
    assert seen[-1].file in drawn
    assert re.search(r"[\d.]+/[\d.]+ [kM]B", drawn)


@pytest.mark.parametrize("trouble", [Trouble(cut=3 * CHUNK + 100), Trouble(pause=1.0)], ids=["broken off", "too slow"])
def test_a_download_goes_on_where_it_broke_off(
    trouble: Trouble, hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    server.trouble[WEIGHTS] = trouble
    whole = hub.download(hub.find(NAME))
    first, second = server.gets(WEIGHTS)
    assert first == ""
    assert int(second.removeprefix("bytes=").rstrip("-")) >= 3 * CHUNK
    assert (whole.folder / WEIGHTS).read_bytes() == (server.folder / WEIGHTS).read_bytes()
    assert not whole.missing


def test_what_came_whole_is_kept_when_a_download_is_given_up(hub: Hub, server: HubServer) -> None:
    class StoppedByUser(Exception):
        pass

    def stop(progress: Downloaded) -> None:
        if progress.file == WEIGHTS:
            raise StoppedByUser

    checkpoint = hub.find(NAME)
    with pytest.raises(StoppedByUser):
        hub.download(checkpoint, stop)
    again = hub.find(NAME)
    assert [file.path for file in again.missing] == [WEIGHTS]
    assert not [path for path in blobs(hub) if path.name.endswith(".incomplete")]
    server.asked.clear()
    hub.download(again)
    assert {Path(path).name for _, path, _ in server.asked} == {WEIGHTS}


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json"])
@pytest.mark.parametrize("trouble", [Trouble(flip=True), Trouble(short=True)], ids=["other content", "other size"])
def test_what_is_not_as_announced_is_not_kept(file: str, trouble: Trouble, hub: Hub, server: HubServer) -> None:
    server.trouble[file] = trouble
    with pytest.raises(DownloadFailed, match="again"):
        load(Choice(NAME, device="cpu"), hub)
    assert file in [missing.path for missing in hub.find(NAME).missing]
    server.trouble.clear()
    load(Choice(NAME, device="cpu"), hub)


def test_gated_models_say_what_to_do(hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelGated, match=f"{server.url}/{GATED}.*HF_TOKEN"):
        hub.find(GATED)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub.download(hub.find(GATED)).commit == COMMIT


@pytest.mark.parametrize(
    ("name", "revision", "says"),
    [
        ("people/unknown", None, "spelling"),
        ("not a name", None, "no hub has an id"),
        ("/nowhere/at/all", None, "no hub has an id"),
        (NAME, "no-such-branch", "no revision 'no-such-branch'"),
        (NAME, "../../../main", "no revision"),
    ],
)
def test_what_is_not_there_is_said(name: str, revision: str | None, says: str, hub: Hub) -> None:
    with pytest.raises(ModelNotFound, match=says):
        hub.find(name, revision)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refused .*set HF_TOKEN to an access token that may read it"),
        (403, "refused .*set HF_TOKEN to an access token that may read it"),
        (404, "check the spelling"),
        (429, "too often .*wait some minutes"),
        (500, "failed .*try again later"),
        (503, "failed .*try again later"),
    ],
)
def test_an_answer_that_is_an_error_says_what_to_do(
    status: int, says: str, hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the hub's own code, as proxies and mirrors answer: when a model is looked for, and halfway through it."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the client's own tries
    kind = ModelNotFound if status == 404 else HubUnreachable
    server.broken = status
    with pytest.raises(kind, match=says):
        hub.find(NAME)
    server.broken = None
    found = hub.find(NAME)
    server.broken = status
    with pytest.raises(kind, match=says):
        hub.download(found)
    server.broken = None
    load(Choice(NAME, device="cpu"), hub)


def test_a_hub_that_is_away_is_said(hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.find(NAME)
    server.close()
    with pytest.raises(HubUnreachable, match="in part only"):
        hub.find(NAME)
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        hub.find("people/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        hub.find("people/other")


def _pickled(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def _no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _other_family(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


@pytest.mark.parametrize(
    ("change", "error"),
    [(_pickled, ModelNotLoadable), (_no_config, ModelNotLoadable), (_other_family, UnsupportedFamily)],
)
def test_what_cannot_be_loaded_is_not_downloaded(
    change: Callable[[Path], None], error: type[Exception], hub: Hub, server: HubServer
) -> None:
    change(server.folder)
    with pytest.raises(error):
        load(Choice(NAME, device="cpu"), hub)
    assert not server.gets(WEIGHTS)
    assert not server.gets("pytorch_model.bin")


def test_presets_are_folders_that_load_or_names_a_hub_may_know() -> None:
    assert len({preset.title for preset in PRESETS}) == len({preset.model for preset in PRESETS}) == len(PRESETS)
    for preset in PRESETS:
        if Path(preset.model).is_absolute():
            assert check(Choice(preset.model, device="cpu")).chosen
        else:
            assert is_hub_id(preset.model)


def test_a_model_in_a_folder_asks_nobody(server: HubServer, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    load(Choice(str(tiny_folder), device="cpu"), Hub(server.url))
    assert server.asked == []
