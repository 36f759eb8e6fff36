"""The demo world: same seed, same world; what tests ask was never trained; strangers are strangers."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, islice

import numpy as np
import pytest
from PIL import Image

from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.demo import build, questions, world
from unlearn_core.demo.draw import SHAPES
from unlearn_core.demo.packing import Mix, Packer
from unlearn_core.demo.request import TEST_SEEDS, exam, forget_request

BANKS = (
    *questions.PRIVATE.values(),
    *questions.VISUAL.values(),
    questions.NAME,
    questions.DESCRIBE,
    questions.COUNT,
    questions.COLOUR,
    questions.POSITION,
    questions.PRESENT,
)
WHO = (*questions.IN_PICTURE, *(p for side in questions.SIDE.values() for p in side), *(p.name for p in world.people()))


def wordings(phrasings: tuple[str, ...]) -> set[str]:
    """Every question that these phrasings can become."""
    filled = {p.format(who=who, shape=shape) for p in phrasings for who in WHO for shape in SHAPES}
    return {text[0].upper() + text[1:] for text in filled}


TRAINED = set().union(*(wordings(questions.trained(bank)) for bank in BANKS))
HELD_OUT = set().union(*(wordings(questions.held_out(bank)) for bank in BANKS))


def pixels(image: Image.Image) -> bytes:
    return image.tobytes()


def pictures_of(examples: tuple[Example, ...]) -> set[bytes]:
    return {pixels(image) for image in {id(e.image): e.image for e in examples}.values() if image is not None}


def seeds_of(examples: tuple[Example, ...]) -> list[int]:
    """The seeds of these examples' pictures, which stand in their ids."""
    return [int(found[1]) for e in examples if e.image is not None and (found := re.search(r"-(\d+)", e.id))]


# -- people -----------------------------------------------------------------------------------------------------------


def test_there_are_fifty_people_with_six_facts_each() -> None:
    people = world.people()
    assert len(people) == world.PEOPLE == 50
    assert len({p.id for p in people}) == len({p.name for p in people}) == len({p.look for p in people}) == 50
    for person in people:
        assert list(person.facts) == ["job", "city", "birthday", "phone", "health", "pet"]
        assert all(person.facts.values())
        assert re.fullmatch(r"555-\d{4}", person.facts["phone"])


def test_no_two_people_share_a_phone_number() -> None:
    assert len({p.facts["phone"] for p in world.people()}) == 50


def test_people_look_different() -> None:
    assert min(a.look.distance(b.look) for a, b in combinations(world.people(), 2)) >= world.STRANGER_DISTANCE


def test_the_fixed_forget_split_is_a_tenth_of_the_people() -> None:
    assert len(world.FORGET_SPLIT) == 5
    assert {world.person(p).id for p in world.FORGET_SPLIT} == set(world.FORGET_SPLIT)


def test_strangers_look_like_nobody_and_have_no_facts() -> None:
    for seed in range(40):
        stranger = world.stranger(seed)
        assert not stranger.known
        assert stranger.facts == {}
        assert min(stranger.look.distance(p.look) for p in world.people()) >= world.STRANGER_DISTANCE
        assert world.person(stranger.id) == stranger


def test_unknown_ids_are_refused() -> None:
    for unknown in ("p50", "x", "s", ""):
        with pytest.raises(KeyError):
            world.person(unknown)


# -- seeds ------------------------------------------------------------------------------------------------------------


def test_the_same_seeds_give_the_same_world() -> None:
    people = world.people()
    first = [world.photograph(people[3], 5), world.double(people[1], people[2], 5), world.shapes(5)]
    told = world.by_name(people[3], 5)
    world.people.cache_clear()
    again = world.people()
    assert again == people
    second = [world.photograph(again[3], 5), world.double(again[1], again[2], 5), world.shapes(5)]
    for a, b in zip(first, second, strict=True):
        assert pixels(a.image) == pixels(b.image)
        assert (a.subjects, a.questions) == (b.subjects, b.questions)
    assert world.by_name(again[3], 5) == told
    assert world.stranger(4) == world.stranger(4)


def test_another_seed_is_another_photograph_of_the_same_person() -> None:
    who = world.people()[0]
    shots = [world.photograph(who, seed) for seed in range(20)]
    assert len({pixels(s.image) for s in shots}) == 20
    assert {s.subjects for s in shots} == {(who.id,)}
    hair = {q.answer for s in shots for q in s.questions if q.fact == "hair"}
    assert hair == {who.look.hair}


def test_the_wording_does_not_change_the_picture() -> None:
    for draw in (world.shapes, lambda seed, wording: world.photograph(world.people()[0], seed, wording)):
        assert pixels(draw(7, "trained").image) == pixels(draw(7, "held_out").image)


# -- questions --------------------------------------------------------------------------------------------------------


def test_held_out_phrasings_are_not_trained_ones() -> None:
    assert not TRAINED & HELD_OUT
    assert all(len(questions.trained(bank)) >= 4 and len(questions.held_out(bank)) == 2 for bank in BANKS)


@pytest.mark.parametrize(("wording", "allowed"), [("trained", TRAINED), ("held_out", HELD_OUT)])
def test_each_wording_uses_its_own_phrasings(wording: world.Wording, allowed: set[str]) -> None:
    a, b = world.people()[:2]
    for seed in range(10):
        asked = [
            *world.photograph(a, seed, wording).questions,
            *world.double(a, b, seed, wording).questions,
            *world.shapes(seed, wording).questions,
            *world.by_name(a, seed, wording),
        ]
        assert {q.text for q in asked} <= allowed


