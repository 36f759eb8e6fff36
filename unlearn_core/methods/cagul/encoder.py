"""The token encoder, and the choice of the tokens that it transforms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

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


def attention_scores(
    vlm: VLM, batch: Batch, tokens: Sequence[Float[Tensor, "n d"]], layers: Sequence[int]
) -> list[Float[Tensor, " n"]]:
    """alpha: mean over heads and question tokens [paper] and over the chosen layers [ours] of the attention to each token.

    `vlm` is the frozen model and `tokens` are what it sees untransformed. [paper]
    """
    return [a.mean((0, 1, 2)) for a in vlm.question_attention(batch, tokens, layers)]


def choose_tokens(alpha: Float[Tensor, " n"], ratio: float, select: str) -> Int[Tensor, " k"]:
    """Indices of the k = max(1, round(ratio n)) tokens with the lowest or highest score, or of k spread at random.

    The random choice depends on n alone, so that an answer does not change from one time to the next.
    """
    n = len(alpha)
    k = min(n, max(1, round(ratio * n)))
    if select == "random":
        return torch.randperm(n, generator=torch.Generator().manual_seed(n))[:k].to(alpha.device)
    return alpha.topk(k, largest=select == "highest").indices
