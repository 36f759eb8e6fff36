"""Fit CVF + NCU: read pictures once, find the null spaces, train within them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.base import Step
from unlearn_core.methods.checkpoint import Course, Resumable
from unlearn_core.methods.company import in_company
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.features import Pooling
from unlearn_core.methods.cvf.losses import Losses
from unlearn_core.methods.cvf.module import CvfModule
from unlearn_core.methods.cvf.moments import Moments, Protected, Sums, add_shares, null_spaces
from unlearn_core.methods.cvf.pictures import AWAY, CHUNK, GOING, STAYING, Pictures, Read
from unlearn_core.methods.cvf.student import Fitters, Student
from unlearn_core.methods.null_space import ConstrainedChange, NullSpace, Subspace
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.probe import answered, spread
from unlearn_core.methods.progress import Clock
from unlearn_core.methods.rest import Rest
from unlearn_core.methods.world import ALONE, World
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.room import in_batches, within_memory

READ, REST = "Reading pictures", "Asking about the rest of the pictures"
SPACE, TRAIN = "Finding the null spaces", "Training the visual module"
PROBES = 32
COMPANY = 2
"""Sets the generator of pictures in company apart from that of the fit."""


class CvfFit(Resumable):
    """One fit of CVF + NCU. The original stays as it is: a copy of the tower is trained.

    Args:
        protected: moments of what was kept and forgotten before; `config.moments` names a folder with such.
    """

    def __init__(
        self,
        vlm: VLM,
        request: ForgetRequest,
        config: CvfConfig,
        protected: Protected | None = None,
        world: World = ALONE,
    ) -> None:
        if vlm.sight is not None:
            raise BadRequest(
                "CVF changes how pictures are encoded and must come before CAGUL. Please start from the original model."
            )
        vlm.require_whole()
        self.vlm, self.request, self.config, self.world = vlm, request, config, world
        stored = protected or (Protected.load(Path(config.moments)) if config.moments else Protected())
        self.student = Student(
            vlm, 0 if config.train == "projector" else config.blocks, language=config.train == "everything"
        )
        for moments in (stored.kept, stored.gone):
            moments.check({name: layer.in_features for name, layer in self.student.layers.items()})
        # What is asked and probed is the request as it came; unlearned is also what it shows in company.
        self.company = in_company(request, config.company, np.random.default_rng((config.seed, COMPANY)))
        self.pictures = Pictures.of(replace(request, forget=(*request.forget, *self.company)), config)
        self.rest = Rest(vlm, request, config.seed)
        shown = bool(self.pictures.groups[STAYING])
        if not shown and not stored.kept.layers:
            request.require_retain()
            raise BadRequest(
                "No picture is marked to be kept, and without any CVF cannot tell what must be seen as before. Please add "
                "pictures of others to what is retained; what is asked without a picture stays the same by itself."
            )
        # Retained pictures say what must stay better than moments of earlier ones, which stand in where there are none.
        self.kept = Moments() if shown else stored.kept
        self.gone = stored.gone
        self.rng = np.random.default_rng(config.seed)
        self._report: dict[str, Any] = {}

    # -- result -------------------------------------------------------------------------------------------------------

    @property
    def module(self) -> CvfModule:
        c = self.config
        details = {k: getattr(c, k) for k in ("train", "blocks", "null_space", "drift_budget", "reference", "rank")}
        return CvfModule(self.student.weight_changes(c.rank), details)

    @property
    def report(self) -> dict[str, Any]:
        return dict(self._report)

    @torch.no_grad()
    def protected(self) -> Protected:
        """What a later request must protect: what is kept, and what is forgotten by now, as it is seen now."""
        fitters = self.student.fitters()
        images = self.world.mine(self.pictures.groups[GOING])
        with self.student.step():
            for at in range(0, len(images), CHUNK):
                self.student.read(images[at : at + CHUNK], fitters)
        add_shares(self.world, list(fitters.values()))
        return Protected(self.kept, self.gone + Moments(fitters))

    # -- phases -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        jobs = list(self.pictures.chunks(self.world))
        asked = self.rest.chunks if self.config.answer_weight else 0
        clock = Clock({READ: (len(jobs), 2.0), REST: (asked, 3.0), SPACE: (1, 3.0), TRAIN: (self.config.steps, 1.0)})
        going = self.student.fitters()
        yield from self._read(jobs, going, clock)
        for _ in self.rest.ask() if asked else ():
            yield clock.step(REST)
        pooling = self._note_features()
        self._constrain(going)
        yield clock.step(SPACE)
        request = replace(self.request, retain=(*self.request.retain, *self.rest.found))
        losses = Losses(self.student, request, self.company, self.config, self.pictures, pooling, self.rng, self.world)
        yield from within_memory(self._train(losses, clock))
        self._measure_drift()

    def _read(self, jobs: list[tuple[str, list[int]]], going: Fitters, clock: Clock) -> Iterator[Step]:
        """Each process reads its share; what all need of all pictures is added up afterwards."""
        pictures, sums = self.pictures, list(going.values())
        fitters = {GOING: going, STAYING: self.kept.layers, AWAY: None}
        if pictures.groups[STAYING]:
            self.kept.layers |= self.student.fitters()
            sums += self.kept.layers.values()
        for key, images in pictures.groups.items():
            if images:
                pictures.read[key] = Read.none_of(len(images), self.vlm.width, self.vlm.device)
        for key, places in jobs:
            # In the model's own precision: rounded inputs would have no true null space.
            half, tokens = self.student.read(pictures.images(key, places), fitters[key])
            pictures.read[key].note(places, tokens)
            pictures.read[key].hold(places, half, tokens)
            yield clock.step(READ)
        if self.config.reference == "base":
            self._read_base()
        add_shares(self.world, sums)
        self.world.add([t for read in pictures.read.values() for t in (read.pooled, read.lengths)])
        if pictures.shared:
            pictures.read[AWAY].pooled = pictures.read[STAYING].pooled[pictures.shared]

    def _read_base(self) -> None:
        """Forgotten pictures as a checkpoint sees them that never learned them."""
        base = VLM.load(self.config.base_model, device=str(self.vlm.device))
        count = len(self.pictures.groups[GOING])
        places = self.world.mine(range(count))
        self.pictures.read[AWAY] = Read.none_of(count, self.vlm.width, self.vlm.device)
        if places:
            self.pictures.read[AWAY].note(places, base.encode(self.pictures.images(GOING, places)))

    def _note_features(self) -> Pooling:
        """Centre and scale of what is kept."""
        if STAYING in self.pictures.read:
            read = self.pictures.read[STAYING]
            none = read.pooled.new_zeros(0, self.vlm.width)
            self.kept.pooled, self.kept.tokens = (
                Sums.of(read.pooled),
                sum(map(Sums.of, read.tokens.values()), Sums.of(none)),
            )
            add_shares(self.world, [self.kept.tokens])
        assert self.kept.pooled is not None
        assert self.kept.tokens is not None
        return Pooling.of(self.kept.pooled, self.kept.tokens, self.config.pool)

    def _constrain(self, going: Fitters) -> None:
        layers = {}
        kept = null_spaces(self.world, (self.kept + self.gone).layers)
        gone = null_spaces(self.world, going)
        for name, layer in self.student.layers.items():
            space, weight = kept[name], layer.weight.detach()
            subspace = self._subspace(space, weight, gone[name])
            change = ConstrainedChange(weight, subspace, space.output_energy(weight))
            self.world.agree(change.buffers())
            self.student.constrain(name, change)
            layers[name] = {"width": layer.in_features, "free": subspace.free}
        self._report["layers"] = layers

    def _subspace(self, space: NullSpace, weight: Float[Tensor, "o d"], going: NullSpace) -> Subspace:
        config = self.config
        if config.null_space == "off":
            return space.free()
        if config.null_space == "hard":
            return space.hard(weight, config.drift_budget, config.reach)
        if config.null_space == "ratio":
            return space.ratio(going, min(config.directions, len(space.energy)))
        return space.soft(config.soft_level)

    def _train(self, losses: Losses, clock: Clock) -> Iterator[Step]:
        config, parameters = self.config, self.student.parameters
        optimiser = torch.optim.Adam(parameters, lr=config.rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps, eta_min=config.rate * 0.02)
        probe_every = max(1, min(60, config.steps // 4))
        probes = spread(self.request.forget, PROBES), spread(self.request.retain, PROBES)
        course = Course(clock, TRAIN, parameters, optimiser, schedule, self.rng)
        for i in range(self._follow(course), config.steps):
            with self.student.step(), fast_matmul(self.vlm.device):
                values = losses()
            optimiser.zero_grad()
            losses.total(values).backward()
            self.world.add_gradients(parameters)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            if config.null_space != "off":
                for change in self.student.changes.values():
                    change.restrict(config.drift_budget)
                self.world.agree(parameters)
            shares: tuple[float | None, float | None] = (None, None)
            if (i + 1) % probe_every == 0 or i == config.steps - 1:
                with self.student.step(), fast_matmul(self.vlm.device):
                    forget, retain = (answered(self.student.seeing, probe, self.world) for probe in probes)
                shares = forget, retain
            yield clock.step(TRAIN, self.world.totals(values), *shares)

    @torch.no_grad()
    def _measure_drift(self) -> None:
        """Relative root mean square change of retained visual tokens, beside what was predicted for each layer."""
        for name, change in self.student.changes.items():
            self._report["layers"][name]["predicted_drift"] = change.drift()
        if STAYING not in self.pictures.read:
            return
        assert self.kept.tokens is not None
        kept, centre = self.pictures.read[STAYING], self.kept.tokens.mean
        own = self.world.mine(range(len(kept.lengths)))
        sums = torch.zeros(2, dtype=torch.double)
        with self.student.step(), fast_matmul(self.vlm.device):
            again = in_batches(own, CHUNK, lambda part: self.student.tokens([kept.half[i] for i in part]))
            seen = chain.from_iterable(again)
            for i, new in zip(own, seen, strict=True):
                sums[0] += (new.float() - kept.tokens[i]).pow(2).sum().cpu()
                sums[1] += (kept.tokens[i] - centre).pow(2).sum().cpu()
        self.world.add([sums])
        moved, size = sums.tolist()
        self._report["measured_drift"] = (moved / max(size, 1e-30)) ** 0.5
