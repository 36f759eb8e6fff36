"""Fit CAGUL: read pictures, fit and calibrate the gate, train the token encoder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.data.example import ForgetRequest, distinct_images
from unlearn_core.methods.base import Step
from unlearn_core.methods.cagul.cache import CHUNK, Frozen
from unlearn_core.methods.cagul.config import CagulConfig
from unlearn_core.methods.cagul.crossfit import gate_from
from unlearn_core.methods.cagul.encoder import TokenEncoder
from unlearn_core.methods.cagul.gate import STATISTICS, Gate, token_statistics
from unlearn_core.methods.cagul.instead import Instead
from unlearn_core.methods.cagul.layers import layers_of
from unlearn_core.methods.cagul.module import CagulModule, below
from unlearn_core.methods.cagul.pictures import HARD_VIEWS, Shot, gate_shots, hard_shots, retained_subjects
from unlearn_core.methods.cagul.training import Training
from unlearn_core.methods.cagul.watch import Watch
from unlearn_core.methods.checkpoint import Resumable
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.probe import spread
from unlearn_core.methods.progress import Clock
from unlearn_core.methods.rest import Rest
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.room import within_memory

READ, ALIKE, GATE = "Reading pictures", "Looking at who is most alike", "Fitting the gate"
ASK, REST = "Asking about strangers", "Asking about the rest of the pictures"
TRAIN = "Training the token encoder"
PROBES = 32
PROBE_EVERY = 15


class CagulFit(Resumable):
    """One fit of CAGUL. The model stays frozen: all that does not depend on what is trained is computed once and kept.

    On a VLM that sees through CAGUL already, the fit is that of the model below, and touches nothing that is attached.

    Raises:
        BadRequest: the request lacks pictures that the options need. BadOption: the model has no such layer.
        UnsupportedFamily: the model's attention to pictures cannot be read.
    """

    def __init__(self, vlm: VLM, request: ForgetRequest, config: CagulConfig, world: World = ALONE) -> None:
        self.vlm, self.request, self.config, self.world = below(vlm), request, config, world
        self.vlm.require_rows()
        self.vlm.require_whole()
        self.rng = np.random.default_rng(config.seed)
        self.layers = layers_of(config.layer, self.vlm.layers)
        self._check_pictures()
        self.instead = Instead(self.vlm, request, config.target)
        self.rest = Rest(self.vlm, request, config.seed)
        # Held outside of the region, the encoder itself chooses the tokens: attention would choose those that it must leave.
        self.ratio = 1.0 if request.regions and config.rest_weight else config.ratio
        self.frozen = Frozen(self.vlm, self.layers, self.ratio, config.select)
        self.shots = gate_shots(request, config.gate_views, self.rng)
        self.statistics: Float[Tensor, "n f"] = torch.zeros(0, STATISTICS * self.vlm.width)
        self.gate: Gate | None = None
        self.encoder = TokenEncoder(self.vlm.width, config.width, config.seed).to(self.vlm.device)
        self.probes = spread(request.forget, PROBES), spread(request.retain, PROBES)
        self._report: dict[str, Any] = {}

    def _check_pictures(self) -> None:
        shown = distinct_images(self.request.elsewhere)
        if len(shown) + len(self.request.strangers) < 2:
            raise BadRequest(
                "The gate learns from pictures of others too. Please keep at least two pictures of others."
            )
        if (self.config.retain_weight or self.config.kl_weight) and not shown:
            raise BadRequest(
                "Weights of retained pictures and of KL need questions to keep that have a picture. Please add some, or set both weights to 0."
            )

    # -- result -------------------------------------------------------------------------------------------------------

    @property
    def module(self) -> CagulModule:
        assert self.gate is not None, "the gate is fitted before the first encoder step"
        return CagulModule(self.gate, self.encoder, self.layers, self.ratio, self.config.select)

    @property
    def report(self) -> dict[str, Any]:
        return dict(self._report)

    # -- gate ---------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        alike = min(self.config.hard_negatives, len(retained_subjects(self.shots)))
        plan = {
            READ: (self._chunks(len(self.shots)), 3.0),
            ALIKE: (self._chunks(alike * HARD_VIEWS), 3.0),
            GATE: (1, 10.0),
            ASK: (self.instead.chunks, 3.0),
            REST: (self.rest.chunks, 3.0),
            TRAIN: (self.config.steps, 1.0),
        }
        clock = Clock(plan)
        for _ in self._read(self.shots):
            yield clock.step(READ)
        hard = hard_shots(self.shots, self.statistics, alike, self.rng)
        for _ in self._read(hard):
            yield clock.step(ALIKE)
        self._fit_gate(hard)
        yield clock.step(GATE)
        for _ in self.instead.ask():
            yield clock.step(ASK)
        for _ in self.rest.ask():
            yield clock.step(REST)
        yield from within_memory(self._train(clock))

    def _fit_gate(self, hard: Sequence[Shot]) -> None:
        config, shots, statistics = self.config, [*self.shots, *hard], self.statistics
        gate, report = gate_from(shots, statistics, config.gate_width, config.false_alarms, config.seed)
        self.world.agree(gate.state_dict().values())
        self._report |= {
            "attention_layers": ", ".join(map(str, self.layers)),
            "gate": report | {"hard_views": len(hard)},
        }
        self.gate = gate.to(self.vlm.device)

    def _chunks(self, count: int) -> int:
        """In how many parts this process reads its share of so many pictures."""
        return -(-len(self.world.mine(range(count))) // CHUNK)

    def _read(self, shots: Sequence[Shot]) -> Iterator[None]:
        """Statistics of all pictures for the gate; tokens are kept of those alone that the encoder is trained on.

        Each process reads its share. Tokens that it needs of others' shares it computes when it first does.
        """
        retained = self.request.retain if self.config.retain_weight or self.config.kl_weight else ()
        needed = {id(e.image) for e in (*self.request.forget, *self.request.keep, *retained)}
        own, statistics = self.world.mine(range(len(shots))), torch.zeros(len(shots), self.statistics.shape[1])
        for at in range(0, len(own), CHUNK):
            places = list(own[at : at + CHUNK])
            part = [shots[i] for i in places]
            with torch.no_grad(), fast_matmul(self.vlm.device):
                tokens = self.vlm.encode([shot.picture() for shot in part], CHUNK)
            statistics[places] = torch.stack([token_statistics(t) for t in tokens]).cpu()
            for shot, seen in zip(part, tokens, strict=True):
                if shot.whole and id(shot.image) in needed:
                    self.frozen.keep(shot.image, seen)
            yield
        self.world.add([statistics])
        self.statistics = torch.cat([self.statistics, statistics])

    # -- encoder ------------------------------------------------------------------------------------------------------

    def _train(self, clock: Clock) -> Iterator[Step]:
        request = replace(self.request, retain=(*self.request.retain, *self.rest.found))
        training = Training(self.frozen, request, self.config, self.encoder, self.instead, self.rng, self.world)
        steps = self.config.steps
        probe_every = max(1, min(PROBE_EVERY, steps // 4))
        at_first = copy.deepcopy(self.rng)
        done = self._follow(training.course(clock, TRAIN))
        with fast_matmul(self.vlm.device):
            training.recall(done, at_first)
            watches = self._watches()
        for i in range(done, steps):
            with fast_matmul(self.vlm.device):
                losses = training.losses()
            training.step(losses)
            probe = (i + 1) % probe_every == 0 or i == steps - 1
            shares = [watch.answered() for watch in watches] if probe else (None, None)
            yield clock.step(TRAIN, self.world.totals(losses), *shares)
        with fast_matmul(self.vlm.device):
            self._report["identity"] = training.identity()

    def _watches(self) -> tuple[Watch, Watch]:
        """Over forget and over retain questions."""
        frozen = Frozen(self.vlm, self.layers, self.ratio, self.config.select)
        going, staying = self.probes
        own = self.world.mine(going)
        for example, tokens in zip(own, self.frozen.tokens(own), strict=True):
            if example.image is not None:
                frozen.keep(example.image, tokens)
        return Watch(self.module, frozen, going, self.world), Watch(self.module, frozen, staying, self.world)
