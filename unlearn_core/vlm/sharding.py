"""The language model's weights laid out over several processes: each keeps its part, and borrows the rest when it is due.

The decoder's linear layers, which are nearly all of a large model, are sharded one by one with torch's FSDP: just before a
layer runs, forward or backward, its weight is gathered from all processes, and right after it is let go again. So all
processes must go through the decoder equally often, and in the same order of layers.
"""

from __future__ import annotations

import torch
import torch.distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn import Linear
from transformers import PreTrainedModel

from unlearn_core.vlm.errors import BadOption, UnsupportedFamily
from unlearn_core.vlm.families import Family


def processes() -> int:
    """How many share the weights. Raises BadOption if there is only this one."""
    count = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    if count == 1:
        raise BadOption(
            "Weights can be shared out among several processes only, and this is one. "
            "Please start it with accelerate launch, or leave --shard out."
        )
    return count


def shard(model: PreTrainedModel, family: Family, device: torch.device) -> None:
    """Leave this process its part of the decoder's linear layers, on its device; all else stays where it is.

    Raises:
        UnsupportedFamily: which layers run depends on whether there is a picture to read.
    """
    if not family.in_sequence:
        raise UnsupportedFamily(
            f"Models of type '{family.model_type}' leave out layers where no picture is shown, so processes could not share "
            "them. Please leave --shard out."
        )
    mesh = init_device_mesh(device.type, (processes(),))
    for layer in list(model.get_submodule(family.language).modules()):
        if isinstance(layer, Linear):
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)


def is_sharded(model: PreTrainedModel) -> bool:
    return any(isinstance(layer, FSDPModule) for layer in model.modules())
