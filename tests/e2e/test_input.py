"""What people bring: huge, empty and hostile input gets one clear sentence, and the studio goes on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.driving import MODEL, Server, told, turn_to, upload
from unlearn_core.bundle import export
from unlearn_core.demo import world
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.methods.cagul.module import CagulModule
from unlearn_core.vlm import VLM

HOSTILE = "<img src=x onerror=window.hacked=1>"


def goes_on(page: Page, who: str) -> None:
    """The page still answers, about somebody who was not shown before."""
    turn_to(page, "Inspect")
    page.locator(f"#inspect-picker [data-pick='{who}@0']").click()
    expect(page.locator("#inspect-title")).to_have_text(world.person(who).name)


def test_a_picture_of_a_hundred_megapixels_and_an_empty_question(
    quiet: Server, visit: Callable[..., Page], tmp_path: Path
) -> None:
    page = visit(quiet.url)
    huge = tmp_path / "huge.png"
    Image.new("1", (10_000, 10_000)).save(huge)
    upload(page, "#inspect-upload", huge)
    expect(told(page)).to_contain_text("100 megapixels")
    goes_on(page, "p02")
    page.locator("#inspect-question textarea").fill("   ")
    page.locator("#inspect-ask").click()
    expect(told(page)).to_contain_text("The question is empty")
    goes_on(page, "p07")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle for the model of these tests, with a module that has learned nothing."""
    vlm = VLM.load(MODEL, device="cpu")
    module = CagulModule(Gate(4 * vlm.width, 1, 0), TokenEncoder(vlm.width, 8), (0,), 0.25, "lowest")
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    return export(module, vlm, path, title=HOSTILE, report={}, limits=[HOSTILE])


def changed(bundle: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of the bundle with one file changed."""
    out = bundle.with_name(f"changed-{name}.zip")
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for entry in source.namelist():
            data = source.read(entry)
            target.writestr(entry, change(data) if entry == name else data)
    return out


def test_bundles_that_do_not_fit_are_refused_and_one_that_does_is_taken(
    quiet: Server, visit: Callable[..., Page], bundle: Path
) -> None:
    def of_another_model(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "base": HOSTILE, "fingerprint": "0" * 64}).encode()

    page = visit(quiet.url)
    turn_to(page, "Export")
    page.locator("#import-upload").wait_for()
    upload(page, "#import-upload", changed(bundle, "manifest.json", of_another_model))
    expect(told(page)).to_contain_text("was made for")
    upload(
        page, "#import-upload", changed(bundle, "module.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    )
    expect(told(page)).to_contain_text("is not what was exported")
    expect(page.locator("#import-compare")).to_be_hidden()
    upload(page, "#import-upload", bundle)
    expect(page.locator("#import-told")).to_contain_text("Imported")
    assert page.evaluate("window.hacked") is None
    goes_on(page, "p02")
