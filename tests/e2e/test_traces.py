"""What a whole visit leaves behind, where it connects to, and whether planted scripts ever run."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.visitor import Denied
from benchmarks.visitor import Visitor as Guest
from tests.e2e.driving import MODEL, ROOT, WAIT, Server, turn_to, upload
from tests.e2e.stored import request_about, store
from unlearn_core.bundle import export
from unlearn_core.methods.cvf import CvfModule
from unlearn_core.vlm import VLM

PLANTED = ("Quillon Marchbanks", "zephyrquartz", "vermilion-lighthouse-keeper")
PAYLOAD = "<img src=x onerror=window.hacked=1><svg onload=window.hacked=1>{{7*7}}${window.hacked=1}\"'><script>window.hacked=1</script>"
LATER = {"captum", "nltk", "peft", "rouge_score", "scipy.stats", "sklearn"}
"""Large packages that no page needs to open. They are imported in the functions that use them."""
HOOK = """
import os, sys
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        where = arguments[1] if event != "socket.getaddrinfo" else arguments[:2]
        with open(os.environ["SOCKETS"], "a") as file:
            file.write(f"{event} {where}\\n")
sys.addaudithook(note)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio that notes every connection that it makes."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "sitecustomize.py").write_text(HOOK)
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    server = Server(folder / "home", PYTHONPATH=path, SOCKETS=str(folder / "sockets"))
    yield server
    if server.process.poll() is None:
        server.stop()


