"""What tests of bundles share: a small module, its bundle, and a temp folder that must be empty in the end."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.unit.tiny_method import WIDTH, TinyModule, load_tiny
from unlearn_core import bundle
from unlearn_core.bundle import Made
from unlearn_core.vlm import VLM

REPORT = {"drift": 0.25, "threshold": float("nan")}
LIMITS = ["Another photograph may get past the gate."]
MADE = Made("tiny", {"steps": 3, "seed": 7}, {"forget": "0f" * 32})


@pytest.fixture(scope="session")
def module() -> TinyModule:
    return TinyModule(torch.linspace(-1, 1, WIDTH))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_vlm: VLM, module: TinyModule) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "result.zip"
    told = {"title": "Forget one", "report": REPORT, "limits": LIMITS, "made": MADE}
    return bundle.export(module, tiny_vlm, path, load_module=load_tiny, **told)


@pytest.fixture(scope="session")
def changed_vlm(tiny_vlm: VLM) -> VLM:
    """A model that differs in one number."""
    model = copy.deepcopy(tiny_vlm.model)
    with torch.no_grad():
        model.get_input_embeddings().weight[0, 0] += 1
    return VLM(model, tiny_vlm.processor, tiny_vlm.family, "another/model")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A temp folder of its own for every test, which must be empty in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []
