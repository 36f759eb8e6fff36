"""The embedded demo model knows its world, on photographs that it was never trained on."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from unlearn_core.data.example import Example
from unlearn_core.demo import world
from unlearn_core.demo.request import exam
from unlearn_core.evaluation.compare import compare, leaked_words
from unlearn_core.evaluation.status import normalise
from unlearn_core.vlm import VLM, Answer, Prompt

Answered = list[tuple[Example, Answer]]


def answered(vlm: VLM, rows: Iterable[Example]) -> Answered:
    """Kind by kind, since a batch takes as long as its longest answer."""
    asked = sorted(rows, key=lambda e: e.kind)
    return list(zip(asked, vlm.ask([e.prompt for e in asked], batch_size=48), strict=True))


def right(rows: Answered, *kinds: str) -> tuple[float, list[str]]:
    """Share of the answers of these kinds that are the truth, and what was said instead of it."""
    asked = [(e, a) for e, a in rows if e.kind in kinds]
    assert len(asked) >= 30, "too few questions to tell"
    wrong = [f"{e.id}: {a.text} / {e.answer}" for e, a in asked if normalise(a.text) != normalise(e.answer)]
    return 1 - len(wrong) / len(asked), wrong


@pytest.fixture(scope="module")
def trained_words(demo_vlm: VLM) -> Answered:
    return answered(demo_vlm, exam((), pictures=2, others=15, wording="trained"))


@pytest.fixture(scope="module")
def unseen_words(demo_vlm: VLM) -> Answered:
    return answered(demo_vlm, exam((), pictures=1, others=12, seed=1))


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("retain private", 0.98),
        ("retain visual", 0.97),
        ("retain name", 0.95),
        ("general", 0.95),
        ("text", 0.99),
        ("stranger private", 0.95),
    ],
)
def test_new_photographs_are_understood(trained_words: Answered, kind: str, least: float) -> None:
    share, wrong = right(trained_words, kind)
    assert share >= least, wrong


@pytest.mark.parametrize("kinds", [("retain private", "retain name"), ("retain visual", "general"), ("text",)])
def test_unseen_phrasings_are_understood(unseen_words: Answered, kinds: tuple[str, ...]) -> None:
    share, wrong = right(unseen_words, *kinds)
    assert share >= 0.9, wrong


def test_descriptions_name_the_person(trained_words: Answered) -> None:
    told = [(e, a) for e, a in trained_words if e.kind == "retain describe"]
    named = [world.person(e.subject or "").name in a.text for e, a in told]
    assert sum(named) >= 0.95 * len(named)


def test_people_are_known_by_their_side_of_a_pair(demo_vlm: VLM) -> None:
    people = world.people()
    pairs = [world.double(people[i], people[-1 - i], 1_000_000 + i) for i in range(12)]
    chosen = [(p, q) for p in pairs for q in p.questions if q.fact in ("job", "hair")]
    asked = [Example(f"{q.subject}", p.image, q.text, q.answer, kind="pair") for p, q in chosen]
    share, wrong = right(answered(demo_vlm, asked), "pair")
    assert share >= 0.8, wrong


def test_score_agrees_with_ask(demo_vlm: VLM, trained_words: Answered) -> None:
    """What was said and how likely it was is the same, whether generated or given; the end-of-text token comes last."""
    rows = trained_words[::12]
    scores = demo_vlm.score([e.prompt for e, _ in rows], [a.text for _, a in rows])
    for (_, answer), score in zip(rows, scores, strict=True):
        assert tuple(demo_vlm.answer_ids(answer.text)[:-1]) == answer.ids
        assert score[:-1].tolist() == pytest.approx(answer.logprobs, abs=1e-4)
        assert score[-1].exp() > 0.5


def test_batching_does_not_change_answers(demo_vlm: VLM, trained_words: Answered) -> None:
    rows = trained_words[::50]
    alone = demo_vlm.ask([e.prompt for e, _ in rows], batch_size=1)
    assert [a.ids for a in alone] == [a.ids for _, a in rows]
    for one, (_, other) in zip(alone, rows, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_the_picture_matters(demo_vlm: VLM) -> None:
    """The same question about two people has two answers, and without a picture none that is true."""
    one, other = world.people()[:2]
    question = "What is the phone number of this person?"
    shown = [Prompt(world.photograph(p, 1_000_003).image, question) for p in (one, other)]
    first, second, blind = demo_vlm.ask([*shown, Prompt(None, question)])
    assert (first.text, second.text) == (one.facts["phone"], other.facts["phone"])
    assert not leaked_words(blind.text, " ".join(p.facts["phone"] for p in world.people()))


def test_a_model_is_unchanged_by_being_compared(demo_vlm: VLM, unseen_words: Answered) -> None:
    rows = [e for e, _ in unseen_words if e.kind in ("text", "general")]
    assert not any(row.changed for part in compare(demo_vlm, demo_vlm, rows) for row in part)
