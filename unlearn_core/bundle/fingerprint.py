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


def plain(vlm: VLM) -> VLM:
    """The model with the same weights that sees through nothing."""
    while vlm.sight is not None and vlm.base is not None:
        vlm = vlm.base
    return vlm


def fingerprint(vlm: VLM) -> str:
    """SHA-256 over names, shapes and values of all parameters of the original model, in hexadecimal.

    Floating-point values are rounded to bfloat16 first. So a checkpoint has one fingerprint whether it is loaded as
    bfloat16 or float32, whichever of the two it is stored as; and one stored as float16 has it in these and in its own.
    The result is kept as long as the model lives, which is frozen.
    """
    return weights(base_of(vlm))


def weights(vlm: VLM) -> str:
    """As `fingerprint`, of the weights that this very model has, changed ones among them."""
    model = vlm.model
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


def public_base(vlm: VLM) -> tuple[str, str]:
    """(name, commit) of the original model; without a commit for a folder.

    A hub id may name a branch or tag, which may point elsewhere tomorrow: the commit does not.
    """
    base = base_of(vlm)
    name = public_name(base.name)
    if name != base.name:
        return name, ""
    repository, _, asked = name.partition("@")
    return repository, getattr(base.model.config, "_commit_hash", None) or asked