def holding(folder: Path, *without: Path) -> list[Path]:
    """Files below a folder that hold what was planted, in their names or contents."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not any(path.is_relative_to(w) for w in without):
            content = path.read_bytes() + str(path).encode()
            if any(text.encode() in content for text in PLANTED):
                found.append(path)
    return found


def whole_visit(url: str, folder: Path) -> None:
    """Bring, ask, mark, save, start, fail and delete, with planted words wherever words go."""
    name, question, answer = PLANTED
    guest = Guest(url).open()
    picture = folder / f"{question}.png"
    Image.new("RGB", (64, 64), "teal").save(picture)
    guest.call("_bring", guest.upload(picture), question, "original", None, None)
    guest.call("_ask", f"Who is {name}?", "original", None, None)
    with pytest.raises(Denied):
        guest.call("_ask", question, name, None, None)  # a value that the page does not offer
    guest.call("_add", [guest.upload(picture)], name)
    table = [["", "forget", name, question, answer, ""], ["", "retain", "", "What is 1 + 1?", "2", ""]]
    guest.call("_edit", {"headers": ["", "Side", "Who", "Question", "Answer", "Pics"], "data": table})
    saved = guest.call("_save_1", name)
    assert answer in str(saved)
    guest.call("_open_1", guest.upload(_table(folder)))
    guest.leave()


def _table(folder: Path) -> Path:
    path = folder / "table.jsonl"
    path.write_text(f'{{"question": "{PLANTED[1]}", "answer": "{PLANTED[2]}"}}\nno json {PLANTED[0]}\n')
    return path


def test_a_visit_leaves_nothing_but_the_workspace_and_connects_nowhere(watched: Server, tmp_path: Path) -> None:
    whole_visit(watched.url, tmp_path)
    assert holding(watched.workspace), "the request was saved"
    outside = [watched.workspace]
    end = time.monotonic() + WAIT / 1000
    while holding(watched.home, *outside) and time.monotonic() < end:
        time.sleep(0.2)
    assert holding(watched.home, *outside) == [], "nothing of a session stays when its window is closed"
    for path in (watched.workspace, *watched.workspace.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    watched.process.send_signal(signal.SIGTERM)
    watched.process.wait(90)
    assert list(watched.temporary.iterdir()) == []
    assert holding(watched.home, *outside) == []
    sockets = watched.home.parent / "sockets"
    lines = sockets.read_text().splitlines() if sockets.exists() else []
    assert [line for line in lines if "127.0.0.1" not in line and "localhost" not in line] == []


def test_planted_scripts_never_run(quiet: Server, visit: Callable[..., Page], tmp_path: Path) -> None:
    page = visit(quiet.url)
    picture = tmp_path / "<img src=x onerror=window.hacked=1>.png"
    Image.new("RGB", (64, 64), "teal").save(picture)
    upload(page, "#inspect-upload", picture)
    expect(page.locator("#inspect-about")).to_contain_text("drawn world only")
    page.locator("#inspect-question textarea").fill(PAYLOAD)
    page.locator("#inspect-ask").click()
    expect(page.locator("#inspect-words")).to_be_visible()
    turn_to(page, "Forget")
    page.locator("#own button").first.click()
    page.locator("#own-who textarea, #own-who input").first.fill(PAYLOAD[:90])
    upload(page, "#own-pictures", picture)
    expect(page.locator("#own-strip button").first).to_be_visible()
    table = tmp_path / "<svg onload=window.hacked=1>.jsonl"
    table.write_text(
        "".join(f'{{"subject": {q}, "question": {q}, "answer": {q}, "side": "{s}"}}\n' for q, s in _rows()) + "{}\n"
    )
    upload(page, "#own-file", table)
    expect(page.locator("#own-report")).to_contain_text("examples read")
    page.locator("#own-name textarea, #own-name input").first.fill(PAYLOAD)
    page.locator("#own-use").click()
    expect(page.locator("#own")).to_contain_text("<script>")
    expect(page.locator("#own-use")).to_be_enabled()
    page.wait_for_timeout(1500)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('[onerror], [onload], svg[onload]').length") == 0


def test_scripts_in_notes_titles_and_bundles_never_run(
    quiet: Server, visit: Callable[..., Page], tmp_path: Path
) -> None:
    """What others wrote: a run's name and note, the title and the limits of a bundle."""
    vlm = VLM.load(MODEL, device="cpu")
    run = store(quiet.workspace, request_about("p02"), vlm, PAYLOAD[:150])
    run.describe(PAYLOAD[:150], PAYLOAD)
    weights = dict(vlm.model.named_parameters())
    name = next(n for n in weights if "multi_modal_projector" in n and n.endswith("weight"))
    module = CvfModule({name: (weights[name].detach(),)}, {})
    brought = export(module, vlm, tmp_path / "bundle.zip", title=PAYLOAD[:100], report={}, limits=[PAYLOAD])
    page = visit(quiet.url)
    turn_to(page, "Runs")
    page.locator("#runs-table button").first.click()
    expect(page.locator("#runs-note textarea")).to_have_value(PAYLOAD)
    turn_to(page, "Export")
    upload(page, "#import-upload", brought)
    expect(page.locator("#import-told .limits")).to_contain_text("<script>")
    page.locator("#import-compare").click()
    expect(page.locator("#compare-result input")).to_have_value(re.compile("onerror"))
    page.wait_for_timeout(500)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('[onerror], [onload], svg[onload]').length") == 0


def _rows() -> list[tuple[str, str]]:
    return [(json.dumps(PAYLOAD), side) for side in ("forget", "retain")]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A start for other machines, which ends once everything is imported. What was imported stands on stderr, too."""
    command = [sys.executable, "-X", "importtime", "app.py", "--host", "0.0.0.0"]
    command += ["--workspace", str(tmp_path_factory.mktemp("workspace"))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_other_machines_are_not_served_without_a_word_about_it(refused: subprocess.CompletedProcess[str]) -> None:
    assert refused.returncode == 2
    assert "--auth" in refused.stderr
    assert "--open-to-anyone" in refused.stderr


def test_the_page_opens_without_what_only_some_measurement_or_fit_needs(
    refused: subprocess.CompletedProcess[str],
) -> None:
    lines = refused.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert {"gradio", "torch", "unlearn_core.methods.baselines.fit"} <= imported
    assert imported & LATER == set()
