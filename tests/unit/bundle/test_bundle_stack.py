"""Bundles upon one another, in two lines of Python; and away again, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from unlearn_core import bundle
from unlearn_core.methods import CagulModule, CvfModule
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate, token_statistics
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.errors import BadOption, BundleMismatch

Picture = Callable[..., Image.Image]
QUESTION = "Who is this?"
NOTHING: dict[str, Any] = {"title": "", "report": {}, "limits": []}


def cagul_for(vlm: VLM, images: list[Image.Image], which: int) -> CagulModule:
    """A module whose gate flags one of these pictures alone, which it changes much."""
    gate, encoder = Gate(4 * vlm.width, 1, 0), TokenEncoder(vlm.width, 16)
    statistics = torch.stack([token_statistics(t) for t in vlm.encode(images)])
    with torch.no_grad():
        gate.first[0, :, 0] = statistics[which] - statistics.mean(0)
    scores = gate.scores(statistics).detach()[:, 0].sort(descending=True)
    assert int(scores.indices[0]) == which
    gate.threshold.fill_(float(scores.values[:2].mean()))
    torch.nn.init.normal_(encoder.up.weight, std=0.5, generator=torch.Generator().manual_seed(which))
    return CagulModule(gate.requires_grad_(False), encoder.requires_grad_(False), (0,), 1.0, "lowest")


def cvf_for(vlm: VLM) -> CvfModule:
    weight = vlm.model.get_submodule(vlm.family.projector).linear_1.weight
    change = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)) * 0.1
    return CvfModule({f"{vlm.family.projector}.linear_1.weight": (change,)}, {"train": "projector"})


def seen(vlm: VLM, images: list[Image.Image]) -> list[torch.Tensor]:
    return [view.tokens for view in vlm.see([Prompt(image, QUESTION) for image in images])]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(one, other, strict=True)]


@pytest.fixture
def images(picture: Picture) -> list[Image.Image]:
    return [picture(i) for i in range(4)]


def test_two_cagul_bundles_stand_side_by_side_and_are_withdrawn_to_the_last_bit(
    tmp_path: Path, tiny_vlm: VLM, images: list[Image.Image]
) -> None:
    prompts = [Prompt(image, QUESTION) for image in images]
    original, paths = seen(tiny_vlm, images), [tmp_path / "first.zip", tmp_path / "second.zip"]
    for which, path in enumerate(paths):
        bundle.export(cagul_for(tiny_vlm, images, which), tiny_vlm, path, **NOTHING, prompts=prompts)
    first, second = (bundle.load(path, tiny_vlm) for path in paths)
    assert isinstance(first, CagulModule)
    assert isinstance(second, CagulModule)
    alone = seen(second.attach(tiny_vlm), images)
    both = second.attach(first.attach(tiny_vlm))
    assert same(seen(both, images), original) == [False, False, True, True]
    assert all(same(seen(first.withdraw(both), images), alone))
    assert second.withdraw(first.withdraw(both)) is tiny_vlm
    assert all(same(seen(tiny_vlm, images), original))


def test_cagul_upon_cvf_needs_that_very_cvf_and_leaves_nothing_behind(
    tmp_path: Path, tiny_vlm: VLM, images: list[Image.Image]
) -> None:
    original, below, above = seen(tiny_vlm, images), tmp_path / "cvf.zip", tmp_path / "cagul.zip"
    cvf = cvf_for(tiny_vlm)
    bundle.export(cvf, tiny_vlm, below, **NOTHING, prompts=[Prompt(images[0], QUESTION)])
    changed = cvf.attach(tiny_vlm)
    cagul = cagul_for(changed, images, 1)
    bundle.export(cagul, changed, above, **NOTHING, prompts=[Prompt(images[1], QUESTION)])
    want = seen(cagul.attach(changed), images)

    with pytest.raises(BundleMismatch, match="attach that one first"):
        bundle.load(above, tiny_vlm)
    unlearned = bundle.from_pretrained(below, above, base=tiny_vlm.name, device="cpu")
    assert all(same(seen(unlearned, images), want))
    assert not any(same(want, original))
    assert bundle.verify(above, unlearned).base == Path(tiny_vlm.name).name
    assert all(same(seen(bundle.base_of(unlearned), images), original))
    assert unlearned.base is not None
    assert all(same(seen(unlearned.base, images), seen(changed, images)))


def test_a_bundle_for_a_folder_asks_where_it_is(made: Path) -> None:
    with pytest.raises(BadOption, match="as `base`"):
        bundle.from_pretrained(made)
    with pytest.raises(BadOption, match="at least one bundle"):
        bundle.from_pretrained(base="anything")


def test_two_lines_suffice_without_the_page_installed(tmp_path: Path, tiny_vlm: VLM, images: list[Image.Image]) -> None:
    path = bundle.export(cagul_for(tiny_vlm, images, 0), tiny_vlm, tmp_path / "a.zip", **NOTHING)
    code = f"""
import sys
for name in ("gradio", "gradio_client", "plotly", "components"):
    sys.modules[name] = None
import unlearn_core
assert "torch" not in sys.modules
from unlearn_core import from_pretrained
unlearned = from_pretrained({str(path)!r}, base={tiny_vlm.name!r}, device="cpu")
assert unlearned.sight is not None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
