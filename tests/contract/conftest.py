"""Every family of the zoo, one after the other. A family that is added to the zoo is tested by all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.family import SQUARE, TALL, WIDE, Picture
from tests.contract.zoo import ZOO, save
from unlearn_core.vlm import VLM, Prompt


@pytest.fixture(scope="session", params=ZOO)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each family on disk."""
    folder = tmp_path_factory.mktemp(request.param)
    save(request.param, folder)
    return folder


@pytest.fixture(scope="session")
def vlm(folder: Path) -> VLM:
    return VLM.load(folder, device="cpu")


@pytest.fixture(scope="session")
def prompts(picture: Picture) -> list[Prompt]:
    """Pictures of three shapes, one of them twice, and a prompt without one; questions of differing lengths."""
    first = picture(1, WIDE)
    return [
        Prompt(first, "What is the job of this person, and where does this person live?"),
        Prompt(picture(2, TALL), "Who?"),
        Prompt(None, "What is the job of Mira?"),
        Prompt(picture(3, SQUARE), "Is there a hat?"),
        Prompt(first, "Where?"),
    ]
