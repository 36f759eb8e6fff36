"""A suite made from any request, with nothing at hand but the request itself. What is made here is our choice.

Where a benchmark or the demo world has real photographs, wordings and pairs, a suite with those says more than this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from unlearn_core.data.augment import augment
from unlearn_core.data.example import Example, ForgetRequest, distinct_images
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.status import Form
from unlearn_core.evaluation.suite.controls import shuffled, without_options, without_picture
from unlearn_core.evaluation.suite.splits import Split
from unlearn_core.evaluation.suite.suite import Suite
from unlearn_core.vlm import VLM
from unlearn_core.vlm.images import to_rgb

T = TypeVar("T")

LIMIT = 120
"""Questions of a split, at most."""
NEAR = 0.25
"""Share of the retained subjects that count as looking alike."""
WRONG = 3
"""Wrong answers of the same form that are given beside the true one."""

FRAMES = (
    "Please tell me: {question}",
    "Look at the picture again. {question}",
    "{question} Answer in one short sentence.",
    "I would like to know this: {question}",
)
"""Ways to put any question in other words."""


def suite_of(
    request: ForgetRequest,
    vlm: VLM,
    *,
    names: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
    form: Form = Form.FREE,
    limit: int = LIMIT,
    seed: int = 0,
) -> Suite:
    """Every split that can be made of a request.

    Other pictures are altered views of the request's own; other words are an example's paraphrases, or a frame around its
    question; pairs are two pictures side by side; those who look alike are the quarter of the retained subjects whose visual
    tokens lie nearest to those of the forgotten.

    Args:
        vlm: the original model, which judges who looks alike.
        names: what each subject is called; without it a subject's own label is its name, if there are letters in it.
        options: by example id, texts of the letters of a multiple choice; without it an example's own.
        limit: questions of a split, at most; they are taken evenly.
    """
    rng = np.random.default_rng((17, seed))
    everyone = [*request.forget, *request.retain]
    known = names or {e.subject: e.subject for e in everyone if e.subject is not None and is_name(e.subject)}
    wrong = _wrong_answers(everyone)

    def probes(examples: Sequence[Example]) -> tuple[Probe, ...]:
        return tuple(_probe(e, wrong, options or {}) for e in evenly(examples, limit))

    forget = probes(request.forget)
    of_people = [e for e in request.retain if e.subject is not None and e.image is not None]
    near, far = by_likeness(vlm, request.forget, of_people)
    going, staying, aside = _company(forget, probes(of_people))
    splits = {
        Split.FORGET: forget,
        Split.FORGET_PICTURES: _altered(forget, rng),
        Split.FORGET_WORDS: tuple(_reworded(p, i) for i, p in enumerate(forget)),
        Split.FORGET_PAIRS: going,
        Split.FORGET_TEXT: tuple(_by_name(p, known) for p in forget if p.example.subject in known),
        Split.KEEP: probes(request.keep),
        Split.BYSTANDER: staying,
        Split.RETAIN_NEAR: probes(near),
        Split.RETAIN_FAR: probes(far),
        Split.STRANGERS: _strangers(request, limit),
        Split.GENERAL: probes([e for e in request.retain if e.subject is None and e.image is not None]),
        Split.GENERAL_TEXT: probes([e for e in request.retain if e.image is None]),
        Split.NO_PICTURE: without_picture(forget),
        Split.SHUFFLED: shuffled(forget, aside, seed),
        Split.NO_OPTIONS: without_options(forget),
    }
    found = {k: v for k, v in splits.items() if v}
    return Suite(request.name, found, known, gallery_of(everyone), request.refusals, form)


def gallery_of(examples: Sequence[Example]) -> dict[str, tuple[Image.Image, ...]]:
    """The distinct pictures of each subject."""
    subjects = dict.fromkeys(e.subject for e in examples if e.subject is not None)
    return {s: tuple(distinct_images([e for e in examples if e.subject == s])) for s in subjects}


def is_name(label: str) -> bool:
    """Whether a subject's label can stand in a question: those of benchmarks are often mere numbers."""
    return any(c.isalpha() for c in label)


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of them, taken evenly over the whole list."""
    taken = min(count, len(items))
    return [items[i * len(items) // taken] for i in range(taken)]


# -- questions --------------------------------------------------------------------------------------------------------


def _wrong_answers(examples: Sequence[Example]) -> dict[str, list[str]]:
    """By question, the different answers it has for different subjects."""
    found: dict[str, list[str]] = {}
    for example in examples:
        answers = found.setdefault(example.question, [])
        if example.answer not in answers:
            answers.append(example.answer)
    return found


def _probe(example: Example, wrong: Mapping[str, Sequence[str]], options: Mapping[str, Mapping[str, str]]) -> Probe:
    """With what the example has of its own, and what can be made for the rest. Options that do not hold its answer exactly
    once are not asked."""
    others = [answer for answer in wrong.get(example.question, ()) if answer != example.answer]
    rephrased = (*example.paraphrases, *(frame.replace("{question}", example.question) for frame in FRAMES))
    given = example.options if list((example.options or {}).values()).count(example.answer) == 1 else None
    return Probe(
        example,
        example.paraphrased,
        example.perturbed or tuple(others[:WRONG]),
        rephrased,
        options.get(example.id, given),
    )


def _reworded(probe: Probe, i: int) -> Probe:
    """The same question in one of its own other wordings, or within other words."""
    own = probe.example.paraphrases
    return _asked(probe, own[i % len(own)] if own else FRAMES[i % len(FRAMES)])


def _asked(probe: Probe, frame: str) -> Probe:
    """The same question within other words; `{question}` in them stands for it."""
    return replace(probe, example=replace(probe.example, question=frame.replace("{question}", probe.example.question)))


def _by_name(probe: Probe, names: Mapping[str, str]) -> Probe:
    name = names[probe.example.subject or ""]
    asked = f"This is about {name}. {probe.example.question}"
    return replace(probe, example=replace(probe.example, image=None, question=asked))


def _strangers(request: ForgetRequest, limit: int) -> tuple[Probe, ...]:
    """The questions to forget, asked about strangers in turn: right is a refusal."""
    asked = list({e.question: e for e in request.forget if e.target is None}.values())
    images = request.strangers[: limit if asked else 0]
    return tuple(
        Probe(Example(f"stranger-{i}", image, asked[i % len(asked)].question, request.refusals[0], None, "stranger"))
        for i, image in enumerate(images)
    )


# -- pictures ---------------------------------------------------------------------------------------------------------


def _altered(probes: Sequence[Probe], rng: np.random.Generator) -> tuple[Probe, ...]:
    """The same questions about one altered view of each picture."""
    views = {id(i): augment(i, rng) for i in distinct_images([p.example for p in probes])}
    return tuple(replace(p, example=replace(p.example, image=views[id(p.example.image)])) for p in probes)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures as one, at the height of the left one."""
    left, right = to_rgb(left), to_rgb(right)
    right = right.resize((max(1, round(right.width * left.height / right.height)), left.height))
    out = Image.new("RGB", (left.width + right.width, left.height))
    out.paste(left, (0, 0))
    out.paste(right, (left.width, 0))
    return out


