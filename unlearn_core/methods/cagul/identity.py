"""Can it be read from the transformed tokens who is shown? An adversary that trains against it, and a measure. [ours]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.methods.probe import spread


def pooled(tokens: Float[Tensor, "k d"]) -> Float[Tensor, " d2"]:
    """Mean and standard deviation of each channel over the chosen tokens, in float32."""
    x = tokens.float()
    return torch.cat([x.mean(0), (x.var(0, correction=0) + 1e-8).sqrt()])


class Adversary:
    """A linear probe that reads the subject: its parameters are the subjects' running mean features.

    It raises its score by following the means; the encoder gets the gradient with the opposite sign. A probe with
    cross-entropy does not serve here: once it is sure of everybody, which is at once, its gradient vanishes, while this
    one falls only with the distance that is left.
    """

    def __init__(self, classes: int) -> None:
        self.known = torch.zeros(classes, dtype=torch.bool)
        self.centres: Float[Tensor, "c f"] | None = None
        self.scale: Float[Tensor, " f"] | None = None

    def loss(self, features: Float[Tensor, "b f"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """How far the features lie on their own subject's side, to be lowered: the share of their spread, in units of
        the spread at the start, that lies between subjects. 0 when there is nothing left to read."""
        if self.scale is None:
            self.scale = features.detach().std(0, correction=0).clamp(min=1e-6)
        x = features / self.scale
        seen = x.detach()
        centres = self._follow(seen, labels)
        sides = centres - centres.mean(0)
        return ((x - seen.mean(0)) * sides[labels.to(x.device)]).mean()

    def state_dict(self) -> dict[str, Any]:
        state = {"known": self.known, "centres": self.centres, "scale": self.scale}
        return {name: value for name, value in state.items() if value is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.known, self.centres, self.scale = state["known"], state.get("centres"), state.get("scale")

    def means(self) -> list[Tensor]:
        """What it has learned so far."""
        return [tensor for tensor in (self.centres, self.scale) if tensor is not None]

    def _follow(self, x: Float[Tensor, "b f"], labels: Int[Tensor, " b"]) -> Float[Tensor, "c f"]:
        """Move the means of the subjects that are in the batch: all the way at first sight, then a fifth of it."""
        centres = x.mean(0).repeat(len(self.known), 1) if self.centres is None else self.centres.clone()
        for c in labels.unique().tolist():
            own = x[(labels == c).to(x.device)].mean(0)
            centres[c] = torch.lerp(centres[c], own, 0.2) if self.known[c] else own
            self.known[c] = True
        self.centres = centres
        return centres


@dataclass(frozen=True)
class ProbeAccuracy:
    """How well a fresh linear probe reads the subject from pictures that it was not fitted on.

    Args:
        accuracy: 0..1 (lower is better). chance: share of the most frequent subject among the `tested` pictures' features.
    """

    accuracy: float
    chance: float
    tested: int


def probe_accuracy(
    features: Float[Tensor, "n f"], labels: Sequence[int], pictures: Sequence[int], seed: int = 0, decay: float = 0.01
) -> ProbeAccuracy | None:
    """Fit a logistic regression on half of each subject's pictures, and test it on the other half.

    Args:
        labels: subject of each row. pictures: picture of each row; one picture's rows stay on one side of the split.
        decay: weight of the squared norm of the weights.

    Returns:
        None if there are fewer than two subjects, or a subject has fewer than two pictures.
    """
    owner = dict(zip(pictures, labels, strict=True))
    by_label = {c: [p for p in owner if owner[p] == c] for c in sorted(set(labels))}
    if len(by_label) < 2 or min(len(of) for of in by_label.values()) < 2:
        return None
    generator = torch.Generator().manual_seed(seed)
    fitted: set[int] = set()
    for of in by_label.values():
        fitted |= {of[i] for i in torch.randperm(len(of), generator=generator)[: len(of) // 2].tolist()}
    side = torch.tensor([p in fitted for p in pictures])
    truth = torch.tensor([list(by_label).index(c) for c in labels])
    x = features.detach().double().cpu()
    x = (x - x[side].mean(0)) / x[side].std(0, correction=0).clamp(min=1e-6)
    hits = _fitted_probe(x[side], truth[side], len(by_label), decay)(x[~side]).argmax(1) == truth[~side]
    chance = truth[~side].bincount().max() / len(hits)
    return ProbeAccuracy(float(hits.double().mean()), float(chance), len(hits))


def _fitted_probe(x: Float[Tensor, "n f"], truth: Int[Tensor, " n"], classes: int, decay: float) -> nn.Linear:
    probe = nn.Linear(x.shape[1], classes, dtype=x.dtype)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    optimiser = torch.optim.LBFGS(probe.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(probe(x), truth) + decay * probe.weight.pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return probe.requires_grad_(False)


# -- within a fit -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Witness:
    """A question about a picture, and the class that a probe should not be able to read from it."""

    example: Example
    label: int


def witnesses(request: ForgetRequest, most: int = 96) -> list[Witness]:
    """One question about each forgotten picture, at most `most`, labelled by subject.

    With one subject only there is nobody to tell it from; then as many pictures of others, asked the same, are class 1.
    """
    first = {id(e.image): e for e in reversed(request.forget)}
    examples = spread(list(reversed(first.values())), most)
    subjects = sorted({e.subject for e in request.forget}, key=lambda s: s or "")
    found = [Witness(e, subjects.index(e.subject)) for e in examples]
    if len(subjects) == 1:
        others = [*distinct_images(request.elsewhere), *request.strangers]
        count = min(len(others), len(examples))
        shown = [others[i * len(others) // count] for i in range(count)]
        found += [Witness(replace(examples[i], image=image), 1) for i, image in enumerate(shown)]
    return found


def identity_report(
    before: Float[Tensor, "n f"], after: Float[Tensor, "n f"], labels: Sequence[int], pictures: Sequence[int]
) -> dict[str, Any]:
    """How well a fresh probe reads the class before and after the tokens are transformed; None where it cannot be measured."""
    one, two = (probe_accuracy(x, labels, pictures) for x in (before, after))
    return {
        "read_from_original_tokens": None if one is None else one.accuracy,
        "read_from_transformed_tokens": None if two is None else two.accuracy,
        "chance": None if two is None else two.chance,
        "tested": None if two is None else two.tested,
    }
