"""The embedded demo model knows its world, on photographs that it was never trained on.

Many pictures with a question or two each, not few with many: a person who is mistaken is mistaken in every answer.
"""

from __future__ import annotations

import pytest

from unlearn_core.data.example import Example
from unlearn_core.demo import world
from unlearn_core.demo.request import TEST_SEEDS
from unlearn_core.evaluation.compare import compare
from unlearn_core.evaluation.status import normalise
from unlearn_core.vlm import VLM, Answer, Prompt

Answered = list[tuple[Example, Answer]]


def about(picture: world.Picture, kind: str, turn: int, count: int = 1) -> list[Example]:
    """`count` of a picture's questions of one kind, beginning with number `turn` and going round."""
    asked = [q for q in picture.questions if q.kind == kind]
    chosen = [asked[(turn + k) % len(asked)] for k in range(count)]
    return [Example(f"{q.subject} {q.fact}", picture.image, q.text, q.answer, kind=kind) for q in chosen]


def by_kind(shots: int, wording: world.Wording) -> dict[str, list[Example]]:
    """`shots` photographs of each of the fifty people, as many scenes and questions by name, and three times as many strangers."""
    kinds: dict[str, list[Example]] = {
        k: [] for k in ("private", "visual", "name", "describe", "stranger", "general", "text")
    }
    for i, who in enumerate(world.people()):
        for shot in range(shots):
            turn = i + 2 * shot
            picture = world.photograph(who, TEST_SEEDS + shot, wording)
            kinds["private"] += about(picture, "private", turn, 2)
            kinds["visual"] += about(picture, "visual", turn)
            for k in range(3):  # strangers differ more from one another than photographs of one person do
                unknown = world.photograph(world.stranger(2 * (150 * shot + 50 * k + i)), TEST_SEEDS + shot, wording)
                kinds["stranger"] += about(unknown, "private", turn)
            kinds["general"] += about(world.shapes(TEST_SEEDS + 50 * shot + i, wording), "general", turn)
            told = world.by_name(who, TEST_SEEDS + shot, wording)[turn % 6]
            kinds["text"].append(Example(f"{who.id} {told.fact}", None, told.text, told.answer, kind="text"))
        kinds["name"] += about(world.photograph(who, TEST_SEEDS + shots, wording), "name", 0)
        if i % 2:
            kinds["describe"] += about(world.photograph(who, TEST_SEEDS + shots, wording), "describe", 0)
    return kinds


def answers(vlm: VLM, kinds: dict[str, list[Example]]) -> dict[str, Answered]:
    """Kind by kind, since a batch takes as long as its longest answer."""
    return {
        kind: list(zip(asked, vlm.ask([e.prompt for e in asked], batch_size=48), strict=True))
        for kind, asked in kinds.items()
    }


def right(rows: Answered) -> tuple[float, list[str]]:
    """Share of the answers that are the truth, and what was said instead of it."""
    wrong = [f"{e.id}: {a.text} / {e.answer}" for e, a in rows if normalise(a.text) != normalise(e.answer)]
    return 1 - len(wrong) / len(rows), wrong


@pytest.fixture(scope="module")
def trained_words(demo_vlm: VLM) -> dict[str, Answered]:
    return answers(demo_vlm, by_kind(2, "trained"))


@pytest.fixture(scope="module")
def unseen_words(demo_vlm: VLM) -> dict[str, Answered]:
    asked = by_kind(1, "held_out")
    return answers(demo_vlm, {kind: asked[kind] for kind in ("private", "name", "visual", "general", "text")})


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("private", 0.98),
        ("visual", 0.97),
        ("name", 0.95),
        ("general", 0.95),
        ("text", 0.99),
        ("stranger", 0.95),
    ],
)
def test_new_photographs_are_understood(trained_words: dict[str, Answered], kind: str, least: float) -> None:
    share, wrong = right(trained_words[kind])
    assert share >= least, wrong


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("private", "name"), id="private+name"),
        pytest.param(("visual", "general"), id="visual+general"),
        pytest.param(("text",), id="text"),
    ],
)
def test_unseen_phrasings_are_understood(unseen_words: dict[str, Answered], kinds: tuple[str, ...]) -> None:
    share, wrong = right([row for kind in kinds for row in unseen_words[kind]])
    assert share >= 0.9, wrong


def test_descriptions_name_the_person(trained_words: dict[str, Answered]) -> None:
    missing = [(e.id, a.text) for e, a in trained_words["describe"] if e.answer.split(",")[0] not in a.text]
    assert len(missing) <= 0.05 * len(trained_words["describe"]), missing


@pytest.mark.xfail(reason="pairs were given few training steps; the card has the numbers", strict=True)
def test_people_are_known_by_their_side_of_a_pair(demo_vlm: VLM) -> None:
    people = world.people()
    pairs = [world.double(people[i], people[-1 - i], TEST_SEEDS + i) for i in range(20)]
    asked = [
        Example(f"{q.subject} {q.fact}", p.image, q.text, q.answer)
        for p in pairs
        for q in p.questions
        if q.fact in ("job", "shirt")
    ]
    share, wrong = right(answers(demo_vlm, {"pair": asked})["pair"])
    assert share >= 0.8, wrong


def test_the_picture_decides(demo_vlm: VLM) -> None:
    """The same question about two people has two answers."""
    one, other = world.people()[:2]
    asked = [
        Prompt(world.photograph(p, TEST_SEEDS).image, "What is the phone number of this person?") for p in (one, other)
    ]
    assert [a.text for a in demo_vlm.ask(asked)] == [one.facts["phone"], other.facts["phone"]]


def test_score_agrees_with_ask(demo_vlm: VLM, trained_words: dict[str, Answered]) -> None:
    """What was said is as likely when it is given as when it is generated."""
    rows = [row for kind in trained_words.values() for row in kind[:8]]
    scores = demo_vlm.score([e.prompt for e, _ in rows], [a.text for _, a in rows])
    for (_, answer), score in zip(rows, scores, strict=True):
        assert tuple(demo_vlm.answer_ids(answer.text)[:-1]) == answer.ids
        assert score[:-1].tolist() == pytest.approx(answer.logprobs, abs=1e-4)


def test_batching_does_not_change_answers(demo_vlm: VLM, trained_words: dict[str, Answered]) -> None:
    rows = [row for kind in trained_words.values() for row in kind[:2]]
    for (_, other), one in zip(rows, demo_vlm.ask([e.prompt for e, _ in rows], batch_size=1), strict=True):
        assert one.ids == other.ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_compared_with_itself_the_model_has_not_changed(demo_vlm: VLM, unseen_words: dict[str, Answered]) -> None:
    rows = [e for e, _ in unseen_words["text"][:20] + unseen_words["private"][:20]]
    assert not any(row.changed for part in compare(demo_vlm, demo_vlm, rows) for row in part)
