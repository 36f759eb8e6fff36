"""A bundle belongs to one model: the fingerprint says which."""

from __future__ import annotations

import copy
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from tests.unit.tiny_method import TinyModule
from unlearn_core import bundle
from unlearn_core.bundle import fingerprint
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BundleMismatch


def test_the_fingerprint_is_that_of_the_model_below(tiny_vlm: VLM, module: TinyModule) -> None:
    attached = module.attach(module.attach(tiny_vlm))
    assert bundle.base_of(attached) is tiny_vlm
    path = tiny_vlm.family.projector
    changed = copy.deepcopy(tiny_vlm.model.get_submodule(path))
    nn.init.zeros_(next(changed.parameters()))
    assert fingerprint(attached) == fingerprint(tiny_vlm.with_parts({path: changed})) == fingerprint(tiny_vlm)


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_a_checkpoint_has_one_fingerprint_however_precisely_it_is_loaded(
    tmp_path: Path, tiny_folder: Path, tiny_vlm: VLM, stored: str
) -> None:
    model = AutoModelForImageTextToText.from_pretrained(tiny_folder, dtype=getattr(torch, stored))
    model.save_pretrained(tmp_path / "checkpoint")
    tiny_vlm.processor.save_pretrained(tmp_path / "checkpoint")
    precisions = {"float32", "bfloat16", stored}
    prints = {fingerprint(VLM.load(tmp_path / "checkpoint", device="cpu", dtype=dtype)) for dtype in precisions}
    assert len(prints) == 1


def test_every_weight_name_and_shape_counts(tiny_vlm: VLM, changed_vlm: VLM) -> None:
    def of(net: nn.Module) -> str:
        return fingerprint(VLM(net, None, tiny_vlm.family, ""))  # type: ignore[arg-type]

    def net(name: str, *shape: int) -> nn.Module:
        net = nn.Module()
        net.register_parameter(name, nn.Parameter(torch.ones(shape)))
        return net

    one = net("a", 2, 3)
    with torch.no_grad():
        one.a[1, 2] = 2
    whole = net("a", 2, 3)
    whole.a = nn.Parameter(torch.ones(2, 3, dtype=torch.int32), requires_grad=False)
    assert of(net("a", 2, 3)) == of(net("a", 2, 3))
    assert (
        len({of(n) for n in (net("a", 2, 3), net("a", 3, 2), net("b", 2, 3), net("a"), net("a", 0), one, whole)}) == 7
    )
    assert fingerprint(changed_vlm) != fingerprint(tiny_vlm)


def test_the_fingerprint_is_quick_and_kept(tiny_vlm: VLM) -> None:
    vlm = VLM(nn.Linear(2_000, 2_500), None, tiny_vlm.family, "")  # type: ignore[arg-type]
    began = time.process_time()
    first = fingerprint(vlm)
    middle = time.process_time()
    assert fingerprint(vlm) == first
    assert middle - began < 0.5  # 0.01 s on an idle core
    assert time.process_time() - middle < 0.001


def test_a_bundle_for_another_model_says_which_one_it_needs(made: Path, tiny_vlm: VLM, changed_vlm: VLM) -> None:
    for ask in (bundle.verify, bundle.load):
        with pytest.raises(BundleMismatch) as caught:
            ask(made, changed_vlm)
        assert f"Please load '{Path(tiny_vlm.name).name}'" in str(caught.value)
        assert "'another/model'" in str(caught.value)
        assert fingerprint(tiny_vlm)[:12] in str(caught.value)
