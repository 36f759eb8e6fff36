"""The model panel: a model from a hub, looked at, loaded and given back, while another window keeps its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import tiny_processor
from tests.e2e.driving import Server, told, turn_to
from tests.hub_server import GATED, NAME, HubServer, Trouble
from unlearn_core.demo.build import VOCABULARY

DEMO_TITLE = "model demo"


@pytest.fixture(scope="module")
def hub(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """With a model whose vocabulary is larger than that of the drawn world, as every real one's is."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("hub") / "model"))
    processor = tiny_processor()
    processor.tokenizer.add_tokens([f"<{i}>" for i in range(VOCABULARY)])
    processor.save_pretrained(folder)
    server = HubServer(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def server(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio whose hub is the one on loopback."""
    server = Server(tmp_path_factory.mktemp("studio"), HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    yield server
    server.stop()


def panel(page: Page) -> Locator:
    """What the opened panel tells."""
    page.locator("#model-panel button.label-wrap").click()
    return page.locator("#model-told")


def name(page: Page, model: str) -> None:
    page.locator("#model-name input").fill(model)
    page.keyboard.press("Enter")


@pytest.mark.slow
def test_a_window_takes_another_model_and_the_other_keeps_its_own(
    hub: HubServer, server: Server, visit: Callable[..., Page]
) -> None:
    other, page = visit(server.url), visit(server.url)
    says = panel(page)
    name(page, GATED)
    page.locator("#model-check").click()
    expect(told(page)).to_contain_text("accepted its terms")
    name(page, NAME)
    page.locator("#model-check").click()
    expect(says).to_contain_text("must be downloaded first")

    hub.trouble["model.safetensors"] = Trouble(pause=4.0)
    page.locator("#model-load").click()
    expect(says.get_by_role("progressbar")).to_be_visible()
    page.locator("#model-cancel").click()
    expect(told(page)).to_contain_text("cancelled")
    hub.trouble.clear()
    page.locator("#model-load").click()
    expect(says).to_contain_text("Loaded.")
    expect(page.locator("#header")).to_contain_text("model tiny")
    expect(page.locator("#inspect-picker .card:visible")).to_have_count(0)
    turn_to(page, "Forget")
    expect(page.get_by_text("This model comes without a collection")).to_be_visible()

    expect(other.locator("#header")).to_contain_text(DEMO_TITLE)
    other.locator("#inspect-picker [data-pick='p07@0']").click()
    expect(other.locator("#inspect-title")).to_have_text("Otto Corvin")

    page.locator("#model-unload").click()
    expect(page.locator("#header")).to_contain_text("no model")
    expect(page.locator("#steps")).to_be_hidden()
    page.locator("#model-name input").fill("demo")
    page.get_by_role("option", name="Demo:").click()
    page.locator("#model-load").click()
    expect(page.locator("#header")).to_contain_text(DEMO_TITLE)
    turn_to(page, "Inspect")
    page.locator("#inspect-picker [data-pick='p19@0']").click()
    expect(page.locator("#inspect-answer .said")).to_be_visible()
