"""A checkpoint as one safetensors file, with what is no tensor as JSON in its head: there whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.methods.checkpoint import Checkpoint
from unlearn_core.runs.errors import RunDamaged
from unlearn_core.runs.files import storing, sync

FRESH = ".checkpoint"
"""Being written; there is one writer, and what it leaves when it is killed it overwrites the next time."""
HEAD = "checkpoint"


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Put it in the place of the one before. Raises StorageFailed, and then the one before is still there."""
    fresh = path.with_name(FRESH)
    head = to_json({"step": checkpoint.step, "values": checkpoint.values}, indent=None).decode()
    with storing():
        try:
            save_file(checkpoint.tensors, fresh, {HEAD: head})
            fresh.chmod(0o600)
            sync(fresh)
            os.replace(fresh, path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        sync(path.parent)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """None where there is none. Raises RunDamaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            head = from_json(file.metadata()[HEAD].encode())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(int(head["step"]), tensors, dict(head["values"]))
    except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
        raise RunDamaged(
            "What was kept of this run while it trained can no longer be read. Please start a new one."
        ) from error
