"""Load a checkpoint: known families only, safetensors only, never code from the checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedConfig
from transformers.utils import logging as transformers_logging

from unlearn_core.vlm.capture import IMPLEMENTATION
from unlearn_core.vlm.errors import BadOption, ModelNotFound, ModelNotLoadable
from unlearn_core.vlm.families import family_of
from unlearn_core.vlm.model import VLM
from unlearn_core.vlm.processor import load_processor

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
RETAIN_ONLY = DEMO.with_name("demo-retain-only")

# transformers notes at every load that CLIP's processor runs on Pillow; that is how it is meant to run here.
transformers_logging.get_logger("transformers.models.clip").setLevel(logging.ERROR)


def load(name_or_path: str | Path, revision: str | None = None, device: str = "auto", dtype: str = "auto") -> VLM:
    """Load a VLM from a folder or a hub id.

    Args:
        device: `auto` (a GPU if there is one), or any torch device.
        dtype: `auto` (float32 on a CPU, the checkpoint's own on a GPU), or the name of a torch dtype.

    Raises:
        BadOption: a device or dtype that this machine or torch does not have.
        ModelNotFound: no such folder or hub id, or the hub cannot be reached.
        UnsupportedFamily: an architecture that is not known here.
        ModelNotLoadable: files or tensors missing or damaged.
    """
    name = str(name_or_path)
    where = _device(device)
    precision = _dtype(dtype, where)
    family = family_of(_model_type(name, revision))
    try:
        processor = load_processor(name, family.processor, revision)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            name,
            revision=revision,
            dtype=precision,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",  # until it is set below: some decoders refuse to be loaded with SDPA
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelNotLoadable(_damaged(name)) from error
    model, info = loaded
    if info["missing_keys"]:  # transformers would only warn and fill them with random numbers
        raise ModelNotLoadable(_damaged(name))
    model.requires_grad_(False).eval().to(where)
    model.set_attn_implementation({"": IMPLEMENTATION, "text_config": IMPLEMENTATION, "vision_config": "sdpa"})
    family.ready(model)
    return VLM(model, processor, family, name)


def _model_type(name: str, revision: str | None) -> str:
    """The architecture that a checkpoint says it has, before any of it is loaded."""
    try:
        config, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
        return str(config["model_type"])
    except (OSError, ValueError, KeyError) as error:
        if (Path(name) / "config.json").is_file():
            raise ModelNotLoadable(_damaged(name)) from error
        raise ModelNotFound(
            f"No model was found at '{name}'. "
            "Give a folder with a Hugging Face checkpoint, or a hub id while the network is on."
        ) from error


def _damaged(name: str) -> str:
    return (
        f"The model at '{name}' could not be loaded: a file is missing or damaged. Only safetensors weights are read."
    )


def _device(device: str) -> torch.device:
    try:
        where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise BadOption(
            f"There is no device '{device}' here. Use 'auto', 'cpu', or 'cuda' on a GPU machine."
        ) from error
    return where


def _dtype(dtype: str, where: torch.device) -> torch.dtype | str:
    if dtype == "auto":
        return torch.float32 if where.type == "cpu" else "auto"
    known = getattr(torch, dtype, None)
    if not isinstance(known, torch.dtype) or not known.is_floating_point:
        raise BadOption(f"There is no precision '{dtype}'. Use 'auto', 'float32', 'bfloat16' or 'float16'.")
    return known
