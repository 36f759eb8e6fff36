"""Load a checkpoint: known families only, safetensors only, never code from the checkpoint."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText
from transformers.utils import logging as transformers_logging

from unlearn_core.vlm import quantize as quantizing
from unlearn_core.vlm import sharding
from unlearn_core.vlm.capture import IMPLEMENTATION
from unlearn_core.vlm.card import license_of
from unlearn_core.vlm.errors import BadOption, ModelNotLoadable, NotEnoughMemory
from unlearn_core.vlm.families import Family, family_of
from unlearn_core.vlm.hub import Checkpoint, Hub, Progress, damaged, nothing
from unlearn_core.vlm.memory import Preflight, free_memory, preflight
from unlearn_core.vlm.model import VLM
from unlearn_core.vlm.presets import DEMO, RETAIN_ONLY
from unlearn_core.vlm.processor import load_processor

__all__ = ["DEMO", "RETAIN_ONLY", "Choice", "check", "load"]

SPREAD = ("auto", "balanced", "sequential")
"""Ways to lay a model over several GPUs, as accelerate names them."""

# transformers notes at every load that CLIP's processor runs on Pillow; that is how it is meant to run here.
transformers_logging.get_logger("transformers.models.clip").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Choice:
    """Which model, and how it is loaded.

    Args:
        model: folder or hub id.
        revision: branch, tag or commit on the hub; None for its main branch.
        device: `auto` (a GPU if there is one), or any torch device.
        dtype: `auto` (float32 on a CPU, the checkpoint's own on a GPU), or the name of a torch dtype.
        quantize: None, or `8bit` or `4bit` for the language model; all that sees is kept in bfloat16. Needs a GPU.
        device_map: None for one device, or `auto`, `balanced` or `sequential` to lay it over all GPUs.
        shard: share the language model's weights out among the processes that were launched together; see `sharding`.
    """

    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    device_map: str | None = None
    shard: bool = False

    @property
    def name(self) -> str:
        """What runs and bundles call the model."""
        return self.model if self.revision is None else f"{self.model}@{self.revision}"


@dataclass(frozen=True)
class Place:
    """A choice as this machine understands it; `parts` is the number of processes that share the language model."""

    device: torch.device
    dtype: str
    spread: bool
    parts: int


def check(choice: Choice, hub: Hub | None = None) -> Preflight:
    """Look a model up and reckon whether it fits, before anything but its configuration is downloaded or loaded.

    It raises what `load` does, but for NotEnoughMemory and DownloadFailed.
    """
    place = _place(choice)
    return _preflight((hub or Hub()).find(choice.model, choice.revision), choice, place)


def load(choice: Choice, hub: Hub | None = None, progress: Progress = nothing) -> VLM:
    """Load a VLM from a folder or the hub, downloading what is missing.

    Args:
        hub: None for the one that the environment names.
        progress: is told how far a download is; what it raises ends it.

    Raises:
        BadOption: a device, dtype or the like that this machine or torch does not have.
        CannotQuantize: quantisation is asked for, and the package or a GPU is missing.
        ModelNotFound: no such folder or hub id; ModelGated and HubUnreachable are kinds of it.
        UnsupportedFamily: an architecture that is not known here.
        NotEnoughMemory: it would not fit.
        DownloadFailed, StorageFailed: a download that broke off, or a disk that is full.
        ModelNotLoadable: files or tensors missing or damaged.
    """
    place, hub = _place(choice), hub or Hub()
    checkpoint = hub.find(choice.model, choice.revision)
    family = family_of(checkpoint.config["model_type"])
    _preflight(checkpoint, choice, place).require()
    return _read(hub.download(checkpoint, progress), family, choice, place)


def _preflight(checkpoint: Checkpoint, choice: Choice, place: Place) -> Preflight:
    free = free_memory(place.device, place.spread)
    return preflight(checkpoint, place.device, place.dtype, choice.quantize, free, place.parts)


def _read(checkpoint: Checkpoint, family: Family, choice: Choice, place: Place) -> VLM:
    name, folder = checkpoint.name, str(checkpoint.folder)
    try:
        processor = load_processor(folder, family.processor)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",  # until it is set below: some decoders refuse to be loaded with SDPA
            output_loading_info=True,
            **_placed(family, choice, place),
        )
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemory(
            f"There was not enough memory on {place.device} to load '{name}'. "
            "Please choose another precision or quantisation, or free some memory."
        ) from error
    except Exception as error:
        raise ModelNotLoadable(damaged(name)) from error
    model, info = loaded
    if info["missing_keys"]:  # transformers would only warn and fill them with random numbers
        raise ModelNotLoadable(damaged(name))
    if {"cpu", "disk"} & set(map(str, getattr(model, "hf_device_map", {}).values())) and place.device.type == "cuda":
        raise NotEnoughMemory(
            f"'{name}' does not fit on the GPUs as a whole, and nothing can be trained on parts that lie elsewhere. "
            "Please choose another precision or quantisation."
        )
    model.requires_grad_(False).eval()
    if choice.shard:  # before it goes to the GPU, which need not have room for the whole
        sharding.shard(model, family, place.device)
    if choice.quantize is None and not place.spread:
        model.to(place.device)
    model.set_attn_implementation({"": IMPLEMENTATION, "text_config": IMPLEMENTATION, "vision_config": "sdpa"})
    family.ready(model)
    model.config._commit_hash = checkpoint.commit  # a checkpoint is read from a folder, which does not tell
    known = license_of(checkpoint.folder, checkpoint.config)
    return VLM(model, processor, family, choice.name, license=known)


def _placed(family: Family, choice: Choice, place: Place) -> dict[str, Any]:
    """The arguments of transformers that say where weights go, and in how many bits."""
    dtype: Any = place.dtype if place.dtype == "auto" else getattr(torch, place.dtype)
    arguments: dict[str, Any] = {"dtype": dtype}
    if choice.quantize is not None:
        arguments["quantization_config"] = quantizing.settings(choice.quantize, family, dtype)
        arguments["device_map"] = {"": place.device}
    if place.spread:
        arguments["device_map"] = choice.device_map
    return arguments


# -- what this machine has ----------------------------------------------------------------------------------------------


def _place(choice: Choice) -> Place:
    """Raises BadOption, CannotQuantize."""
    if choice.shard and (choice.quantize is not None or choice.device_map is not None):
        raise BadOption("Weights that processes share are neither quantised nor spread. Please leave one of these out.")
    device = _device(choice.device)
    dtype = _dtype(choice.dtype, device)
    if choice.quantize is not None:
        quantizing.check(choice.quantize, device)
        dtype = "bfloat16" if dtype == "auto" else dtype
    if choice.device_map is not None and choice.device_map not in SPREAD:
        raise BadOption(f"There is no device map '{choice.device_map}'. Use 'auto', 'balanced' or 'sequential'.")
    if choice.device_map is not None and device.type != "cuda":
        raise BadOption("A device map lays a model over GPUs, and there is none here. Please leave it out.")
    return Place(device, dtype, choice.device_map is not None, sharding.processes() if choice.shard else 1)


def _device(device: str) -> torch.device:
    try:
        where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise BadOption(
            f"There is no device '{device}' here. Use 'auto', 'cpu', or 'cuda' on a GPU machine."
        ) from error
    return where


def _dtype(dtype: str, where: torch.device) -> str:
    if dtype == "auto":
        return "float32" if where.type == "cpu" else "auto"
    known = getattr(torch, dtype, None)
    if not isinstance(known, torch.dtype) or not known.is_floating_point:
        raise BadOption(f"There is no precision '{dtype}'. Use 'auto', 'float32', 'bfloat16' or 'float16'.")
    return dtype
