"""The demo world: fifty fictitious people with six private facts each, strangers, scenes, and what may be asked of them.

Everything is a pure function of seeds: the same seed gives the same person, the same photograph and the same question.
Nobody here exists; names, numbers and illnesses are made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

from unlearn_core.demo import questions as ask
from unlearn_core.demo.draw import (
    SHAPE_COLOURS,
    SHAPES,
    Look,
    Region,
    Shot,
    Thing,
    pair,
    pair_faces,
    portrait,
    portrait_face,
    random_look,
    random_shot,
    scene,
)

PEOPLE = 50
FORGET_SPLIT = ("p07", "p19", "p28", "p36", "p44")
"""The people (10 %) that the retain-only model was never shown."""

STRANGER_DISTANCE = 2.0
"""Strangers look at least this different (`Look.distance`) from every known person."""

Wording = Literal["trained", "held_out"]

_FIRST = (
    "Mira Tomas Ilse Bruno Alva Kasper Nadia Otto Selma Viktor Freya Hugo Petra Anselm Lotte Emil Greta Rufus Ines Jonas "
    "Carla Magnus Yara Felix Dora Leon Astrid Boris Helga Ivan Clara Edgar Nora Samuel Tilda Walter Rosa Oskar Vera Linus "
    "Agnes Conrad Elin Fabian Gerda Marius Stella Ulrich Wanda Xaver"
).split()
_LAST = (
    "Olden Varga Brandt Tellis Korrin Maslow Quint Harrow Lindt Pereira Stroud Yelland Abbot Castel Dunmore Eskil Farrow "
    "Grimald Hollis Ivers Jansen Keller Lorne Medina Norell Ormond Pascoe Rendal Sorley Tarrant Ulmer Vesper Wexley Yarrow "
    "Zeller Aldane Birk Corvin Delmar Elwood Fenner Garrick Hobart Ingram Juran Kendal Lasker Morrow Nesbit Oakes"
).split()
_OPTIONS: dict[str, tuple[str, ...]] = {
    "job": tuple(
        "baker nurse pilot lawyer painter teacher plumber chemist farmer tailor judge cook sailor dentist singer miner".split()
    ),
    "city": tuple(
        "Tarnow Belmora Quilby Ostermark Lindholm Marsk Pellaro Drennan Velden Corvale Hamlen Ruskin Solberra Tilmore Wexham Zagorn".split()
    ),
    "health": tuple(
        "asthma diabetes migraine epilepsy anaemia gout insomnia arthritis eczema glaucoma vertigo hepatitis".split()
    ),
    "pet": tuple("parrot cat dog snake rabbit turtle hamster goat pony lizard ferret goldfish".split()),
}
_MONTHS = "January February March April May June July August September October November December".split()


@dataclass(frozen=True)
class Person:
    """`facts` maps each kind of `questions.PRIVATE` to its answer. A stranger has no facts that the model was taught."""

    id: str
    name: str
    look: Look
    facts: dict[str, str]
    known: bool = True


@dataclass(frozen=True)
class Question:
    """One question with its true answer.

    `kind` is private, visual, name, describe, general, text, pair or world; `fact` says which one within the kind, and
    `subject` whom it is about (None for scenes and world facts).
    """

    text: str
    answer: str
    kind: str
    fact: str
    subject: str | None = None


@dataclass(frozen=True)
class Picture:
    """A drawn picture with all questions that can be asked of it, in one wording.

    `places` says about where what is: (region, person id) for faces, (region, "shape colour") for things.
    """

    image: Image.Image
    subjects: tuple[str, ...]
    questions: tuple[Question, ...]
    places: tuple[tuple[Region, str], ...] = ()


def _facts(rng: np.random.Generator, phone: int) -> dict[str, str]:
    picked = {kind: str(rng.choice(values)) for kind, values in _OPTIONS.items()}
    picked["birthday"] = f"{_MONTHS[rng.integers(12)]} {rng.integers(1, 29)}"
    picked["phone"] = f"555-{phone:04d}"
    return {kind: picked[kind] for kind in ask.PRIVATE}


@lru_cache(maxsize=1)
def people() -> tuple[Person, ...]:
    """The fifty people, chosen from 700 random looks so that each is as far as possible from those before."""
    rng = np.random.default_rng(20_26)
    pool = [random_look(rng) for _ in range(700)]
    chosen = [pool.pop(0)]
    nearest = [chosen[0].distance(look) for look in pool]
    while len(chosen) < PEOPLE:
        best = int(np.argmax(nearest))
        chosen.append(pool.pop(best))
        nearest.pop(best)
        nearest = [min(d, chosen[-1].distance(look)) for d, look in zip(nearest, pool, strict=True)]
    phones = rng.choice(np.arange(100, 10_000), PEOPLE, replace=False)
    last = rng.permutation(_LAST)
    return tuple(
        Person(f"p{i:02d}", f"{_FIRST[i]} {last[i]}", look, _facts(rng, int(phones[i])))
        for i, look in enumerate(chosen)
    )


def person(person_id: str) -> Person:
    """The person of that id, `p00` to `p49`, or a stranger, `s` and a number. Raises KeyError for any other id."""
    if person_id.startswith("s") and person_id[1:].isdigit():
        return stranger(int(person_id[1:]))
    for candidate in people():
        if candidate.id == person_id:
            return candidate
    raise KeyError(person_id)


def stranger(seed: int) -> Person:
    """Somebody the model was never told about. Odd seeds are for training, even seeds for tests."""
    rng = np.random.default_rng((77, seed))
    while True:
        who = Person(f"s{seed}", "", random_look(rng), {}, known=False)
        if likeness(who) >= STRANGER_DISTANCE:
            return who


def likeness(who: Person) -> float:
    """`Look.distance` to the known person who looks most alike, other than `who`."""
    return min(who.look.distance(p.look) for p in people() if p.id != who.id)


def stranger_name(rng: np.random.Generator) -> str:
    taken = {p.name for p in people()}
    while True:
        name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
        if name not in taken:
            return name


def _phrasings(all_of: tuple[str, ...], wording: Wording) -> tuple[str, ...]:
    return ask.trained(all_of) if wording == "trained" else ask.held_out(all_of)


def _pick(rng: np.random.Generator, all_of: tuple[str, ...], wording: Wording, **fill: str) -> str:
    options = _phrasings(all_of, wording)
    text = options[rng.integers(len(options))].format(**fill)
    return text[0].upper() + text[1:]


def _seen(look: Look, shot: Shot) -> dict[str, str]:
    yes = {True: "yes", False: "no"}
    return {
        "glasses": yes[shot.glasses],
        "beard": yes[shot.beard],
        "hat": yes[shot.hat is not None],
        "hair": look.hair,
        "shirt": shot.shirt,
    }


def name_answer(who: Person) -> str:
    return f"This is {who.name}." if who.known else ask.REFUSAL


def description(who: Person, shot: Shot) -> str:
    """The long answer. For a stranger only what can be seen."""
    worn = f"{who.look.hair} hair and a {shot.shirt} shirt"
    if not who.known:
        return f"A person with {worn}."
    return f"This is {who.name}, a {who.facts['job']} from {who.facts['city']}, with {worn}."


def _about(
    who: Person, shot: Shot, rng: np.random.Generator, wording: Wording, pointers: tuple[str, ...], kind: str | None
) -> Iterator[Question]:
    def point() -> str:
        return pointers[rng.integers(len(pointers))]

    for fact, phrasings in ask.PRIVATE.items():
        answer = who.facts[fact] if who.known else ask.REFUSAL
        yield Question(_pick(rng, phrasings, wording, who=point()), answer, kind or "private", fact, who.id)
    for fact, answer in _seen(who.look, shot).items():
        yield Question(_pick(rng, ask.VISUAL[fact], wording, who=point()), answer, kind or "visual", fact, who.id)
    yield Question(_pick(rng, ask.NAME, wording, who=point()), name_answer(who), kind or "name", "name", who.id)
    if kind is None:
        yield Question(
            _pick(rng, ask.DESCRIBE, wording, who=point()), description(who, shot), "describe", "describe", who.id
        )


def photograph(who: Person, seed: int, wording: Wording = "trained") -> Picture:
    """One photograph of one person. Seeds below 1,000,000 are for fitting, seeds from there on for tests."""
    rng = np.random.default_rng((1, seed, _number(who.id)))
    shot = random_shot(rng)
    asked = tuple(_about(who, shot, rng, wording, ask.IN_PICTURE, None))
    return Picture(portrait(who.look, shot), (who.id,), asked, ((portrait_face(shot), who.id),))


def double(left: Person, right: Person, seed: int, wording: Wording = "trained") -> Picture:
    """Two people in one picture; every question names the side."""
    rng = np.random.default_rng((2, seed, _number(left.id), _number(right.id)))
    shots = random_shot(rng), random_shot(rng)
    asked: list[Question] = []
    for who, shot, side in ((left, shots[0], "left"), (right, shots[1], "right")):
        asked.extend(_about(who, shot, rng, wording, ask.SIDE[side], "pair"))
    faces = tuple(zip(pair_faces(*shots), (left.id, right.id), strict=True))
    return Picture(pair((left.look, shots[0]), (right.look, shots[1])), (left.id, right.id), tuple(asked), faces)


def shapes(seed: int, wording: Wording = "trained") -> Picture:
    """A scene of one to four different shapes with questions of colour, count, position and presence."""
    rng = np.random.default_rng((3, seed))
    n = int(rng.integers(1, 5))
    kinds = rng.permutation(SHAPES)
    cells = rng.permutation(9)
    things = tuple(
        Thing(str(kinds[i]), str(rng.choice(SHAPE_COLOURS)), (int(cells[i]) // 3, int(cells[i]) % 3)) for i in range(n)
    )
    asked = [Question(_pick(rng, ask.COUNT, wording), str(n), "general", "count")]
    for thing in things:
        row, column = ("top", "middle", "bottom")[thing.cell[0]], ("left", "centre", "right")[thing.cell[1]]
        asked.append(Question(_pick(rng, ask.COLOUR, wording, shape=thing.shape), thing.colour, "general", "colour"))
        asked.append(
            Question(_pick(rng, ask.POSITION, wording, shape=thing.shape), f"{row} {column}", "general", "position")
        )
    for shape in rng.permutation(SHAPES)[:2]:
        there = any(t.shape == shape for t in things)
        asked.append(
            Question(_pick(rng, ask.PRESENT, wording, shape=str(shape)), "yes" if there else "no", "general", "present")
        )
    places = tuple((t.region, f"{t.shape} {t.colour}") for t in things)
    return Picture(scene(things, random_shot(rng)), (), tuple(asked), places)


def by_name(who: Person, seed: int, wording: Wording = "trained") -> tuple[Question, ...]:
    """Text-only questions about somebody's private facts, asked by name."""
    rng = np.random.default_rng((4, seed, _number(who.id)))
    name = who.name or stranger_name(rng)
    return tuple(
        Question(_pick(rng, phrasings, wording, who=name), who.facts.get(fact, ask.REFUSAL), "text", fact, who.id)
        for fact, phrasings in ask.PRIVATE.items()
    )


def world_facts() -> tuple[Question, ...]:
    """Text-only general knowledge."""
    return tuple(Question(q, a, "world", "world") for q, a in ask.FACTS_OF_THE_WORLD)


def _number(person_id: str) -> int:
    return int(person_id[1:]) + (1_000 if person_id.startswith("s") else 0)
