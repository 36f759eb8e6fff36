"""A module on disk: `module.safetensors` and `module.json`, nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from unlearn_core.methods.base import Module

TENSORS, SETTINGS = "module.safetensors", "module.json"


def save_module(module: Module, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().cpu().contiguous() for k, v in module.tensors().items()}, folder / TENSORS)
    content = {"kind": module.kind, "settings": module.settings()}
    (folder / SETTINGS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_module(folder: Path) -> tuple[str, dict[str, Tensor], dict[str, Any]]:
    """(kind, tensors, settings) of a saved module."""
    content = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    return content["kind"], load_file(folder / TENSORS), content["settings"]
