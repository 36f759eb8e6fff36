"""The example of docs/serving.md: an engine that gets embeddings alone answers like the attached module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from examples import serve_cagul
from unlearn_core import bundle
from unlearn_core.methods import CagulModule
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.vlm import VLM, Prompt

Picture = Callable[..., Image.Image]


def cagul_of(vlm: VLM, threshold: float) -> CagulModule:
    """One that edits every picture, or none if the threshold is above 0, and much."""
    gate, encoder = Gate(4 * vlm.width, 1, 0), TokenEncoder(vlm.width, 16)
    gate.threshold.fill_(threshold)
    torch.nn.init.normal_(encoder.up.weight, std=0.5, generator=torch.Generator().manual_seed(0))
    return CagulModule(gate.requires_grad_(False), encoder.requires_grad_(False), (0,), 1.0, "lowest")


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_plain_transformers_answers_like_the_attached_module(demo_vlm: VLM, picture: Picture, threshold: float) -> None:
    unlearned = cagul_of(demo_vlm, threshold).attach(demo_vlm)
    engine = AutoModelForImageTextToText.from_pretrained(demo_vlm.name, dtype=torch.float32).eval()
    prompt = Prompt(picture(3, (128, 128)), "What is the job of this person?")
    said = serve_cagul.answered(engine, serve_cagul.embedded(unlearned, prompt), 12)
    wanted = unlearned.ask([prompt], max_new_tokens=12)[0]
    assert tuple(said.tolist())[: len(wanted.ids)] == wanted.ids
    assert (wanted.logprobs == demo_vlm.ask([prompt], max_new_tokens=12)[0].logprobs) == (threshold > 0)


def test_the_script_runs(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_vlm: VLM,
    picture: Picture,
    tmp_path: Path,
) -> None:
    module = cagul_of(tiny_vlm, 0.0)
    path = bundle.export(module, tiny_vlm, tmp_path / "a.zip", title="", report={}, limits=[])
    shown = tmp_path / "picture.png"
    picture(3).save(shown)
    words = ["Who?", "--picture", str(shown), "--bundle", str(path), "--model", tiny_vlm.name]
    monkeypatch.setattr(sys, "argv", ["serve_cagul.py", *words])
    serve_cagul.main()
    wanted = module.attach(tiny_vlm).ask([Prompt(picture(3), "Who?")])[0]
    assert capsys.readouterr().out.strip() == wanted.text
