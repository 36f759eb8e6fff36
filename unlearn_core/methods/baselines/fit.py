"""Fit a baseline: read pictures once, score what must go, train LoRA factors of the language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.methods.base import Step
from unlearn_core.methods.baselines.adapter import adapted, first_factors, has_adapter
from unlearn_core.methods.baselines.config import BaselineConfig, NpoConfig, RetainConfig
from unlearn_core.methods.baselines.losses import ascent, log_probability, negative_preference
from unlearn_core.methods.baselines.module import LoraModule
from unlearn_core.methods.baselines.schedule import Shuffled, pace
from unlearn_core.methods.baselines.seen import Seen
from unlearn_core.methods.checkpoint import Course, Resumable
from unlearn_core.methods.objectives import answer_cross_entropy, answer_divergence
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.probe import answered, spread
from unlearn_core.methods.progress import Clock
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.room import Room, in_batches, within_memory

READ, SCORE, TRAIN = "Reading pictures", "Scoring what must go", "Training the language model"
CHUNK = 32
PROBES = 32
PROBE_EVERY = 10
CLIP = 1.0


@dataclass(frozen=True)
class Objective:
    """The two terms of a baseline's loss; they are added.

    Args:
        forget: ascent, -CE of the true answers; refusal, CE of what should be said instead; preference, NPO.
        retain: nothing; answers, CE of the true answers; divergence, KL to the original model.
    """

    forget: Literal["ascent", "refusal", "preference"]
    retain: Literal["nothing", "answers", "divergence"]


class BaselineFit(Resumable):
    """One fit of a baseline. The original model stays frozen; a decoder that shares its weights carries the factors.

    What stays are retained questions and, as for the other methods, those about the forgotten that must stay right.
    """

    def __init__(
        self,
        name: str,
        objective: Objective,
        vlm: VLM,
        request: ForgetRequest,
        config: BaselineConfig,
        world: World = ALONE,
    ) -> None:
        _check_original(vlm)
        request.require_retain()  # a model that babbles has forgotten too: what is forgotten is read beside what is kept
        self.name, self.objective, self.request, self.config, self.world = name, objective, request, config, world
        self.stays = () if objective.retain == "nothing" else (*request.keep, *request.retain)
        self.probes = spread(request.forget, PROBES), spread(request.retain, PROBES)
        self.rng = np.random.default_rng(config.seed)
        self.seen = Seen()
        self.path = vlm.family.language
        decoder = vlm.model.get_submodule(self.path)
        first = first_factors(decoder, config.rank, config.seed)
        self.factors = {name: nn.Parameter(factor.to(vlm.device)) for name, factor in first.items()}
        trained = adapted(decoder, self.factors, config.rank, config.alpha)
        self.original = vlm.with_sight(self.seen)
        self.student = vlm.with_parts({self.path: trained}).with_sight(self.seen)
        self.reference = torch.zeros(len(request.forget), device=vlm.device)
        self._report: dict[str, Any] = {"parameters": sum(f.numel() for f in self.factors.values())}

    # -- result -------------------------------------------------------------------------------------------------------

    @property
    def module(self) -> LoraModule:
        factors = {f"{self.path}.{name}": factor.detach().clone() for name, factor in self.factors.items()}
        return LoraModule(self.name, factors, self.config.rank, self.config.alpha)

    @property
    def report(self) -> dict[str, Any]:
        return dict(self._report)

    # -- phases -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        images = self.world.mine(distinct_images([*self.request.forget, *self.stays, *self.probes[1]]))
        all_places = range(len(self.request.forget)) if self.objective.forget == "preference" else ()
        scored = list(self.world.rounds(all_places, CHUNK))
        plan = {READ: (-(-len(images) // CHUNK), 3.0), TRAIN: (self.config.steps, 1.0)}
        if scored:
            plan[SCORE] = (len(scored), 1.0)
        clock = Clock(plan)
        for at in range(0, len(images), CHUNK):
            self.seen.read(self.original, images[at : at + CHUNK])
            yield clock.step(READ)
        room = Room(firm=self.original.sharded)
        for places in scored:
            part = [self.request.forget[k] for k in places or [0]]  # all go through the model, also those that are done
            scores = torch.cat(list(in_batches(part, CHUNK, self._score, room)))
            self.reference[list(places)] = scores[: len(places)]
            yield clock.step(SCORE)
        self.world.add([self.reference])
        yield from within_memory(self._train(clock))

    @torch.no_grad()
    def _score(self, examples: Sequence[Example]) -> Float[Tensor, " b"]:
        """ln pi_ref of forget answers: the original never changes, so once is enough."""
        with fast_matmul(self.original.device):
            logits, targets = self._logits(self.original, examples, [e.answer for e in examples])
        return log_probability(logits, targets)

    # -- training -----------------------------------------------------------------------------------------------------

    def _train(self, clock: Clock) -> Iterator[Step]:
        config, factors = self.config, list(self.factors.values())
        optimiser = torch.optim.AdamW(factors, lr=config.rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: pace(i, config.steps))
        probe_every = max(1, min(PROBE_EVERY, config.steps // 4))
        going = Shuffled(len(self.request.forget), config.batch, self.rng)
        staying = self._staying()
        orders = {"going": going} if staying is None else {"going": going, "staying": staying}
        course = Course(clock, TRAIN, factors, optimiser, schedule, self.rng, orders)
        for i in range(self._follow(course), config.steps):
            with fast_matmul(self.student.device):
                losses = {"forget": self._forget(next(going))}
                if staying is not None:
                    losses["retain"] = self._retain(next(staying))
            optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            self.world.add_gradients(factors)
            torch.nn.utils.clip_grad_norm_(factors, CLIP)
            optimiser.step()
            schedule.step()
            shares: tuple[float | None, float | None] = (None, None)
            if (i + 1) % probe_every == 0 or i == config.steps - 1:
                forget, retain = (answered(self.student, probe, self.world) for probe in self.probes)
                shares = forget, retain
            forgotten = config.stop == "forgotten" and shares[0] is not None and shares[0] <= config.stop_at
            self._report |= {"steps": i + 1, "stopped_by": "forgotten" if forgotten else "steps"}
            step = clock.step(TRAIN, self.world.totals(losses), *shares)
            if forgotten:
                yield replace(step, total=step.index, seconds_left=0.0)
                return
            yield step

    def _staying(self) -> Shuffled | None:
        if self.objective.retain == "nothing":
            return None
        assert isinstance(self.config, RetainConfig)
        return Shuffled(len(self.stays), self.config.retain_batch, self.rng)

    def _forget(self, places: list[int]) -> Float[Tensor, ""]:
        """This process's part of the loss."""
        examples, says = [self.request.forget[k] for k in places], [self.request.forget[k].answer for k in places]
        if self.objective.forget == "refusal":
            says = [self.request.target(e, int(self.rng.integers(1 << 20))) for e in examples]
        own, share = self.world.deal(range(len(places)))
        logits, targets = self._logits(self.student, [examples[i] for i in own], [says[i] for i in own])
        if self.objective.forget == "refusal":
            return share * answer_cross_entropy(logits, targets).mean()
        if self.objective.forget == "ascent":
            return share * ascent(logits, targets)
        assert isinstance(self.config, NpoConfig)
        reference = self.reference[[places[i] for i in own]]
        return share * negative_preference(log_probability(logits, targets), reference, self.config.beta)

    def _retain(self, places: list[int]) -> Float[Tensor, ""]:
        """This process's part of the loss."""
        own, share = self.world.deal(places)
        examples = [self.stays[k] for k in own]
        says = [e.answer for e in examples]
        logits, targets = self._logits(self.student, examples, says)
        if self.objective.retain == "answers":
            return share * answer_cross_entropy(logits, targets).mean()
        with torch.no_grad():
            before, _ = self._logits(self.original, examples, says)
        return share * answer_divergence(logits, before, [len(t) for t in targets]).mean()

    def _logits(
        self, vlm: VLM, examples: Sequence[Example], says: Sequence[str]
    ) -> tuple[Float[Tensor, "b t v"], tuple[Int[Tensor, " t"], ...]]:
        batch = vlm.batch([e.prompt for e in examples], [vlm.answer_ids(s) for s in says])
        return vlm.answer_logits(batch, vlm.tokens(batch)), batch.targets or ()


def _check_original(vlm: VLM) -> None:
    if vlm.sight is not None:
        raise BadRequest(
            "Baselines change the language model and must come before CAGUL. Please start from the original model."
        )
    if has_adapter(vlm.model.get_submodule(vlm.family.language)):
        raise BadRequest("This model already carries a baseline's module. Please start from the original model.")
