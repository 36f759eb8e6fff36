"""Fit CVF + NCU: read pictures once, find the null spaces, train within them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.methods.base import Step
from unlearn_core.methods.cvf.config import CvfConfig
from unlearn_core.methods.cvf.features import Pooling, blurred
from unlearn_core.methods.cvf.module import CvfModule
from unlearn_core.methods.cvf.student import Student
from unlearn_core.methods.null_space import ConstrainedChange, NullSpace, NullSpaceFitter
from unlearn_core.methods.objectives import answer_cross_entropy, info_nce, scaled_error
from unlearn_core.methods.precision import fast_matmul
from unlearn_core.methods.probe import answered, spread
from unlearn_core.methods.progress import Clock
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest

READ, SPACE, TRAIN = "Reading pictures", "Finding the null spaces", "Training the visual module"
CHUNK = 32
PROBES = 32
NEGATIVES = 32
POSITIVES = 8


class CvfFit:
    """One fit of CVF + NCU. The language model stays frozen, and so does the original tower: a copy is trained."""

    def __init__(self, vlm: VLM, request: ForgetRequest, config: CvfConfig) -> None:
        if vlm.sight is not None:
            raise BadRequest(
                "CVF changes how pictures are encoded and must come before CAGUL. Please start from the original model."
            )
        self.vlm, self.request, self.config = vlm, request, config
        self.rng = np.random.default_rng(config.seed)
        self.student = Student(vlm, config.blocks)
        self.going = distinct_images([*request.forget, *request.keep])
        self.staying = [*distinct_images(request.retain), *request.strangers]
        self.away = self._reference_images()
        self.place = {id(image): i for i, image in enumerate(self.going)}
        kept_place = {id(image): i for i, image in enumerate(self.staying)}
        self.kept_examples: dict[int, list[Example]] = {}
        for example in request.retain:
            if example.image is not None:
                self.kept_examples.setdefault(kept_place[id(example.image)], []).append(example)
        self.spaces: dict[str, NullSpace] = {}
        self._report: dict[str, Any] = {}

    def _reference_images(self) -> list[Image.Image]:
        if self.config.reference == "blurred":
            return [blurred(image) for image in self.going]
        if self.config.reference == "stranger":
            if not self.request.strangers:
                raise BadRequest(
                    "The reference 'stranger' needs pictures of people the model never saw. Please add some, or choose 'blurred'."
                )
            return list(self.request.strangers)
        if not self.config.base_model:
            raise BadRequest(
                "The reference 'base' needs a base checkpoint. Please name one, or choose 'stranger' or 'blurred'."
            )
        return self.going

    # -- result -------------------------------------------------------------------------------------------------------

    @property
    def module(self) -> CvfModule:
        c = self.config
        details = {
            "blocks": c.blocks,
            "null_space": c.null_space,
            "drift_budget": c.drift_budget,
            "reference": c.reference,
        }
        return CvfModule(self.student.weight_changes(), details)

    @property
    def report(self) -> dict[str, Any]:
        return dict(self._report)

    # -- phases -------------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Step]:
        groups = {
            "going": self.going,
            "staying": self.staying,
            "away": self.away if self.away is not self.going else [],
        }
        jobs = [(key, images[at : at + CHUNK]) for key, images in groups.items() for at in range(0, len(images), CHUNK)]
        clock = Clock({READ: (len(jobs), 2.0), SPACE: (1, 3.0), TRAIN: (self.config.steps, 1.0)})
        hidden: dict[str, list[Tensor]] = {key: [] for key in groups}
        tokens: dict[str, list[Tensor]] = {key: [] for key in groups}
        fitters: dict[str, NullSpaceFitter] = {}
        for key, images in jobs:
            with fast_matmul(self.vlm.device):
                inner, seen = self.student.read(images, fitters if key == "staying" else None)
            hidden[key] += inner
            tokens[key] += seen
            yield clock.step(READ)
        self.hidden = {key: torch.stack(hidden[key]) for key in ("going", "staying")}
        self.old = {key: torch.stack(tokens[key]).float() for key in ("going", "staying")}
        self.target = torch.stack(tokens["away"]).float() if tokens["away"] else self._base_tokens()
        self.pooling = Pooling.of(self.old["staying"])
        self._constrain(fitters)
        yield clock.step(SPACE)
        yield from self._train(clock)
        self._measure_drift()

    @torch.no_grad()
    def _base_tokens(self) -> Float[Tensor, "b n d"]:
        base = VLM.load(self.config.base_model, device=str(self.vlm.device))
        return torch.stack(base.encode(self.going)).float()

    def _constrain(self, fitters: dict[str, NullSpaceFitter]) -> None:
        layers = {}
        for name, layer in self.student.layers.items():
            space = fitters[name].null_space
            gains = self._gains(space)
            self.spaces[name] = space
            self.student.constrain(name, ConstrainedChange(layer.weight.detach(), space, gains))
            layers[name] = {"width": len(gains), "free": float(gains.sum())}
        self._report["layers"] = layers

    def _gains(self, space: NullSpace) -> Float[Tensor, " d"]:
        if self.config.null_space == "off":
            return torch.ones_like(space.energy)
        if self.config.null_space == "hard":
            return space.hard(self.config.free_share)
        return space.soft(self.config.soft_level)

    # -- training -----------------------------------------------------------------------------------------------------

    def _train(self, clock: Clock) -> Iterator[Step]:
        config, changes = self.config, list(self.student.changes.values())
        parameters = [c.change for c in changes]
        optimiser = torch.optim.Adam(parameters, lr=config.rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps, eta_min=config.rate * 0.02)
        probe_every = max(1, min(60, config.steps // 4))
        probes = spread(self.request.forget, PROBES), spread(self.request.retain, PROBES)
        weights = {"contrast": config.contrast_weight, "answer": config.answer_weight, "retain": config.retain_weight}
        for i in range(config.steps):
            with self.student.step(), fast_matmul(self.vlm.device):
                losses = self._losses()
            optimiser.zero_grad()
            torch.stack([weights[k] * v for k, v in losses.items()]).sum().backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            if config.null_space != "off":
                for change in changes:
                    change.restrict(config.drift_budget)
            shares: tuple[float | None, float | None] = (None, None)
            if (i + 1) % probe_every == 0 or i == config.steps - 1:
                with self.student.step(), fast_matmul(self.vlm.device):
                    shares = answered(self.student.seeing, probes[0]), answered(self.student.seeing, probes[1])
            yield clock.step(TRAIN, {k: float(v.detach()) for k, v in losses.items()}, *shares)

    def _pick(self, count: int, n: int) -> Int[Tensor, " n"]:
        return torch.from_numpy(self.rng.permutation(count)[:n])

    def _losses(self) -> dict[str, Tensor]:
        config = self.config
        shown, asked, says = self._questions()
        stay = self._pick(len(self.staying), config.retain_batch)
        new = self.student.tokens(torch.cat([self.hidden["going"][shown], self.hidden["staying"][stay]]))
        gone, kept = new[: len(shown)], new[len(shown) :]
        losses = {
            "contrast": self._contrast(shown, gone),
            "retain": scaled_error(kept, self.old["staying"][stay], self.pooling.variance),
        }
        if config.answer_weight:
            row = {int(p): i for i, p in enumerate(shown)}
            tokens = [gone[row[self.place[id(e.image)]]] for e in asked]
            for i, example in self._kept_questions(stay):
                asked.append(example)
                says.append(example.answer)
                tokens.append(kept[i])
            batch = self.vlm.batch([e.prompt for e in asked], [self.vlm.answer_ids(s) for s in says])
            losses["answer"] = answer_cross_entropy(self.vlm.answer_logits(batch, tokens), batch.targets or ()).mean()
        return losses

    def _kept_questions(self, stay: Int[Tensor, " b"]) -> list[tuple[int, Example]]:
        """(row in `stay`, a question about that retained picture), at most `retain_questions`."""
        rows = [i for i, place in enumerate(stay.tolist()) if place in self.kept_examples]
        chosen = rows[: self.config.retain_questions]
        examples = (self.kept_examples[int(stay[i])] for i in chosen)
        return [(i, of[int(self.rng.integers(len(of)))]) for i, of in zip(chosen, examples, strict=True)]

    def _contrast(self, shown: Int[Tensor, " b"], gone: Float[Tensor, "b n d"]) -> Float[Tensor, ""]:
        """Pull forgotten pictures to the reference; push them from where they were and from retained pictures."""
        b = len(shown)
        if self.config.reference == "stranger":
            near = self.pooling(self.target[self._pick(len(self.target), POSITIVES)]).expand(b, -1, -1)
        else:
            near = self.pooling(self.target[shown])[:, None]
        where = self.pooling(self.old["going"][shown])[:, None]
        retained = len(self.staying) - len(self.request.strangers)
        others = self.pooling(self.old["staying"][self._pick(retained, NEGATIVES)]).expand(b, -1, -1)
        return info_nce(self.pooling(gone), near, torch.cat([where, others], 1), self.config.temperature)

    def _questions(self) -> tuple[Int[Tensor, " b"], list[Example], list[str]]:
        """Pictures of this step (as places in `going`), questions about them, and what should be answered."""
        request, n = self.request, self.config.questions
        keep = n // 3 if request.keep else 0
        asked = [request.forget[i] for i in self.rng.integers(len(request.forget), size=n - keep)]
        says = [request.target(e, int(self.rng.integers(1 << 20))) for e in asked]
        for i in self.rng.integers(len(request.keep), size=keep) if keep else ():
            asked.append(request.keep[i])
            says.append(request.keep[i].answer)
        places = list(dict.fromkeys(self.place[id(e.image)] for e in asked))
        more = [int(i) for i in self._pick(len(self.going), self.config.forget_batch) if int(i) not in places]
        places += more[: max(0, self.config.forget_batch - len(places))]
        return torch.tensor(places), asked, says

    @torch.no_grad()
    def _measure_drift(self) -> None:
        """Relative root mean square change of retained visual tokens, beside what was predicted for each layer."""
        moved, size = 0.0, 0.0
        centre = self.old["staying"].mean((0, 1))
        with self.student.step(), fast_matmul(self.vlm.device):
            for at in range(0, len(self.staying), CHUNK):
                old = self.old["staying"][at : at + CHUNK]
                new = self.student.tokens(self.hidden["staying"][at : at + CHUNK]).float()
                moved += float((new - old).pow(2).sum())
                size += float((old - centre).pow(2).sum())
        self._report["measured_drift"] = (moved / max(size, 1e-30)) ** 0.5
        for name, change in self.student.changes.items():
            self._report["layers"][name]["predicted_drift"] = change.drift()
