"""What is found before a run, and what is proposed to be kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from unlearn_core.data.augment import alter
from unlearn_core.data.checks import Draft, Severity, check
from unlearn_core.data.example import Example
from unlearn_core.data.region import Region
from unlearn_core.data.retain import Why, propose_retain
from unlearn_core.demo import world
from unlearn_core.vlm.errors import BadRequest

Picture = Callable[..., Image.Image]


def example(
    number: int, image: Image.Image | None, subject: str | None, question: str = "Job?", answer: str = "cook"
) -> Example:
    return Example(f"{number}", image, question, answer, subject)


def found(draft: Draft) -> list[str]:
    return [f.what for f in check(draft)]


def test_a_request_that_is_in_order_has_no_findings() -> None:
    going, other = (
        [
            Example(f"{who.id} {shot} {q.fact}", picture.image, q.text, q.answer, who.id, q.kind)
            for shot in range(4)
            for picture in [world.photograph(who, shot)]
            for q in picture.questions
        ]
        for who in world.people()[:2]
    )
    assert check(Draft(going, (), other)) == ()


def test_a_shared_picture_is_in_order_once_its_region_is_marked(picture: Picture) -> None:
    shared = [picture(i, (64, 64)) for i in range(4)]
    beside = [example(10 + i, p, "Otto") for i, p in enumerate(shared)]
    whole = [example(i, p, "Mira") for i, p in enumerate(shared)]
    assert found(Draft(whole, retain=beside)) == ["same picture"]
    marked = [replace(e, region=Region(0, 0, 0.5, 1)) for e in whole]
    alike = {id(image): torch.full((4,), float(i)) for i, image in enumerate(shared)}
    assert found(Draft(marked, retain=beside, statistics=alike)) == []
    assert found(Draft([*marked, example(9, shared[0], "Mira")], retain=beside)) == ["same picture"]


def test_contradictions_within_a_request_are_found(picture: Picture) -> None:
    pictures = [picture(i, (64, 64)) for i in range(5)]
    forget = [example(i, p, "Zoë Nuñez") for i, p in enumerate(pictures)]
    assert found(Draft(forget)) == []
    assert found(Draft(forget[:2])) == ["few pictures"]
    both = check(Draft(forget, retain=[example(9, picture(9, (64, 64)), "zoë  nuñez")]))
    assert (both[0].what, both[0].severity, both[0].ids) == (
        "both sides",
        Severity.STOPS,
        ("0", "1", "2", "3", "4", "9"),
    )
    wrong = example(7, pictures[0], "Zoë Nuñez", "job", "baker")
    contradiction = check(Draft([*forget, wrong]))[0]
    assert contradiction.what == "contradiction"
    assert {"7", "0"} <= set(contradiction.ids)
    assert all(f.sentence and f.suggestion for f in both)


@pytest.mark.parametrize("kind", ["jpeg", "noise", "light", "smaller"])
def test_the_same_photograph_is_found_on_both_sides_and_another_is_not(kind: str) -> None:
    person, other = world.people()[3], world.people()[4]
    shots = [world.photograph(person, i).image for i in range(4)]
    rng = np.random.default_rng(1)
    again = shots[2].resize((90, 90)) if kind == "smaller" else alter(shots[2], kind, rng)
    forget = [example(i, image, "one") for i, image in enumerate(shots)]
    stranger = example(10, world.photograph(other, 1).image, "two")
    assert found(Draft(forget, retain=[stranger])) == []
    twice = check(Draft(forget, retain=[stranger, example(11, again, "two")]))
    assert [(f.what, set(f.ids)) for f in twice] == [("same picture", {"2", "11"})]


def test_a_picture_that_looks_like_the_person_to_the_model_is_found(picture: Picture) -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = [picture(i, (64, 64)) for i in range(7)]
    centre = torch.randn(8, generator=generator) * 5
    own = [centre + torch.randn(8, generator=generator) for _ in range(4)]
    others = [centre + 0.01, -centre, centre * 0]
    statistics = {id(p): s for p, s in zip(pictures, [*own, *others], strict=True)}
    statistics[id(pictures[4])] = own[1] + 0.01
    forget = [example(i, p, "one") for i, p in enumerate(pictures[:4])]
    retain = [example(i, p, f"other {i}") for i, p in enumerate(pictures[4:], 4)]
    assert [(f.what, f.ids[1:]) for f in check(Draft(forget, (), retain, statistics))] == [("looks alike", ("4",))]


def test_the_nearest_subjects_are_proposed_whole_and_nobody_who_goes(picture: Picture) -> None:
    away = {"gone": 0.0, "near": 1.0, "far": 9.0, "further": 12.0, "also": 10.0}
    pool = [example(i * 2 + k, picture(i), who) for i, who in enumerate(away) for k in range(2)]
    statistics: list[torch.Tensor | None] = [torch.full((4,), away[e.subject or ""]) for e in pool]
    words = [example(100 + i, None, None, f"{i}?") for i in range(5)]
    proposed = propose_retain(
        [pool[0]], torch.zeros(1, 4), [*pool, *words], [*statistics, *[None] * 5], near=1, other=1, general=2
    )
    by_why = {why: {p.example.subject for p in proposed if p.why is why} for why in Why}
    assert by_why[Why.NEAR] == {"near"}
    assert len(by_why[Why.OTHER]) == 1
    assert by_why[Why.OTHER] < {"far", "further", "also"}
    assert [p.why for p in proposed].count(Why.GENERAL) == 2
    assert sum(p.why is Why.NEAR for p in proposed) == 2
    with pytest.raises(BadRequest, match="nobody else"):
        propose_retain([pool[0]], torch.zeros(1, 4), pool[:2], statistics[:2])
