"""Fit CVF + NCU: read pictures once, find the null spaces, train within them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unlearn_core.data.example import ForgetRequest
from unlearn_core.methods.base import Step
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.features import Pooling
from unlearn_core.methods.cvf.losses import Losses
from unlearn_core.methods.cvf.module import CvfModule
from unlearn_core.methods.cvf.moments import Moments, Protected, Sums
from unlearn_core.methods.cvf.pictures import AWAY, CHUNK, GOING, STAYING, Pictures
from unlearn_core.methods.cvf.student import Fitters, Student
from unlearn_core.methods.null_space import ConstrainedChange, NullSpace, Subspace
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.probe import answered, spread
from unlearn_core.methods.progress import Clock
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.room import in_batches, within_memory
from unlearn_core.vlm.tower import HalfSeen

READ, SPACE, TRAIN = "Reading pictures", "Finding the null spaces", "Training the visual module"
PROBES = 32


class CvfFit:
    """One fit of CVF + NCU. The original stays as it is: a copy of the tower is trained.

    Args:
        protected: moments of what was kept and forgotten before; `config.moments` names a folder with such.
    """

    def __init__(self, vlm: VLM, request: ForgetRequest, config: CvfConfig, protected: Protected | None = None) -> None:
        if vlm.sight is not None:
            raise BadRequest(
                "CVF changes how pictures are encoded and must come before CAGUL. Please start from the original model."
            )
        self.vlm, self.request, self.config = vlm, request, config
        stored = protected or (Protected.load(Path(config.moments)) if config.moments else Protected())
        self.student = Student(
            vlm, 0 if config.train == "projector" else config.blocks, language=config.train == "everything"
        )
        for moments in (stored.kept, stored.gone):
            moments.check({name: layer.in_features for name, layer in self.student.layers.items()})
        if not stored.kept.layers:
            request.require_retain()
        # Retained pictures say what must stay better than moments of earlier ones, which stand in where there are none.
        self.kept = Moments() if request.retain else stored.kept
        self.gone = stored.gone
        self.pictures = Pictures.of(request, config)
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
        fitters: Fitters = {}
        images = self.pictures.groups[GOING]
        with self.student.step():
            for at in range(0, len(images), CHUNK):
                self.student.read(images[at : at + CHUNK], fitters)
        return Protected(self.kept, self.gone + Moments(fitters))

    # -- phases -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        jobs = list(self.pictures.chunks())
        clock = Clock({READ: (len(jobs), 2.0), SPACE: (1, 3.0), TRAIN: (self.config.steps, 1.0)})
        going: Fitters = {}
        yield from self._read(jobs, going, clock)
        pooling = self._note_features()
        self._constrain(going)
        yield clock.step(SPACE)
        losses = Losses(self.student, self.request, self.config, self.pictures, pooling, self.rng)
        yield from within_memory(self._train(losses, clock))
        self._measure_drift()

    def _read(self, jobs: list[tuple[str, Any]], going: Fitters, clock: Clock) -> Iterator[Step]:
        fitters = {GOING: going, STAYING: self.kept.layers, AWAY: None}
        half: dict[str, list[HalfSeen]] = {key: [] for key in fitters}
        tokens: dict[str, list[Tensor]] = {key: [] for key in fitters}
        for key, images in jobs:
            # In the model's own precision: rounded inputs would have no true null space.
            inner, seen = self.student.read(images, fitters[key])
            half[key] += inner
            tokens[key] += seen
            yield clock.step(READ)
        for key in fitters:
            self.pictures.keep(key, half[key], tokens[key])
        if self.config.reference == "base":
            base = VLM.load(self.config.base_model, device=str(self.vlm.device))
            self.pictures.keep(AWAY, half[GOING], base.encode(self.pictures.groups[GOING]))

    def _note_features(self) -> Pooling:
        """Centre and scale of what is kept."""
        if STAYING in self.pictures.read:
            read = self.pictures.read[STAYING]
            self.kept.pooled, self.kept.tokens = Sums.of(read.pooled), Sums.of(torch.cat(read.tokens))
        assert self.kept.pooled is not None
        assert self.kept.tokens is not None
        return Pooling.of(self.kept.pooled, self.kept.tokens, self.config.pool)

    def _constrain(self, going: Fitters) -> None:
        layers = {}
        protected = self.kept + self.gone
        for name, layer in self.student.layers.items():
            space, weight = protected.layers[name].null_space, layer.weight.detach()
            subspace = self._subspace(space, weight, going[name].null_space)
            self.student.constrain(name, ConstrainedChange(weight, subspace, space.output_energy(weight)))
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
        for i in range(config.steps):
            with self.student.step(), fast_matmul(self.vlm.device):
                values = losses()
            optimiser.zero_grad()
            losses.total(values).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            if config.null_space != "off":
                for change in self.student.changes.values():
                    change.restrict(config.drift_budget)
            shares: tuple[float | None, float | None] = (None, None)
            if (i + 1) % probe_every == 0 or i == config.steps - 1:
                with self.student.step(), fast_matmul(self.vlm.device):
                    shares = answered(self.student.seeing, probes[0]), answered(self.student.seeing, probes[1])
            yield clock.step(TRAIN, {k: float(v.detach()) for k, v in values.items()}, *shares)

    @torch.no_grad()
    def _measure_drift(self) -> None:
        """Relative root mean square change of retained visual tokens, beside what was predicted for each layer."""
        for name, change in self.student.changes.items():
            self._report["layers"][name]["predicted_drift"] = change.drift()
        if STAYING not in self.pictures.read:
            return
        kept = self.pictures.read[STAYING]
        moved, size = 0.0, 0.0
        centre = torch.cat(kept.tokens).mean(0)
        with self.student.step(), fast_matmul(self.vlm.device):
            seen = chain.from_iterable(in_batches(kept.half, CHUNK, self.student.tokens))
            for old, new in zip(kept.tokens, seen, strict=True):
                moved += float((new.float() - old).pow(2).sum())
                size += float((old - centre).pow(2).sum())
        self._report["measured_drift"] = (moved / max(size, 1e-30)) ** 0.5
