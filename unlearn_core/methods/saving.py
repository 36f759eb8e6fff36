"""A module on disk: `module.safetensors` and `module.json`, nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from unlearn_core.methods.base import Module

TENSORS, SETTINGS = "module.safetensors", "module.json"
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def save_module(module: Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in module.tensors().items()}, folder / TENSORS)
    content = {"kind": module.kind, "settings": module.settings()}
    (folder / SETTINGS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_module(folder: Path) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """(kind, tensors, settings) of a saved module. Raises ValueError for numbers that are none, which spoil every answer."""
    content = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    tensors = load_file(folder / TENSORS)
    if not all(t.is_floating_point() and bool(t.isfinite().all()) for t in tensors.values() if t.dtype not in WHOLE):
        raise ValueError("a module of finite real numbers was expected")
    return content["kind"], tensors, content["settings"]
