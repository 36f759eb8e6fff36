"""LoRA on the linear layers of a decoder, through peft. The adapted decoder shares every weight with the original."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

ADAPTER = "forget"
A, B = ".lora_A.weight", ".lora_B.weight"


def has_adapter(decoder: nn.Module) -> bool:
    from peft.tuners.lora import LoraLayer

    return any(isinstance(layer, LoraLayer) for layer in decoder.modules())


def factor_shapes(decoder: nn.Module, rank: int) -> dict[str, tuple[int, int]]:
    """Shapes of the factors A (rank, in) and B (out, rank) of every linear layer, by path below the decoder."""
    shapes: dict[str, tuple[int, int]] = {}
    for name, layer in decoder.named_modules():
        if isinstance(layer, nn.Linear):
            shapes[name + A] = (rank, layer.in_features)
            shapes[name + B] = (layer.out_features, rank)
    return shapes


def first_factors(decoder: nn.Module, rank: int, seed: int) -> dict[str, Float[Tensor, "o i"]]:
    """A uniform within 1 / sqrt(in) of 0, as peft has it, and B = 0: at first nothing changes.

    The generator is for these factors alone: fits that go on side by side share torch's global one.
    """
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for name, shape in factor_shapes(decoder, rank).items():
        factors[name] = torch.zeros(shape)
        if name.endswith(A):
            factors[name].uniform_(-(shape[1] ** -0.5), shape[1] ** -0.5, generator=generator)
    return factors


def adapted(decoder: nn.Module, factors: Mapping[str, nn.Parameter], rank: int, alpha: int) -> nn.Module:
    """A copy of the decoder with the given factors beside its linear layers. These layers, and all other weights and
    buffers, are the very same objects.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    linear = (layer for layer in decoder.modules() if isinstance(layer, nn.Linear))
    shared = {id(part): part for part in (*decoder.parameters(), *decoder.buffers(), *linear)}
    twin = copy.deepcopy(decoder, shared)
    layers = [name.removesuffix(A) for name in factors if name.endswith(A)]
    options = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=layers, init_lora_weights=False, inference_mode=True
    )
    # On the meta device peft's own factors, which are replaced at once, take no memory and draw no random numbers.
    with torch.device("meta"):
        inject_adapter_in_model(options, twin, ADAPTER)
    for name in layers:
        layer = twin.get_submodule(name)
        assert isinstance(layer, LoraLayer)
        layer.lora_A[ADAPTER].weight = factors[name + A]
        layer.lora_B[ADAPTER].weight = factors[name + B]
    return twin.eval()