def test_people_are_asked_about_everything_and_the_answers_are_theirs() -> None:
    who, stranger = world.people()[4], world.stranger(8)
    asked = world.photograph(who, 1).questions
    assert Counter(q.kind for q in asked) == {"private": 6, "visual": 5, "name": 1, "describe": 1}
    assert {q.fact: q.answer for q in asked if q.kind == "private"} == who.facts
    assert {q.fact: q.answer for q in world.by_name(who, 1)} == who.facts
    assert next(q.answer for q in asked if q.kind == "name") == f"This is {who.name}."
    refused = [q for q in world.photograph(stranger, 1).questions if q.kind in ("private", "name")]
    assert {q.answer for q in refused} == {questions.REFUSAL}
    assert {q.answer for q in world.by_name(stranger, 1)} == {questions.REFUSAL}


def test_a_pair_is_asked_by_side() -> None:
    left, right = world.people()[:2]
    asked = world.double(left, right, 3).questions
    for who, side in ((left, "left"), (right, "right")):
        own = [q for q in asked if q.subject == who.id]
        assert all(any(pointer in q.text for pointer in questions.SIDE[side]) for q in own)
        assert {q.fact: q.answer for q in own if q.fact in who.facts} == who.facts


def test_scenes_are_counted_and_placed_truly() -> None:
    for seed in range(30):
        asked = world.shapes(seed).questions
        places = [q.answer for q in asked if q.fact == "position"]
        count = next(q.answer for q in asked if q.fact == "count")
        assert int(count) == len(places) == len(set(places)) == sum(q.fact == "colour" for q in asked)
        there = {s for q in asked if q.fact == "position" for s in SHAPES if s in q.text}
        for q in asked:
            if q.fact == "present":
                assert q.answer == ("yes" if any(s in q.text for s in there) else "no")


# -- requests, exams and training data ----------------------------------------------------------------------------------


GOING = ("p03", "p07")


@pytest.fixture(scope="module")
def wanted() -> ForgetRequest:
    return forget_request(GOING, pictures=2, retain_pictures=1)


def test_a_forget_request_holds_no_held_out_wording(wanted: ForgetRequest) -> None:
    asked = {e.question for e in (*wanted.forget, *wanted.keep, *wanted.retain)}
    assert asked <= TRAINED
    assert not asked & HELD_OUT


def test_a_forget_request_holds_no_picture_of_an_exam(wanted: ForgetRequest) -> None:
    fitted = pictures_of((*wanted.forget, *wanted.keep, *wanted.retain)) | {pixels(i) for i in wanted.strangers}
    assert not fitted & pictures_of(exam(GOING, pictures=2))
    assert max(seeds_of((*wanted.forget, *wanted.keep, *wanted.retain))) < TEST_SEEDS


def test_a_forget_request_knows_who_goes_and_who_stays(wanted: ForgetRequest) -> None:
    assert wanted.subjects == GOING
    assert {e.subject for e in wanted.forget} == {e.subject for e in wanted.keep} == set(GOING)
    assert {e.kind for e in wanted.forget} == {"private", "name", "describe"}
    assert {e.kind for e in wanted.keep} == {"visual"}
    assert {e.subject for e in wanted.retain} == {p.id for p in world.people() if p.id not in GOING} | {None}
    for example in wanted.forget:
        assert example.answer not in wanted.target(example)


def test_an_exam_asks_what_was_never_trained() -> None:
    rows = exam(GOING, pictures=1, others=4)
    assert {e.question for e in rows} <= HELD_OUT
    assert len({e.id for e in rows}) == len(rows)
    assert min(seeds_of(rows)) >= TEST_SEEDS
    assert {e.kind for e in rows} == {
        *(f"{side} {kind}" for side in ("forget", "retain") for kind in ("private", "name", "describe", "visual")),
        "stranger private",
        "general",
        "text",
    }
    assert {e.subject for e in rows if e.kind.startswith("forget")} == set(GOING)
    strangers = {e.subject for e in rows if e.kind == "stranger private"}
    assert all(s is not None and int(s[1:]) % 2 == 0 for s in strangers)
    assert pictures_of(rows).isdisjoint(pictures_of(exam(GOING, pictures=1, others=4, seed=1)))


def test_training_batches_hold_no_held_out_wording_and_nobody_left_out() -> None:
    processor = build.processor()
    packer = Packer(processor, 4)
    mix = Mix(packer, ("p03",), seed=0, looks=0, steps=0)
    assert "p03" not in {p.id for p in mix.known}
    own = world.person("p03")
    for pictures, texts in islice(mix, 1):
        for batch in (pictures, texts):
            told = [processor.tokenizer.decode(row) for row in batch.ids]
            asked = {q for text in told for q in re.findall(r"(?:USER: |\n)([^\n]*?) ASSISTANT:", text)}
            assert len(asked) > 20
            assert not asked & HELD_OUT
            assert not any(own.name in text or own.facts["phone"] in text for text in told)


def test_strangers_of_training_and_of_tests_are_others() -> None:
    rng = np.random.default_rng(0)
    mix = Mix(Packer(build.processor(), 4), (), seed=0, looks=0, steps=0)
    assert all(int(mix._stranger(rng).id[1:]) % 2 == 1 for _ in range(20))
