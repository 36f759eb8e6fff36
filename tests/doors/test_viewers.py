"""What viewers may send where operators send more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from components.comparing.page import NOBODY
from components.doors.blocks import ONLY_OPERATORS
from components.doors.roles import name_of
from tests.doors.conftest import Place
from unlearn_core.bundle import export
from unlearn_core.methods.cvf import CvfModule
from unlearn_core.vlm import VLM


@pytest.fixture(scope="module")
def result(guarded_place: Place, tiny_vlm: VLM, tmp_path_factory: pytest.TempPathFactory) -> str:
    weights = dict(tiny_vlm.model.named_parameters())
    name = next(n for n in weights if "multi_modal_projector" in n and n.endswith("weight"))
    module = CvfModule({name: (torch.ones_like(weights[name]),)}, {})
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    return guarded_place.studio.bring(export(module, tiny_vlm, path, title="T", report={}, limits=[]))


def test_only_operators_name_a_folder_of_a_model(
    guarded_place: Place, result: str, picture: Callable[..., Image.Image], tiny_folder: Path, tmp_path: Path
) -> None:
    shot = tmp_path / "shot.png"
    picture(1).save(shot)
    bring = next(i for i, f in guarded_place.page.fns.items() if f.fn and name_of(f.fn).endswith("Closer._bring"))
    for folder in (str(tiny_folder), "/nowhere"):
        vera, otto = guarded_place.visitor("vera"), guarded_place.visitor("otto")
        for visitor in (vera, otto):
            visitor.call("refresh_1", None)
            visitor.call(bring, visitor.upload(shot), "Who is this?", result, NOBODY, [], folder)
        assert vera.warnings == [ONLY_OPERATORS]
        assert ONLY_OPERATORS not in otto.warnings
    vera = guarded_place.visitor("vera")
    vera.call("refresh_1", None)
    vera.call(bring, vera.upload(shot), "Who is this?", result, NOBODY, [], "")
    assert vera.warnings == []
