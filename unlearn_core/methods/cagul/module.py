"""What CAGUL has learned, and how an unlearned model sees through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearn_core.methods.cagul.gate import Gate
from unlearn_core.methods.saving import save_module
from unlearn_core.vlm import VLM
from unlearn_core.vlm.batch import Batch


class TokenEncoder(nn.Module):
    """z' = z + W2 GELU(W1 LN(z)), with W2 = 0 at the start. [ours]

    The seed is for this encoder alone: fits that go on side by side share torch's global generator.
    """

    def __init__(self, width: int, inner: int, seed: int = 0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, inner)
        self.up = nn.Linear(inner, width)
        nn.init.uniform_(self.down.weight, -(width**-0.5), width**-0.5, torch.Generator().manual_seed(seed))
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, tokens: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return tokens + self.up(nn.functional.gelu(self.down(self.norm(tokens.float())))).to(tokens.dtype)


def choose_tokens(alpha: Float[Tensor, " n"], ratio: float, select: str) -> Int[Tensor, " k"]:
    """Indices of the k = max(1, round(ratio n)) tokens with the lowest or highest score, or of k spread at random.

    The random choice depends on n alone, so that an answer does not change from one time to the next.
    """
    n = len(alpha)
    k = min(n, max(1, round(ratio * n)))
    if select == "random":
        return torch.randperm(n, generator=torch.Generator().manual_seed(n))[:k].to(alpha.device)
    return alpha.topk(k, largest=select == "highest").indices


class CagulModule:
    """Gate and token encoder beside a frozen model. Attached, it is a sight; removed, everything is as before."""

    kind = "cagul"

    def __init__(self, gate: Gate, encoder: TokenEncoder, layer: int, ratio: float, select: str) -> None:
        self.gate, self.encoder = gate, encoder
        self.layer, self.ratio, self.select = layer, ratio, select

    def attach(self, vlm: VLM) -> VLM:
        self.gate.to(vlm.device)
        self.encoder.to(vlm.device)
        return vlm.with_sight(self)

    @torch.no_grad()
    def tokens(self, base: VLM, batch: Batch) -> list[Float[Tensor, "n d"]]:
        """The base model's tokens, transformed where the gate flags the picture and the very same tensors elsewhere."""
        tokens = base.tokens(batch)
        if not tokens:
            return tokens
        flagged = self.gate.flags(tokens).tolist()
        if not any(flagged):
            return tokens
        shown = [row for row, flag in zip(batch.with_image(), flagged, strict=True) if flag]
        alphas = self.scores(base, batch.take(shown), [t for t, flag in zip(tokens, flagged, strict=True) if flag])
        edited = iter(alphas)
        return [
            self.edit(t, choose_tokens(next(edited), self.ratio, self.select)) if flag else t
            for t, flag in zip(tokens, flagged, strict=True)
        ]

    def scores(self, base: VLM, batch: Batch, tokens: list[Float[Tensor, "n d"]]) -> list[Float[Tensor, " n"]]:
        """alpha: mean over heads and question tokens of the frozen model's attention on each untransformed token. [paper]"""
        return [a.mean((0, 1, 2)) for a in base.question_attention(batch, tokens, [self.layer])]

    def edit(self, tokens: Float[Tensor, "n d"], chosen: Int[Tensor, " k"]) -> Float[Tensor, "n d"]:
        return tokens.index_copy(0, chosen, self.encoder(tokens[chosen]).to(tokens.dtype))

    def tensors(self) -> dict[str, Tensor]:
        gate = {f"gate.{k}": v for k, v in self.gate.state_dict().items()}
        return gate | {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}

    def settings(self) -> dict[str, Any]:
        return {"layer": self.layer, "ratio": self.ratio, "select": self.select, "gate_width": self.gate.hidden}

    def save_pretrained(self, folder: Path) -> None:
        save_module(self, folder)

    @classmethod
    def restore(cls, tensors: dict[str, Tensor], settings: dict[str, Any]) -> CagulModule:
        first, down = tensors["gate.first"], tensors["encoder.down.weight"]
        gate = Gate(first.shape[1], first.shape[0], int(settings["gate_width"]))
        gate.load_state_dict({k.removeprefix("gate."): v for k, v in tensors.items() if k.startswith("gate.")})
        encoder = TokenEncoder(down.shape[1], down.shape[0])
        encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")})
        encoder.requires_grad_(False)
        return cls(
            gate.requires_grad_(False),
            encoder,
            int(settings["layer"]),
            float(settings["ratio"]),
            str(settings["select"]),
        )
