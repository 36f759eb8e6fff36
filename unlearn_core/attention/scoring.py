"""How probable an answer is when the picture's visual tokens are changed: the yardstick of every check of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.batch import Batch


@dataclass(frozen=True, eq=False)
class Scorer:
    """Log-probability, in nats, of chosen tokens of an answer, as a function of the visual tokens. Differentiable.

    Args:
        batch: the prompt with its answer, as one row.
        tokens: the picture as the model sees it.
        chosen: places among the answer's tokens.
    """

    vlm: VLM
    batch: Batch
    tokens: Float[Tensor, "n d"]
    chosen: Int[Tensor, " t"]

    @classmethod
    def of(cls, vlm: VLM, prompt: Prompt, answer: Answer, chosen: Sequence[int]) -> Scorer:
        """Raises ValueError if there is no picture, or nothing is chosen."""
        if prompt.image is None or not len(chosen):
            raise ValueError("There must be a picture, and a token of the answer to be scored.")
        batch = vlm.batch([prompt], [answer.ids])
        with torch.no_grad():
            tokens = vlm.tokens(batch)[0]
        return cls(vlm, batch, tokens, torch.as_tensor(list(chosen), dtype=torch.long))

    def __call__(self, seen: Float[Tensor, "b n d"]) -> Float[Tensor, " b"]:
        """Scores of b versions of the picture, in one pass."""
        assert self.batch.targets is not None
        logits = self.vlm.answer_logits(self.batch.take([0] * len(seen)), list(seen)).float()
        target = self.batch.targets[0].to(logits.device)[self.chosen]
        logprobs = logits[:, self.chosen.to(logits.device)].log_softmax(-1)
        return logprobs.gather(2, target.expand(len(seen), -1)[..., None]).sum((1, 2))

    @property
    def blank(self) -> Float[Tensor, " d"]:
        """What stands in the place of a token that is taken away: the mean of the picture's tokens. [ours]

        Zeros would be no empty place but something that the model has never seen.
        """
        return self.tokens.mean(0)

    def blanked(self, away: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """The picture with the tokens that are marked True in each of b rows blanked."""
        return torch.where(away[..., None].to(self.tokens.device), self.blank, self.tokens)
