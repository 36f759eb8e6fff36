"""Fit CAGUL: cache tokens, fit and calibrate the gate, train the token encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from unlearn_core.data.augment import augment
from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.methods.base import Step
from unlearn_core.methods.cagul.config import CagulConfig
from unlearn_core.methods.cagul.gate import Gate, calibrate, fit_gate, token_statistics
from unlearn_core.methods.cagul.module import CagulModule, TokenEncoder, choose_tokens
from unlearn_core.methods.objectives import answer_cross_entropy, answer_divergence
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.probe import answered, spread
from unlearn_core.methods.progress import Clock
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.batch import Batch

READ, GATE, ASK, TRAIN = "Reading pictures", "Fitting the gate", "Asking about strangers", "Training the token encoder"
CHUNK = 32
PROBES = 32
MAX_NEGATIVES = 480
HELD_OUT = 3
"""Every third picture calibrates the gate and is not fitted on."""


class CagulFit:
    """One fit of CAGUL. The model stays frozen: its visual tokens and attention scores are computed once and kept."""

    def __init__(self, vlm: VLM, request: ForgetRequest, config: CagulConfig) -> None:
        self.vlm, self.request, self.config = vlm, request, config
        self.layer = config.layer if config.layer >= 0 else vlm.layers // 2
        self.rng = np.random.default_rng(config.seed)
        self.images = self._gate_images()
        self.tokens: dict[int, Float[Tensor, "n d"]] = {}
        self.chosen: dict[tuple[str, str], Int[Tensor, " k"]] = {}
        self.gate: Gate | None = None
        self.encoder = TokenEncoder(vlm.width, config.width, config.seed).to(vlm.device)
        self.said: dict[str, str] = {}
        self._report: dict[str, Any] = {}

    # -- result -------------------------------------------------------------------------------------------------------

    @property
    def module(self) -> CagulModule:
        assert self.gate is not None, "the gate is fitted before the first encoder step"
        return CagulModule(self.gate, self.encoder, self.layer, self.config.ratio, self.config.select)

    @property
    def report(self) -> dict[str, Any]:
        return dict(self._report)

    # -- phases -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        everything = [image for images in self.images.values() for image in images]
        chunks = -(-len(everything) // CHUNK)
        asks = len(self._stranger_questions()) if self.config.target == "stranger" else 0
        plan = {READ: (chunks, 3.0), GATE: (1, 10.0), TRAIN: (self.config.steps, 1.0)}
        if asks:
            plan[ASK] = (1, 0.1 * asks)
        clock = Clock(plan)
        for i in range(chunks):
            part = everything[i * CHUNK : (i + 1) * CHUNK]
            with torch.no_grad(), fast_matmul(self.vlm.device):
                for image, seen in zip(part, self.vlm.encode(part, CHUNK), strict=True):
                    self.tokens[id(image)] = seen.float()
            yield clock.step(READ)
        self._fit_gate()
        yield clock.step(GATE)
        if asks:
            self._ask_strangers()
            yield clock.step(ASK)
        yield from self._train(clock)

    def _gate_images(self) -> dict[str, list[Image.Image]]:
        """Pictures by what the gate takes them for: `+subject` and `-`, with augmented views of each forgotten one."""
        groups: dict[str, list[Image.Image]] = {}
        for subject in self.request.subjects or (None,):
            shown = distinct_images([e for e in (*self.request.forget, *self.request.keep) if e.subject == subject])
            views = [augment(image, self.rng) for image in shown for _ in range(self.config.gate_views)]
            groups[f"+{subject}"] = [*shown, *views]
        others = [*distinct_images(self.request.retain), *self.request.strangers]
        if len(others) > MAX_NEGATIVES:
            others = [others[i] for i in sorted(self.rng.permutation(len(others))[:MAX_NEGATIVES])]
        groups["-"] = [*others, *(augment(image, self.rng) for image in others[:: max(1, len(others) // 96)])]
        return groups

    def _fit_gate(self) -> None:
        groups = {
            key: torch.stack([token_statistics(self.tokens[id(image)]) for image in images]).cpu()
            for key, images in self.images.items()
        }
        negatives = groups.pop("-")
        tuned = torch.arange(len(negatives)) % HELD_OUT == HELD_OUT - 1
        kept = [torch.arange(len(p)) % HELD_OUT == HELD_OUT - 1 for p in groups.values()]
        fitted = [p[~k] for p, k in zip(groups.values(), kept, strict=True)]
        self.gate = fit_gate(fitted, negatives[~tuned], self.config.gate_width, seed=self.config.seed)
        held = torch.cat([p[k] if k.any() else p for p, k in zip(groups.values(), kept, strict=True)])
        self._report["gate"] = calibrate(
            self.gate, held, negatives[tuned] if tuned.any() else negatives, self.config.false_alarms
        )
        self.gate.to(self.vlm.device)

    # -- what to say instead ------------------------------------------------------------------------------------------

    def _stranger_questions(self) -> list[str]:
        return sorted({e.question for e in self.request.forget}) if self.request.strangers else []

    def _ask_strangers(self) -> None:
        """What the frozen model says of people it never saw; the forgotten are to be answered alike. [ours]"""
        asked = self._stranger_questions()
        shown = [self.request.strangers[i % len(self.request.strangers)] for i in range(len(asked))]
        answers = self.vlm.ask([Prompt(image, q) for image, q in zip(shown, asked, strict=True)], batch_size=CHUNK)
        self.said = {q: a.text for q, a in zip(asked, answers, strict=True) if a.text}

    def _instead(self, example: Example, i: int) -> str:
        return self.said.get(example.question) or self.request.target(example, i)

    # -- encoder ------------------------------------------------------------------------------------------------------

    def _train(self, clock: Clock) -> Iterator[Step]:
        config, parameters = self.config, list(self.encoder.parameters())
        optimiser = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps, eta_min=config.rate * 0.02)
        probe_every = max(1, min(40, config.steps // 4))
        probes = spread(self.request.forget, PROBES), spread(self.request.retain, PROBES)
        for i in range(config.steps):
            with fast_matmul(self.vlm.device):
                losses = self._losses()
            total = losses["forget"] + config.keep_weight * losses.get("keep", 0.0)
            total = total + config.retain_weight * losses.get("retain", 0.0) + config.kl_weight * losses.get("kl", 0.0)
            optimiser.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            shares: tuple[float | None, float | None] = (None, None)
            if (i + 1) % probe_every == 0 or i == config.steps - 1:
                unlearned = self.module.attach(self.vlm)
                shares = answered(unlearned, probes[0]), answered(unlearned, probes[1])
            yield clock.step(TRAIN, {k: float(v.detach()) for k, v in losses.items()}, *shares)

    def _losses(self) -> dict[str, Tensor]:
        config = self.config
        keep = (
            [] if config.keep_weight == 0 or not self.request.keep else self._draw(self.request.keep, config.batch // 2)
        )
        forget = self._draw(self.request.forget, max(1, config.batch - len(keep)))
        says = [self._instead(e, int(self.rng.integers(1 << 20))) for e in forget] + [e.answer for e in keep]
        logits, batch = self._edited_logits([*forget, *keep], says)
        each = answer_cross_entropy(logits, batch.targets or ())
        losses = {"forget": each[: len(forget)].mean()}
        if keep:
            losses["keep"] = each[len(forget) :].mean()
        if config.retain_weight or config.kl_weight:
            shown = self._draw([e for e in self.request.retain if e.image is not None], config.batch)
            logits, batch = self._edited_logits(shown, [e.answer for e in shown])
            losses["retain"] = answer_cross_entropy(logits, batch.targets or ()).mean()
            if config.kl_weight:
                with torch.no_grad():
                    plain = self.vlm.answer_logits(batch, self._plain_tokens(shown))
                losses["kl"] = answer_divergence(logits, plain, [len(t) for t in batch.targets or ()]).mean()
        return losses

    def _draw(self, examples: Sequence[Example], count: int) -> list[Example]:
        return [examples[i] for i in self.rng.integers(len(examples), size=count)]

    def _plain_tokens(self, examples: Sequence[Example]) -> list[Float[Tensor, "n d"]]:
        missing = [i for i in distinct_images(examples) if id(i) not in self.tokens]
        if missing:
            with torch.no_grad():
                self.tokens.update({id(i): t.float() for i, t in zip(missing, self.vlm.encode(missing), strict=True)})
        return [self.tokens[id(e.image)].to(self.vlm.model.dtype) for e in examples]

    def _edited_logits(
        self, examples: Sequence[Example], answers: Sequence[str]
    ) -> tuple[Float[Tensor, "b t v"], Batch]:
        batch = self.vlm.batch([e.prompt for e in examples], [self.vlm.answer_ids(a) for a in answers])
        tokens = self._plain_tokens(examples)
        self._remember_choice(examples, batch, tokens)
        module = self.module
        edited = [module.edit(t, self.chosen[e.id, e.question]) for t, e in zip(tokens, examples, strict=True)]
        return self.vlm.answer_logits(batch, edited), batch

    def _remember_choice(self, examples: Sequence[Example], batch: Batch, tokens: list[Float[Tensor, "n d"]]) -> None:
        """Attention scores never change while the model is frozen: computed at an example's first use only."""
        new = [i for i, e in enumerate(examples) if (e.id, e.question) not in self.chosen]
        if new:
            alphas = self.module.scores(self.vlm, batch.take(new), [tokens[i] for i in new])
            for i, alpha in zip(new, alphas, strict=True):
                self.chosen[examples[i].id, examples[i].question] = choose_tokens(
                    alpha, self.config.ratio, self.config.select
                )
