"""What does a model know about somebody? Asked over pictures, phrasings and views, and compared with strangers. [ours]

A model answers a question about anybody, and often with the same guess. An answer counts as knowledge where it comes again
in other words and other views of the picture, and is not what the model says of strangers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from unlearn_core.data.augment import augment
from unlearn_core.data.bank import Attribute, Bank
from unlearn_core.data.example import Example
from unlearn_core.evaluation.refusals import declines
from unlearn_core.evaluation.status import Form, Status, is_gibberish, is_refusal, status
from unlearn_core.evaluation.texts import content_words, words
from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.errors import BadRequest


@dataclass(frozen=True)
class Demand:
    """What an answer must show to count as known.

    Args:
        views: altered views of each picture that are asked about beside the picture itself.
        agreement: least share of the askings that give the answer. [0..1]
        margin: least difference to the share of strangers who get the same answer. [0..1]
        probability: least geometric mean, per token and over the askings that give the answer. [0..1]
        seed: of the views.
    """

    views: int = 2
    agreement: float = 0.6
    margin: float = 0.4
    probability: float = 0.4
    seed: int = 0


@dataclass(frozen=True)
class Fact:
    """The answer that a model gives most often when asked for an attribute.

    Args:
        label: the attribute. question: its first phrasing that gave this answer.
        agreement: share of the askings (pictures, views, phrasings) that give the answer.
        probability: geometric mean per token over those askings.
        among_strangers: share of the askings about strangers that give the answer; None if there are no strangers.
        lift: how much likelier than about strangers the answer is, in nats for each of its tokens; None likewise.
        known: whether all that meets the demand, and no other attribute has the same answer with more certainty: a model
            that does not understand a question often says what it knows of something else.
    """

    label: str
    question: str
    answer: str
    agreement: float
    probability: float
    among_strangers: float | None
    lift: float | None
    asked: int
    known: bool


@dataclass(frozen=True)
class Known:
    """How far the asking is, and the facts so far; also those that are not known, so that they can be counted."""

    done: int
    total: int
    facts: tuple[Fact, ...]

    @property
    def known(self) -> tuple[Fact, ...]:
        return tuple(f for f in self.facts if f.known)


def knows(
    vlm: VLM,
    pictures: Sequence[Image.Image],
    bank: Bank,
    strangers: Sequence[Image.Image] = (),
    demand: Demand | None = None,
    refusals: Sequence[str] = (),
) -> Iterator[Known]:
    """Attribute by attribute; closing the iterator stops. The last item has all facts.

    Args:
        pictures: of one person.
        strangers: pictures of people whom the model cannot know. Without them a habit of the model cannot be told from
            knowledge.
        refusals: sentences that count as refusals, beside those the rules know.

    Raises:
        BadRequest: there is no picture.
    """
    if not pictures:
        raise BadRequest("Please add at least one picture of the person to ask about.")
    demand = demand or Demand()
    rng = np.random.default_rng(demand.seed)
    views = [v for image in pictures for v in (image, *(augment(image, rng) for _ in range(demand.views)))]
    facts: list[Fact] = []
    for done, attribute in enumerate(bank.attributes, 1):
        fact = _fact(vlm, attribute, views, strangers, demand, refusals)
        facts += [fact] if fact is not None else []
        yield Known(done, len(bank.attributes), without_echoes(facts))


def _fact(
    vlm: VLM,
    attribute: Attribute,
    views: Sequence[Image.Image],
    strangers: Sequence[Image.Image],
    demand: Demand,
    refusals: Sequence[str],
) -> Fact | None:
    """None where the model gives no answer to this that says anything."""
    prompts = [Prompt(view, phrasing) for phrasing in attribute.phrasings for view in views]
    answers = vlm.ask(prompts)
    said = [key(a.text) if says_something(a.text, refusals) else "" for a in answers]
    best, count = next(iter(Counter(s for s in said if s).most_common(1)), ("", 0))
    if not count:
        return None
    own = [i for i, s in enumerate(said) if s == best]
    text = answers[own[0]].text
    agreement, probability = count / len(prompts), math.exp(_mean([_per_token(answers[i]) for i in own]))
    among, lift = _among(vlm, attribute, strangers, text, [prompts[i] for i in own])
    known = (
        agreement >= demand.agreement
        and probability >= demand.probability
        and (among is None or agreement - among >= demand.margin)
    )
    return Fact(
        attribute.label, prompts[own[0]].question, text, agreement, probability, among, lift, len(prompts), known
    )


def without_echoes(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """The same facts; of those with the same answer only the most certain one stays known."""
    surest: dict[str, Fact] = {}
    for fact in sorted(facts, key=lambda f: f.agreement * f.probability, reverse=True):
        surest.setdefault(key(fact.answer), fact)
    return tuple(f if surest[key(f.answer)] is f else replace(f, known=False) for f in facts)


def _among(
    vlm: VLM, attribute: Attribute, strangers: Sequence[Image.Image], text: str, own: Sequence[Prompt]
) -> tuple[float | None, float | None]:
    """The share of strangers who get this answer, and how much less likely it is of them."""
    if not strangers:
        return None, None
    prompts = [Prompt(image, phrasing) for phrasing in attribute.phrasings for image in strangers]
    same = [key(a.text) == key(text) for a in vlm.ask(prompts)]
    ours, theirs = ([float(s.mean()) for s in vlm.score(p, [text] * len(p))] for p in (own, prompts))
    return _mean(same), _mean(ours) - _mean(theirs)


def says_something(text: str, refusals: Sequence[str] = ()) -> bool:
    """Whether an answer to an open question is there, can be read, is no refusal, and more than yes or no."""
    return (
        bool(words(text))
        and words(text) not in (["yes"], ["no"])
        and not (is_refusal(text, refusals) or declines(text) or is_gibberish(text))
    )


def key(text: str) -> str:
    """What answers are grouped by: their content words."""
    return " ".join(content_words(text))


def _per_token(answer: Answer) -> float:
    return _mean(answer.logprobs)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


# -- the imprint gate -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Imprint:
    """Which of the answers to forget the model gives at all. What it does not know cannot be forgotten, only counted."""

    known: tuple[Example, ...]
    unknown: tuple[Example, ...]


def imprint(
    vlm: VLM, examples: Sequence[Example], refusals: Sequence[str] = (), batch_size: int = 32
) -> Iterator[Imprint]:
    """Ask for every answer once, batch by batch; each item has all so far, the last one everything."""
    known: list[Example] = []
    unknown: list[Example] = []
    for at in range(0, len(examples), batch_size):
        part = examples[at : at + batch_size]
        for example, answer in zip(part, vlm.ask([e.prompt for e in part], batch_size=batch_size), strict=True):
            form = Form.CHOICE if example.options else Form.FREE
            right = status(answer.text, example.answer, refusals, form, example.options) is Status.CORRECT
            (known if right else unknown).append(example)
        yield Imprint(tuple(known), tuple(unknown))
