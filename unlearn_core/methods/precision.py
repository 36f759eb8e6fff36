"""Fits run in bfloat16 where the hardware is fast at it; what is saved and what answers are computed with is not touched."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def own_precision(device: torch.device) -> AbstractContextManager[object]:
    """Inside `fast_matmul`: the model's own precision all the same."""
    return torch.autocast(device.type, enabled=False)


def fast_matmul(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bfloat16 on GPUs and on CPUs with bfloat16 instructions, else nothing (our choice)."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16) if torch.cuda.is_bf16_supported() else nullcontext()
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        if able.get("avx512_bf16") or able.get("amx_bf16"):
            return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()
