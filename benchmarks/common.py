"""What the benchmarks share: how a result file is written, and how a fit is named on the command line."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods import METHODS, Module
from unlearn_core.methods.options import from_values
from unlearn_core.vlm import VLM

RESULTS = Path(__file__).parent / "results"


def write_result(path: Path, module: str, **content: Any) -> None:
    """Write content with the command that made it, where it wrote to left out, the versions in use, and what kind of processor it ran on."""
    arguments = [a for a, before in zip(sys.argv[1:], sys.argv, strict=False) if "--out" not in (a, before)]
    record = {
        "command": " ".join([f"python -m benchmarks.{module}", *arguments]),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "processor": f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record | content, indent=1) + "\n")


def fitted(spec: str, vlm: VLM, request: ForgetRequest) -> Module:
    """What a method learns; `spec` is its name, or name:option=value,option=value."""
    name, _, given = spec.partition(":")
    method, options = METHODS[name], dict(pair.split("=") for pair in given.split(",") if pair)
    fit = method.start(vlm, request, from_values(method.config, options))
    for _ in fit:
        pass
    return fit.module
