"""Training the model again on a little of what it forgot, or on something else: how fast does the rest come back?

The same small LoRA is fitted to the unlearned and to the retain-only model. Whatever the retain-only model learns is learned
anew; only what the unlearned model has beyond that was still there. Asked are the facts that were not trained on, as long
as there are any, on pictures that were not trained on.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from unlearn_core.evaluation.attacks.base import (
    Access,
    AttackResult,
    Budget,
    Estimate,
    Point,
    Recovered,
    Target,
    outcome,
    share,
)
from unlearn_core.evaluation.attacks.facts import asked, facts_of, plainly
from unlearn_core.evaluation.attacks.weights import all_parts, with_weights
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.errors import NothingToMeasure
from unlearn_core.evaluation.progress import Job, Progress
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest

Source = Literal["forget", "unrelated"]
Part = Literal["all", "visual"]
ADAPTER = "relearn"
FASTER = 0.10
"""By so much a share may come back sooner than the retain-only model learns it. [ours]"""


@dataclass(frozen=True)
class RelearningBudget(Budget):
    """Args:
    shares: parts of the data that are trained on, 0..1, each from the start.
    part: what is trained: tower, projector and language model, or the first two alone.
    steps, batch, rate, rank: of Adam and of LoRA.
    """

    shares: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)
    part: Part = "all"
    steps: int = 30
    batch: int = 8
    rate: float = 1e-3
    rank: int = 8


class Relearning:
    """Args:
    source: the questions to forget, or general questions that have nothing to do with them.
    """

    access: Access = "weights"
    relearns = True
    in_scope = True
    budget = RelearningBudget
    effort = 40

    def __init__(self, source: Source) -> None:
        self.source = source
        self.name = "relearning" if source == "forget" else "relearning_unrelated"
        self.title = "Relearning" if source == "forget" else "Relearning on unrelated data"
        what = "part of the questions to forget, with their answers" if source == "forget" else "unrelated questions"
        self.tries = (
            f"Trains a small LoRA on {what}, and asks for the other facts, on pictures that were not trained on."
        )

    def run(self, target: Target, budget: RelearningBudget) -> Job[AttackResult]:
        data = self._data(target.suite, budget.seed)
        facts = yield from facts_of(target, budget)
        plain = yield from asked(target.after, target.suite, plainly(facts.forget), "without the attack")
        points: list[Point] = []
        taught = target.after
        for part in budget.shares:
            some = data[: max(1, math.ceil(part * len(data)))]
            rest = not_among(facts.forget, some)
            taught = yield from relearned(target.after, some, budget)
            hits = yield from asked(taught, target.suite, plainly(rest), f"after {part:.0%}")
            gold = yield from self._gold(target, some, rest, budget)
            points.append(Point(f"{part:.0%}", part, share([hit for (hit,) in hits]), gold))
        retain = yield from asked(taught, target.suite, plainly(facts.retain), "people who stay")
        return outcome(
            self,
            budget,
            facts.unknown,
            _overall([p.forget for p in points]),
            plain=share([hit for (hit,) in plain]),
            retain=Recovered.of(retain) if retain else None,
            gold=_overall([p.gold for p in points if p.gold is not None]) if target.gold is not None else None,
            curve=points,
            excess=max(p.forget.value - (0 if p.gold is None else p.gold.value) for p in points),
            allowed=FASTER,
            needs_gold=self.source == "forget",
            notes={"examples": len(data)},
        )

    def _data(self, suite: Suite, seed: int) -> list[Probe]:
        """Fact after fact in an order drawn at random, so that a part of it is all pictures of a random part of the facts."""
        unrelated = (Split.GENERAL, Split.GENERAL_TEXT)
        splits = [Split.FORGET] if self.source == "forget" else [s for s in unrelated if s in suite.splits][:1]
        data = [p for s in splits for p in suite.splits[s]]
        if not data:
            raise NothingToMeasure("The suite has no unrelated questions to train on.")
        facts = list(dict.fromkeys(map(_fact, data)))
        order = torch.randperm(len(facts), generator=torch.Generator().manual_seed(seed)).tolist()
        place = dict(zip(facts, order, strict=True))
        return sorted(data, key=lambda p: place[_fact(p)])

    def _gold(
        self, target: Target, data: Sequence[Probe], asking: Sequence[Probe], budget: RelearningBudget
    ) -> Job[Estimate | None]:
        if target.gold is None:
            return None
        taught = yield from relearned(target.gold, data, budget)
        hits = yield from asked(taught, target.suite, plainly(asking), "retain-only model")
        return share([hit for (hit,) in hits])


def _fact(probe: Probe) -> tuple[str | None, str]:
    return probe.example.subject, probe.truth


def not_among(facts: Sequence[Probe], data: Sequence[Probe]) -> Sequence[Probe]:
    """The facts that nothing was trained on: what comes back with them was still there. All, where all were trained on."""
    trained = set(map(_fact, data))
    return [p for p in facts if _fact(p) not in trained] or facts


def _overall(estimates: Sequence[Estimate]) -> Recovered:
    """The highest point of a curve, and the mean of its points."""
    worst = max(estimates, key=lambda e: e.value)
    return Recovered(worst, Estimate(fmean(e.value for e in estimates), None, None, worst.count))


# -- training ---------------------------------------------------------------------------------------------------------


def relearned(vlm: VLM, data: Sequence[Probe], budget: RelearningBudget) -> Job[VLM]:
    """The model after a few steps on these questions; the one that is given stays as it is.

    Raises:
        BadRequest: only the visual part is to be trained, and the model sees through a module that passes no gradient.
    """
    paths = all_parts(vlm) if budget.part == "all" else vlm.family.seeing_parts()
    learning: list[nn.Parameter] = []

    def change(model: PreTrainedModel) -> Mapping[str, nn.Module]:
        parts = {path: _with_lora(model.get_submodule(path), budget) for path in paths}
        learning.extend(p for part in parts.values() for n, p in part.named_parameters() if f".{ADAPTER}." in n)
        return parts

    twin = with_weights(vlm, change)
    optimiser = torch.optim.Adam(learning, lr=budget.rate)
    rng = torch.Generator().manual_seed(budget.seed)
    for step in range(budget.steps):
        some = torch.randint(len(data), (min(budget.batch, len(data)),), generator=rng).tolist()
        loss = answer_loss(twin, [data[i] for i in some])
        if not loss.requires_grad:
            raise BadRequest(
                "No gradient passes through what this model sees with, so its visual part cannot be trained. "
                "Please relearn with part 'all'."
            )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield Progress("training", step + 1, budget.steps)
    for parameter in learning:
        parameter.requires_grad_(False)
    return twin


def answer_loss(vlm: VLM, probes: Sequence[Probe]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the tokens of the true answers, in nats."""
    batch = vlm.batch([p.prompt for p in probes], [vlm.answer_ids(p.truth) for p in probes])
    logits = vlm.answer_logits(batch, vlm.tokens(batch))
    rows = zip(logits, batch.targets or (), strict=True)
    losses = [F.cross_entropy(row[-len(t) :].float(), t.to(row.device), reduction="none") for row, t in rows]
    return torch.cat(losses).mean()


def _with_lora(part: nn.Module, budget: RelearningBudget) -> nn.Module:
    """A copy with fresh LoRA factors on its linear layers, adapters that it has already left alone; weights are shared."""
    from peft import LoraConfig, inject_adapter_in_model

    shared = {id(tensor): tensor for tensor in (*part.parameters(), *part.buffers())}
    twin = copy.deepcopy(part, shared)
    layers = [n for n, m in twin.named_modules() if isinstance(m, nn.Linear) and n and "lora_" not in n]
    if not layers:
        return twin
    options = LoraConfig(r=budget.rank, lora_alpha=2 * budget.rank, lora_dropout=0.0, target_modules=layers)
    with torch.random.fork_rng():
        torch.manual_seed(budget.seed)
        inject_adapter_in_model(options, twin, ADAPTER)
    return twin.eval()
