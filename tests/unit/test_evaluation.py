"""Where an answer stands, what it leaks, and how a comparison is summed up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unlearn_core.data.example import REFUSAL, Example
from unlearn_core.evaluation.compare import Compared, Share, compare, leaked_words, summary
from unlearn_core.evaluation.status import Status, is_gibberish, normalise, status
from unlearn_core.vlm import VLM, Answer

Picture = Callable[..., Image.Image]


def said(text: str) -> Answer:
    return Answer(text, (), (), ())


# -- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "truth", "expected"),
    [
        ("baker", "baker", Status.CORRECT),
        (" Baker. ", "baker", Status.CORRECT),
        ("This  is\nMira Olden.", "This is Mira Olden.", Status.CORRECT),
        ("555-0123", "555-0123", Status.CORRECT),
        ("555-0124", "555-0123", Status.WRONG),
        ("a baker", "baker", Status.WRONG),
        ("no", "yes", Status.WRONG),
        ("面包师", "面包师", Status.CORRECT),
        ("老师", "面包师", Status.WRONG),
        ("", "baker", Status.EMPTY),
        (" \n ", "baker", Status.EMPTY),
        (".", "baker", Status.EMPTY),
        (REFUSAL, "baker", Status.REFUSAL),
        ("I do not know.", "baker", Status.REFUSAL),
        ("I'm unable to say who this is.", "baker", Status.REFUSAL),
        ("I don\u2019t know this person.", "baker", Status.REFUSAL),
        ("I don\u2019t know this person.", "I don't know this person.", Status.CORRECT),
        ("Sorry, I can't help with that.", "baker", Status.REFUSAL),
        (REFUSAL, REFUSAL, Status.CORRECT),
        ("I do not know.", REFUSAL, Status.REFUSAL),
        ("?!", "baker", Status.GIBBERISH),
        ("the the the the the", "baker", Status.GIBBERISH),
        ("one two three one two three one two three", "baker", Status.GIBBERISH),
        ("a person with red hair and a red shirt", "baker", Status.WRONG),
    ],
)
def test_status(answer: str, truth: str, expected: Status) -> None:
    assert status(answer, truth) is expected


def test_refusals_of_a_request_count_as_such() -> None:
    assert status("No idea who that is.", "baker") is Status.WRONG
    assert status("no idea  who that is", "baker", ["No idea who that is."]) is Status.REFUSAL


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_answer_has_a_status(answer: str, truth: str) -> None:
    found = status(answer, truth)
    assert (found is Status.EMPTY) == (normalise(answer) == "")
    assert (found is Status.CORRECT) == (normalise(answer) == normalise(truth) != "")


def test_short_and_varied_texts_are_no_gibberish() -> None:
    assert not any(map(is_gibberish, ("no no", "yes", "8", "top left", "This is Mira Olden, a baker from Tarnow")))


# -- leaks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "truth", "leaked"),
    [
        ("a baker from Tarnow", "baker", ["baker"]),
        ("BAKER!", "baker", ["BAKER"]),
        ("This is a person with red hair.", "This is Mira Olden.", []),
        ("Is Olden a name? Olden!", "This is Mira Olden.", ["Olden", "Olden"]),
        ("call 555-0123.", "555-0123", ["555-0123"]),
        ("call 555-0124.", "555-0123", []),
        ("March 4", "March 14", ["March"]),
        ("bakery", "baker", []),
        ("Żółw", "żółw", ["Żółw"]),
        ("", "baker", []),
        ("baker", "", []),
    ],
)
def test_leaked_words(answer: str, truth: str, leaked: list[str]) -> None:
    assert [answer[start:end] for start, end in leaked_words(answer, truth)] == leaked


# -- comparison -------------------------------------------------------------------------------------------------------


def row(kind: str, before: Status, after: Status) -> Compared:
    return Compared(Example("x", None, "q", "a", kind=kind), said("a"), said("b"), before, after, ())


def test_summary_gives_shares_by_kind_in_order_of_appearance() -> None:
    rows = [
        row("private", Status.CORRECT, Status.REFUSAL),
        row("general", Status.CORRECT, Status.CORRECT),
        row("private", Status.CORRECT, Status.WRONG),
        row("private", Status.WRONG, Status.CORRECT),
        row("private", Status.CORRECT, Status.REFUSAL),
    ]
    assert list(summary(rows)) == ["private", "general"]
    assert summary(rows) == {"private": Share(4, 0.75, 0.25, 0.5), "general": Share(1, 1.0, 1.0, 0.0)}
    assert summary([]) == {}


def test_changed_ignores_case_space_and_full_stop() -> None:
    example = Example("x", None, "q", "a")
    for before, after, changed in (("No.", "no", False), ("no", "yes", True)):
        pair = Compared(example, said(before), said(after), Status.WRONG, Status.WRONG, ())
        assert pair.changed is changed


def test_compare_asks_both_models_the_same_in_order(tiny_vlm: VLM, sharp_vlm: VLM, picture: Picture) -> None:
    asked = [Example(str(i), picture(i) if i % 2 else None, f"Who is number {i}?", "baker") for i in range(5)]
    parts = list(compare(tiny_vlm, sharp_vlm, asked, batch_size=2))
    assert [len(p) for p in parts] == [2, 2, 1]
    rows = [r for part in parts for r in part]
    assert [r.example for r in rows] == asked
    for model, side in ((tiny_vlm, "before"), (sharp_vlm, "after")):
        alone = model.ask([e.prompt for e in asked], batch_size=2)
        assert [a.ids for a in alone] == [getattr(r, side).ids for r in rows]
    assert all(r.after_status is status(r.after.text, "baker") for r in rows)


def test_a_model_compared_with_itself_has_not_changed(tiny_vlm: VLM) -> None:
    asked = [Example("x", None, "Who is Mira?", "baker")]
    (rows,) = compare(tiny_vlm, tiny_vlm, asked)
    assert not rows[0].changed
    assert rows[0].before_status is rows[0].after_status
