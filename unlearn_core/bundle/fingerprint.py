"""Which model a result belongs to: its name as others may know it, and what its weights are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import nn

from unlearn_core.vlm import VLM

CHUNK = 2**22
"""Numbers that are hashed at a time."""

_fingerprints: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def base_of(vlm: VLM) -> VLM:
    """The original model below whatever is attached."""
    while vlm.base is not None:
        vlm = vlm.base
    return vlm


def fingerprint(vlm: VLM) -> str:
    """SHA-256 over names, shapes and values of all parameters of the original model, in hexadecimal.

    Floating-point values are rounded to bfloat16 first. So a checkpoint has one fingerprint whether it is loaded as
    bfloat16 or float32, whichever of the two it is stored as; and one stored as float16 has it in these and in its own.
    The result is kept as long as the model lives, which is frozen.
    """
    model = base_of(vlm).model
    if model not in _fingerprints:
        digest = hashlib.sha256()
        for name, parameter in sorted(model.named_parameters(), key=lambda item: item[0]):
            real = parameter.is_floating_point()
            digest.update(f"{name} {tuple(parameter.shape)} {'real' if real else parameter.dtype}\n".encode())
            for part in parameter.detach().reshape(-1).split(CHUNK):
                values = part.to(torch.bfloat16) if real else part
                digest.update(values.cpu().view(torch.uint8).numpy().data)
        _fingerprints[model] = digest.hexdigest()
    return _fingerprints[model]


def public_name(name: str) -> str:
    """A hub id as it is; of a folder only the last part, since the way to it is nobody's business."""
    local = Path(name).is_absolute() or Path(name).is_dir()
    return Path(name).resolve().name if local else name
