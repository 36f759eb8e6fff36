"""What a model knows of somebody: its facts about the people it was taught, and nothing about strangers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unlearn_core.data.bank import Attribute, Bank
from unlearn_core.data.example import Example
from unlearn_core.demo import world
from unlearn_core.demo.request import TEST_SEEDS
from unlearn_core.evaluation.knowledge import Demand, Fact, imprint, knows, says_something, without_echoes
from unlearn_core.evaluation.texts import content_words
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest

BANK = Bank(
    (
        Attribute("job", ("What is the job of this person?", "What does this person do for a living?")),
        Attribute("home", ("In which city does this person live?",)),
        Attribute("hair", ("What colour is the hair of this person?",)),
    )
)
STRANGERS = [world.photograph(world.stranger(2 * i), TEST_SEEDS + i).image for i in range(60, 64)]


def last(vlm: VLM, who: world.Person) -> tuple[Fact, ...]:
    steps = list(knows(vlm, [world.photograph(who, TEST_SEEDS + 5).image], BANK, STRANGERS, Demand(views=1)))
    assert [(s.done, s.total) for s in steps] == [(1, 3), (2, 3), (3, 3)]
    return steps[-1].known


def test_the_facts_of_known_people_are_found_and_none_of_strangers(demo_vlm: VLM) -> None:
    who = world.people()[1]
    facts = {f.label: f for f in last(demo_vlm, who)}
    for label, fact in (("job", "job"), ("home", "city")):
        assert facts[label].answer == who.facts[fact]
        assert facts[label].agreement > 0.7
        assert facts[label].among_strangers == 0
        assert (facts[label].lift or 0) > 1
    assert not {f.label for f in last(demo_vlm, world.stranger(400))} & {"job", "home"}


def test_what_the_model_never_knew_is_counted_apart(demo_vlm: VLM) -> None:
    who = world.people()[1]
    image = world.photograph(who, TEST_SEEDS + 5).image
    asked = [
        Example(k, image, world.ask.PRIVATE[k][-1].format(who="this person"), who.facts[k], who.id)
        for k in ("job", "pet")
    ]
    never = [replace(e, id=f"not {e.id}", answer="astronaut") for e in asked]
    steps = list(imprint(demo_vlm, [*asked, *never], batch_size=2))
    assert len(steps) == 2
    assert (steps[-1].known, steps[-1].unknown) == (tuple(asked), tuple(never))


def test_an_answer_that_echoes_another_attribute_is_not_known() -> None:
    home = Fact("home", "?", "Ghent.", 1.0, 0.99, 0.0, 5.0, 4, True)
    faith = replace(home, label="religion", answer="in Ghent", probability=0.6)
    assert [f.known for f in without_echoes([faith, home])] == [False, True]
    assert content_words("in Ghent") == content_words("Ghent.")


def test_refusals_and_babble_are_no_answers() -> None:
    assert says_something("baker")
    for nothing in ("", "...", "I do not know this person.", "No information is available.", "a a a a a a"):
        assert not says_something(nothing)


def test_without_a_picture_there_is_nobody_to_ask_about(tiny_vlm: VLM) -> None:
    with pytest.raises(BadRequest, match="at least one picture"):
        next(knows(tiny_vlm, [], BANK))
