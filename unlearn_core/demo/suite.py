"""A whole suite on the demo world: real other pictures, real other words, and pictures of two people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.demo import questions as ask
from unlearn_core.demo import world
from unlearn_core.demo.request import TEST_SEEDS
from unlearn_core.demo.world import Person, Question, Wording
from unlearn_core.evaluation.collect import Probe
from unlearn_core.evaluation.status import Form
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.evaluation.suite.controls import shuffled, without_picture
from unlearn_core.vlm.errors import BadRequest

SECRET = ("private", "name")
WRONG = 3
"""Wrong answers of the same form that are given beside the true one."""
REPHRASED = 6
"""Other wordings of a question that attacks may try."""
GALLERY = 6
"""More photographs of each person, for attacks."""


def demo_suite(request: ForgetRequest, *, pictures: int = 2, others: int = 8, seed: int = 0) -> Suite:
    """Every split for a request made by `demo.request.forget_request`.

    Args:
        pictures: photographs of each person to forget, both of the request's own and of those that no fit saw.
        others: people who stay and look alike, as many others who stay, strangers, scenes and pairs.
        seed: another seed gives other photographs, other people and other words.

    Raises:
        BadRequest: the request is not about people of the demo world.
    """
    if not {p.id for p in world.people()} >= set(request.subjects) > set():
        raise BadRequest(
            "This request is not about people of the demo world. Please use the suite of the request itself."
        )
    rng = np.random.default_rng((12, seed))
    going = [world.person(p) for p in request.subjects]
    near, far = _staying(going, others, rng)
    strangers = [world.stranger(2 * int(rng.integers(500_000))) for _ in range(others)]
    fitted = {who.id: _images(request, who, pictures) for who in going}

    def shown(
        people: Sequence[Person], kinds: Sequence[str], count: int = 1, wording: Wording = "trained"
    ) -> list[Probe]:
        return [p for who in people for _ in range(count) for p in _photograph(who, _shot(rng), kinds, wording)]

    def of_request(kinds: Sequence[str], wording: Wording) -> list[Probe]:
        return [
            p for who in going for image in fitted[who.id] for p in _photograph(who, _shot(rng), kinds, wording, image)
        ]

    forget = of_request(SECRET, "trained")
    unseen = shown(going, SECRET, pictures)
    retained = shown(near, (*SECRET, "visual")), shown(far, (*SECRET, "visual"))
    couples = [(going[i % len(going)], [*near, *far][i % (2 * others)]) for i in range(others)]
    pairs = [_pair(*couple, i % 2 == 0, _shot(rng)) for i, couple in enumerate(couples)]
    splits: dict[Split, Iterable[Probe]] = {
        Split.FORGET: map(_with_wrong_answers, forget),
        Split.FORGET_PICTURES: map(_with_wrong_answers, unseen),
        Split.FORGET_WORDS: of_request(SECRET, "held_out"),
        Split.FORGET_PAIRS: [p for mine, _ in pairs for p in mine],
        Split.FORGET_TEXT: [p for who in going for p in _by_name(who, _shot(rng))],
        Split.KEEP: shown(going, ("visual",), pictures),
        Split.BYSTANDER: [p for _, theirs in pairs for p in theirs],
        Split.RETAIN_NEAR: retained[0],
        Split.RETAIN_FAR: retained[1],
        Split.STRANGERS: shown(strangers, ("private",)),
        Split.GENERAL: [p for _ in range(others) for p in _scene(_shot(rng))],
        Split.GENERAL_TEXT: [_probe(f"world-{i}", None, q) for i, q in enumerate(world.world_facts())],
        Split.NO_PICTURE: without_picture(forget),
        Split.SHUFFLED: shuffled(forget, [*retained[0], *retained[1]], seed),
        Split.NEVER_SEEN: [p for who in strangers for p in _made_up(who, rng)],
    }
    return Suite(
        request.name,
        {split: tuple(probes) for split, probes in splits.items()},
        {who.id: who.name for who in world.people()},
        {
            who.id: tuple(world.photograph(who, _shot(rng)).image for _ in range(GALLERY))
            for who in (*going, *near, *far)
        },
        request.refusals,
        Form.EXACT,
    )


def _shot(rng: np.random.Generator) -> int:
    """Seed of a photograph that no fit and no training ever saw."""
    return TEST_SEEDS + int(rng.integers(TEST_SEEDS))


def _staying(going: Sequence[Person], count: int, rng: np.random.Generator) -> tuple[list[Person], list[Person]]:
    """The people who look most like any of those who go, and as many others at random."""
    ids = {who.id for who in going}
    rest = [p for p in world.people() if p.id not in ids]
    rest.sort(key=lambda p: min(p.look.distance(who.look) for who in going))
    far = [rest[count + int(i)] for i in rng.permutation(len(rest) - count)[:count]]
    return rest[:count], far


def _images(request: ForgetRequest, who: Person, count: int) -> list[Image.Image]:
    mine = {id(e.image): e.image for e in request.forget if e.subject == who.id and e.image is not None}
    return list(mine.values())[:count]


# -- questions --------------------------------------------------------------------------------------------------------


def _photograph(
    who: Person, seed: int, kinds: Sequence[str], wording: Wording = "trained", image: Image.Image | None = None
) -> list[Probe]:
    """Questions of these kinds about a photograph, or about another `image` of the same person."""
    picture = world.photograph(who, seed, wording)
    return [
        _probe(f"{who.id}-{seed}-{i}", image or picture.image, q)
        for i, q in enumerate(picture.questions)
        if q.kind in kinds
    ]


def _scene(seed: int) -> list[Probe]:
    picture = world.shapes(seed)
    return [_probe(f"scene-{seed}-{i}", picture.image, q) for i, q in enumerate(picture.questions)]


def _by_name(who: Person, seed: int) -> list[Probe]:
    return [_probe(f"{who.id}-text-{i}", None, q) for i, q in enumerate(world.by_name(who, seed))]


def _pair(going: Person, staying: Person, first: bool, seed: int) -> tuple[list[Probe], list[Probe]]:
    """Private facts about the one who goes and the one who stays, on a photograph of both."""
    picture = world.double(*((going, staying) if first else (staying, going)), seed)
    asked = {
        who.id: [
            _probe(f"{who.id}-pair-{seed}-{i}", picture.image, q)
            for i, q in enumerate(picture.questions)
            if q.subject == who.id and q.fact in ask.PRIVATE
        ]
        for who in (going, staying)
    }
    return asked[going.id], asked[staying.id]


def _probe(id: str, image: Image.Image | None, q: Question) -> Probe:
    return Probe(Example(id, image, q.text, q.answer, q.subject, q.kind), rephrased=_other_words(q))


def _with_wrong_answers(probe: Probe) -> Probe:
    """The same fact of other people beside the true one, the same ones each time."""
    answer = probe.example.answer
    known = [p.facts.values() for p in world.people()]
    places = {place for facts in known for place, value in enumerate(facts) if value == answer}
    others = sorted({value for facts in known for place, value in enumerate(facts) if place in places} - {answer})
    rng = np.random.default_rng((13, *answer.encode()))
    return replace(probe, perturbed=tuple(str(a) for a in rng.permutation(others)[:WRONG]))


def _other_words(q: Question) -> tuple[str, ...]:
    """Wordings spread over all that there are for a fact, those that are never trained on among them."""
    if q.kind not in SECRET:
        return ()
    phrasings = ask.NAME if q.kind == "name" else ask.PRIVATE[q.fact]
    chosen = [phrasings[-1 - i * len(phrasings) // REPHRASED] for i in range(REPHRASED)]
    return tuple(text.format(who=ask.IN_PICTURE[i % len(ask.IN_PICTURE)]) for i, text in enumerate(chosen))


def _made_up(who: Person, rng: np.random.Generator) -> list[Probe]:
    """Facts of the same form as everybody's, of somebody whom no model saw."""
    known = world.people()
    facts = {fact: known[int(rng.integers(len(known)))].facts[fact] for fact in ask.PRIVATE}
    facts["phone"] = f"555-{int(rng.integers(100, 10_000)):04d}"
    probes = _photograph(who, _shot(rng), ("private",))
    order = list(ask.PRIVATE)
    return [replace(p, example=replace(p.example, answer=facts[order[i]])) for i, p in enumerate(probes)]