def _company(
    forget: Sequence[Probe], retain: Sequence[Probe]
) -> tuple[tuple[Probe, ...], tuple[Probe, ...], tuple[Probe, ...]]:
    """Questions about the forgotten and about the bystander on shared pictures, and the bystanders' own probes."""
    if not retain:
        return (), (), ()
    others = [retain[i * len(retain) // len(forget) % len(retain)] for i in range(len(forget))]
    going, staying = [], []
    made: dict[tuple[int, int], Image.Image] = {}
    for mine, other in zip(forget, others, strict=True):
        left, right = mine.example.image, other.example.image
        assert left is not None
        assert right is not None
        picture = made.setdefault((id(left), id(right)), side_by_side(left, right))
        for probe, side, group in ((mine, "left", going), (other, "right", staying)):
            asked = _asked(probe, f"Look only at the {side} half of the picture. {{question}}")
            group.append(replace(asked, example=replace(asked.example, image=picture)))
    return tuple(going), tuple(staying), tuple(retain)


def by_likeness(vlm: VLM, forget: Sequence[Example], retain: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Retained examples whose subject looks like a forgotten one to the model, and the others.

    Distances are Euclidean between mean visual tokens, each channel scaled by its spread over the retained subjects.
    """
    if not retain:
        return [], []
    staying, going = _seen(vlm, retain), _seen(vlm, forget)
    everyone = torch.stack(list(staying.values()))
    scale = everyone.std(0, correction=0).clamp(min=1e-6)
    distance = torch.cdist(everyone / scale, torch.stack(list(going.values())) / scale).amin(1)
    order = [list(staying)[i] for i in distance.argsort(stable=True).tolist()]
    near = set(order[: max(1, round(NEAR * len(order)))])
    return [e for e in retain if e.subject in near], [e for e in retain if e.subject not in near]


@torch.no_grad()
def _seen(vlm: VLM, examples: Sequence[Example]) -> dict[str | None, Float[Tensor, " d"]]:
    """Mean visual token of each subject over its pictures."""
    images = distinct_images(examples)
    owner = {id(e.image): e.subject for e in examples}
    found: dict[str | None, list[Tensor]] = {}
    for image, tokens in zip(images, vlm.encode(images), strict=True):
        found.setdefault(owner[id(image)], []).append(tokens.float().mean(0))
    return {subject: torch.stack(means).mean(0) for subject, means in found.items()}
