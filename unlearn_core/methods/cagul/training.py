"""Losses of the token encoder, and what it leaves of a person's identity. The language model runs once per loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods.cagul.cache import Frozen
from unlearn_core.methods.cagul.config import CagulConfig
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.identity import Adversary, Witness, identity_report, pooled, witnesses
from unlearn_core.methods.cagul.instead import Instead
from unlearn_core.methods.checkpoint import Course
from unlearn_core.methods.objectives import answer_cross_entropy, answer_divergence
from unlearn_core.methods.progress import Clock
from unlearn_core.methods.rest import Veiled
from unlearn_core.methods.world import World

T = TypeVar("T")

READ_AT_ONCE = 32
"""Pictures per step that the adversary reads. They need no language model: their tokens and the choice of them are kept."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a step is about, the same in all processes: examples and what should be said, retained ones, and witnesses."""

    going: list[tuple[Example, str]]
    staying: list[tuple[Example, str]]
    retained: list[Example]
    witnesses: list[Witness]


class Training:
    """The token encoder in training."""

    def __init__(
        self,
        frozen: Frozen,
        request: ForgetRequest,
        config: CagulConfig,
        encoder: TokenEncoder,
        instead: Instead,
        rng: np.random.Generator,
        world: World,
    ) -> None:
        self.frozen, self.request, self.config, self.world = frozen, request, config, world
        self.encoder, self.instead, self.rng = encoder, instead, rng
        self.retain = [e for e in request.retain if e.image is not None]
        self.keep = (*request.keep, *request.beside)
        self.witnesses = witnesses(request)
        self.veiled = Veiled(frozen.vlm, request.regions)
        self.parameters = list(encoder.parameters())
        self.optimiser = torch.optim.AdamW(self.parameters, lr=config.rate, weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimiser, config.steps, eta_min=config.rate * 0.02
        )
        self.adversary = Adversary(len({w.label for w in self.witnesses})) if config.adversary else None

    def losses(self) -> dict[str, Float[Tensor, ""]]:
        """This process's part of the loss terms of one step, by name."""
        drawn = self._drawn(self.rng)
        going, share = self.world.deal(drawn.going)
        staying, share_kept = self.world.deal(drawn.staying)
        examples, says = zip(*going, *staying, strict=True)
        edited = self._edited(examples)
        batch = self.frozen.batch(examples, says)
        each = answer_cross_entropy(self.frozen.vlm.answer_logits(batch, edited), batch.targets or ())
        losses = {"forget": share * each[: len(going)].mean()}
        if staying:
            losses["keep"] = share_kept * each[len(going) :].mean()
        if self.veiled.regions and self.config.rest_weight and going:
            shown = [e.image for e, _ in going if e.image is not None]
            losses["rest"] = share * self.veiled.error(shown, edited[: len(going)], None)
        if drawn.retained:
            losses |= self._retain_losses(drawn.retained)
        if self.adversary is not None:
            losses["adversary"] = self._adversary_loss(self.adversary, drawn.witnesses)
        return losses

    def _drawn(self, rng: np.random.Generator) -> Drawn:
        config = self.config
        keep = _draw(self.keep, config.batch // 2, rng) if config.keep_weight and self.keep else []
        forget = _draw(self.request.forget, max(1, config.batch - len(keep)), rng)
        return Drawn(
            [(e, self.instead(e, int(rng.integers(1 << 20)))) for e in forget],
            [(e, e.answer) for e in keep],
            _draw(self.retain, config.batch, rng) if config.retain_weight or config.kl_weight else [],
            [] if self.adversary is None else _draw(self.witnesses, READ_AT_ONCE, rng),
        )

    def course(self, clock: Clock, phase: str) -> Course:
        others = {} if self.adversary is None else {"adversary": self.adversary}
        return Course(clock, phase, self.parameters, self.optimiser, self.schedule, self.rng, others)

    @torch.no_grad()
    def recall(self, steps: int, rng: np.random.Generator) -> None:
        """Look at the frozen model as the first steps did. What it says of a question depends in the last bits on the
        others in its batch, so that a fit which goes on must see each in the batch where it first came."""
        for _ in range(steps):
            drawn = self._drawn(rng)
            pairs = [*self.world.deal(drawn.going)[0], *self.world.deal(drawn.staying)[0]]
            self._picked([e for e, _ in pairs])
            if drawn.retained:
                shown = self.world.deal(drawn.retained)[0]
                self._picked(shown)
                if self.config.kl_weight:
                    self.frozen.reference(shown, [e.answer for e in shown])
            if drawn.witnesses:
                self._picked([w.example for w in drawn.witnesses])

    def step(self, losses: dict[str, Float[Tensor, ""]]) -> None:
        """One step of the encoder on the weighted sum, and on what it is in the other processes."""
        config = self.config
        weights = {
            "keep": config.keep_weight,
            "retain": config.retain_weight,
            "kl": config.kl_weight,
            "rest": config.rest_weight,
            "adversary": config.adversary,
        }
        self.optimiser.zero_grad()
        torch.stack([weights.get(k, 1.0) * v for k, v in losses.items()]).sum().backward()
        self.world.add_gradients(self.parameters)
        if self.adversary is not None:
            # Each process read the same pictures in batches of its own, and a checkpoint holds one state for all.
            self.world.agree(self.adversary.means())
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()

    def identity(self) -> dict[str, Any]:
        """How well a fresh probe reads who is shown, before and after the tokens are transformed."""
        examples, labels = [w.example for w in self.witnesses], [w.label for w in self.witnesses]
        pictures = [id(e.image) for e in examples]
        with torch.no_grad():
            before = torch.stack([pooled(x) for x in self._picked(examples)])
            after = torch.stack([pooled(x) for x in self._transformed(examples)])
        return identity_report(before, after, labels, pictures)

    def _retain_losses(self, retained: Sequence[Example]) -> dict[str, Float[Tensor, ""]]:
        """What happens to retained pictures should the gate flag them."""
        shown, share = self.world.deal(retained)
        says = [e.answer for e in shown]
        batch = self.frozen.batch(shown, says)
        logits, targets = self.frozen.vlm.answer_logits(batch, self._edited(shown)), batch.targets or ()
        losses = {"retain": share * answer_cross_entropy(logits, targets).mean()}
        if self.config.kl_weight:
            plain = self.frozen.reference(shown, says)
            losses["kl"] = share * answer_divergence(logits, plain, [len(t) for t in targets]).mean()
        return losses

    def _adversary_loss(self, adversary: Adversary, drawn: Sequence[Witness]) -> Float[Tensor, ""]:
        """Its probe follows the means of whole batches, so every process reads all of it and counts an equal part."""
        features = torch.stack([pooled(x) for x in self._transformed([w.example for w in drawn])])
        return adversary.loss(features, torch.tensor([w.label for w in drawn])) / self.world.size

    def _edited(self, examples: Sequence[Example]) -> list[Float[Tensor, "n d"]]:
        """The tokens of each example's picture as the module will hand them on."""
        tokens, chosen, new = self.frozen.tokens(examples), self.frozen.chosen(examples), self._transformed(examples)
        return [t.index_copy(0, c, x.to(t.dtype)) for t, c, x in zip(tokens, chosen, new, strict=True)]

    def _transformed(self, examples: Sequence[Example]) -> list[Float[Tensor, "k d"]]:
        """What the encoder makes of each example's chosen tokens, all in one pass."""
        picked = self._picked(examples)
        return list(self.encoder(torch.cat(picked)).split([len(x) for x in picked]))

    def _picked(self, examples: Sequence[Example]) -> list[Float[Tensor, "k d"]]:
        return [t[c] for t, c in zip(self.frozen.tokens(examples), self.frozen.chosen(examples), strict=True)]


def _draw(items: Sequence[T], count: int, rng: np.random.Generator) -> list[T]:
    return [items[i] for i in rng.integers(len(items), size=count)]
