"""Pre-flight: counted bytes are what a model takes, estimates are on the safe side, and what does not fit is said."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModelForImageTextToText, DynamicCache

from tests.contract import zoo
from unlearn_core.vlm import VLM, Prompt, memory
from unlearn_core.vlm.errors import NotEnoughMemory
from unlearn_core.vlm.families import family_of
from unlearn_core.vlm.hub import Checkpoint, in_folder
from unlearn_core.vlm.loading import DEMO, Choice, check, load
from unlearn_core.vlm.memory import Preflight, need, preflight, skeleton
from unlearn_core.vlm.quantize import settings

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SEVEN_BILLION = {
    "model_type": "llava",
    "dtype": "float16",
    "image_seq_length": 576,
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
    },
    "text_config": {"model_type": "llama", "vocab_size": 32064},
}
"""LLaVA 1.5 with 7 billion parameters, as its makers describe it."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A configuration without weights, as before a download."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "config.json").write_text(json.dumps(SEVEN_BILLION))
    return Checkpoint("seven billion", folder, SEVEN_BILLION, 14_126_854_144)


@pytest.mark.parametrize("family", zoo.ZOO)
def test_weights_are_counted_exactly(family: str, tmp_path: Path) -> None:
    real, _ = zoo.ZOO[family]()
    real.config.save_pretrained(tmp_path)
    config, model = skeleton(Checkpoint(family, tmp_path, real.config.to_dict(), 0))
    counted = need(family_of(config.model_type), config, model, "float32")
    assert counted.weights == sum(p.nbytes for p in real.parameters())
    assert min(counted.methods.values()) > 0


def test_keys_and_values_are_counted_exactly(tiny_vlm: VLM) -> None:
    vlm, cache = tiny_vlm, DynamicCache()
    batch = vlm.batch([Prompt(None, "What is the job of Mira?")])
    vlm.model(**vlm.inputs(batch, []), past_key_values=cache)
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert kept == batch.ids.shape[1] * memory.cache_bytes(vlm.model.config.get_text_config(), 4)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3"])
def test_what_a_step_keeps_is_estimated_on_the_safe_side(family: str, tmp_path: Path) -> None:
    zoo.save(family, tmp_path)
    vlm = VLM.load(tmp_path, device="cpu")
    batch = vlm.batch([Prompt(None, "What is the job of Mira?")] * 4)
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in vlm.model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    embeddings = vlm.model.get_input_embeddings()
    embeddings.weight.requires_grad_(True)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        out = vlm.model.model.language_model(inputs_embeds=embeddings(batch.ids), attention_mask=batch.mask.long())
    assert out.last_hidden_state.requires_grad
    estimate = batch.ids.numel() * memory.step_bytes(vlm.model.config.get_text_config(), 4)
    assert 1 <= estimate / sum(kept.values()) < 3


def test_a_large_model_is_reckoned_with_quickly_and_as_is_known(large: Checkpoint) -> None:
    began = time.monotonic()
    ahead = preflight(large, GPU, "auto", None, 24 * 10**9)
    assert time.monotonic() - began < 10
    assert ahead.chosen.label == "float16"
    assert ahead.chosen.need.weights == large.weights, "LLaVA 1.5 7B as its files are"
    assert ahead.chosen.need.cache == 8 * (576 + 128) * 2 * 32 * 4096 * 2, "half a megabyte per token"
    assert ahead.fits
    four = preflight(large, GPU, "bfloat16", "4bit", 24 * 10**9).chosen.need.weights
    assert 4.0e9 < four < 5.0e9


def test_processes_that_share_a_language_model_need_their_part_each(large: Checkpoint) -> None:
    """All but 32 layers of 12 x 4096 x 4096 and a bit is in each, and of these layers the one that runs is there whole."""
    attention, mlp = 4096 * 4096, 4096 * 11008
    linear = 32 * (4 * attention + 3 * mlp)
    for parts in (2, 8):
        ahead = preflight(large, GPU, "auto", None, 10 * 10**9, parts)
        assert ahead.chosen.need.weights == large.weights - 2 * (linear - linear // parts - mlp)
        assert ahead.fits
        assert not any(way.quantize for way in ahead.others)


def says(ahead: Preflight) -> str:
    with pytest.raises(NotEnoughMemory) as raised:
        ahead.require()
    return str(raised.value)


def test_what_does_not_fit_says_what_would(large: Checkpoint) -> None:
    on_gpu = says(preflight(large, GPU, "auto", None, 10 * 10**9))
    assert "14.5 GB in float16" in on_gpu
    assert "10.0 GB free" in on_gpu
    assert "8-bit" in on_gpu
    assert "4-bit" in on_gpu
    on_cpu = says(preflight(large, CPU, "float32", None, 20 * 10**9))
    assert "bfloat16" in on_cpu
    assert "bit (" not in on_cpu.replace("bfloat16", "")
    assert "smaller model" in says(preflight(large, GPU, "auto", "4bit", 10**9))


def test_nothing_is_loaded_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = Choice(str(DEMO), device="cpu")
    free = check(choice).free
    assert free > 10**8
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10**7}))
    with pytest.raises(NotEnoughMemory, match="demo"):
        load(choice)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantised_weights_are_those_of_the_language_model_alone(bits: str, tiny_folder: Path) -> None:
    """bitsandbytes can pack on a CPU too, which is how this is tested where there is no GPU."""
    pytest.importorskip("bitsandbytes")
    checkpoint = in_folder(str(tiny_folder))
    family = family_of("llava")
    model = AutoModelForImageTextToText.from_pretrained(
        tiny_folder, dtype=torch.bfloat16, quantization_config=settings(bits, family, torch.bfloat16)
    )
    packed = {name for name, layer in model.named_modules() if type(layer).__name__.startswith(("Linear4", "Linear8"))}
    assert packed
    assert all(name.startswith(f"{family.language}.") for name in packed)
    assert {p.dtype for path in family.seeing_parts() for p in model.get_submodule(path).parameters()} == {
        torch.bfloat16
    }
    counted = need(family, *skeleton(checkpoint), "bfloat16", bits).weights
    assert counted == pytest.approx(sum(p.nbytes for p in model.parameters()), rel=0.05)
