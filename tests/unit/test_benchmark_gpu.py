"""The benchmark for GPUs runs from end to end on a tiny model and a CPU. Its numbers mean nothing there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText

from benchmarks import gpu

PUBLISHED = {"llava-1.5-7b": 7_063_427_072, "qwen2.5-vl-7b": 8_292_166_656}
"""Parameters of the checkpoints on the hub."""


def test_the_models_have_the_size_of_the_published_ones() -> None:
    for name, make in gpu.SIZES.items():
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(make(False)[0])
        assert model.num_parameters() == PUBLISHED[name]


@pytest.mark.parametrize("name", gpu.SIZES)
def test_it_measures_all_it_promises(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "gpu.json"
    words = f"--tiny --device cpu --models {name} --tokens 2 --batch 2 --pictures 4 --steps 2 --repeats 1 --out {out}"
    monkeypatch.setattr(sys, "argv", ["gpu", *words.split()])
    gpu.main()
    record = json.loads(out.read_text())
    assert record["tiny"] is True
    model = record["models"][name]
    assert model["visual_tokens"] > 0
    assert {group: set(costs) for group, costs in model["costs"].items()} == {
        "maps": {"plain", "maps", "eager maps"},
        "before and after": {"one answer", "two calls", "one batch of two"},
        "unlearned": {"original", "cagul, unflagged", "cvf"},
    }
    assert all(fit["seconds_per_step"] > 0 for fit in model["fits"].values())
    assert [(goal["goal"], goal["measured"] is None) for goal in model["goals"]] == [
        (1.05, False),
        (1.01, True),
        (1.3, False),
        (0.97, False),
        (0.97, False),
    ]
    assert "goal: at most 1.3" in capsys.readouterr().out
