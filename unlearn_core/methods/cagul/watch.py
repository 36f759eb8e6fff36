"""Looks at how far the forgetting is, again and again during a fit: all that no step changes is computed once. [ours]"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unlearn_core.data.example import Example
from unlearn_core.methods.cagul.cache import Frozen
from unlearn_core.methods.cagul.gate import token_statistics
from unlearn_core.methods.cagul.module import CagulModule
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.probe import hits, right
from unlearn_core.methods.world import World
from unlearn_core.vlm.room import in_batches


class Watch:
    """Questions that are asked of a module in training, through its gate as it is.

    What the gate does not flag is answered by the frozen model whatever is learned: it is asked once. For the rest the
    language model alone runs at each look.

    Args:
        frozen: of these questions alone. What is kept of a question depends in the last bits on the others in its batch, and
            training must not depend on who watches.
    """

    def __init__(self, module: CagulModule, frozen: Frozen, examples: Sequence[Example], world: World) -> None:
        self.module, self.frozen, self.world, self.count = module, frozen, world, len(examples)
        own = world.mine(examples)
        flagged = self._flagged([e for e in own if e.image is not None])
        self.touched = [e for e in own if id(e.image) in flagged]
        rest = [e for e in own if id(e.image) not in flagged]
        self.constant = sum(in_batches(rest, len(rest), lambda part: hits(frozen.vlm, part)))

    @torch.no_grad()
    def answered(self) -> float:
        """Share of the questions whose true answer greedy decoding would give now, 0..1; not a number without questions."""
        if not self.count:
            return float("nan")
        now = torch.tensor(self.constant + sum(in_batches(self.touched, len(self.touched), self._hits)))
        self.world.add([now])
        return int(now) / self.count

    def _flagged(self, shown: Sequence[Example]) -> set[int]:
        if not shown:
            return set()
        statistics = torch.stack([token_statistics(tokens) for tokens in self.frozen.tokens(shown)])
        flags = (self.module.gate.margins(statistics) >= 0).tolist()
        return {id(e.image) for e, flag in zip(shown, flags, strict=True) if flag}

    def _hits(self, examples: Sequence[Example]) -> int:
        frozen, module = self.frozen, self.module
        with fast_matmul(frozen.vlm.device):
            pairs = zip(frozen.tokens(examples), frozen.chosen(examples), strict=True)
            batch = frozen.batch(examples, [e.answer for e in examples])
            logits = frozen.vlm.answer_logits(batch, [module.edit(tokens, chosen) for tokens, chosen in pairs])
        return right(logits, batch.targets or ())
