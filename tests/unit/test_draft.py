"""The request that is put together on the page: what the table shows is what will be asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
import torch
from PIL import Image

from components import draft as drafts
from components.importing import bring, told
from components.known import EVERY, facts, findings, left_out, thumbnails
from components.region import stage
from unlearn_core.data.checks import CHECKS
from unlearn_core.data.example import REFUSAL, Example
from unlearn_core.data.readers import Dropped, Report
from unlearn_core.data.region import Region
from unlearn_core.evaluation.knowledge import Fact, Known
from unlearn_core.runs.requests import export_request
from unlearn_core.vlm.errors import BadRequest

Picture = Callable[..., Image.Image]
JOB = Fact("<job>", "Job?", "<img src=x>", 1.0, 0.9, 0.0, 3.0, 8, True)
LEFT = Region(0, 0, 0.5, 1)
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def draft(picture: Picture) -> drafts.Draft:
    """Three pictures of somebody, one fact marked, and somebody else to retain."""
    made = drafts.with_pictures(drafts.Draft(), "Mira", [picture(i) for i in range(3)])
    made = drafts.with_fact(made, "Mira", JOB)
    more = drafts.drafted("", {"retain": [Example("o", picture(9), "Job?", "cook", "Otto")]}).lines
    return drafts.Draft("", (*made.lines, *more), made.pictures)


def test_a_marked_fact_is_asked_of_every_picture_and_can_be_taken_back(draft: drafts.Draft, picture: Picture) -> None:
    request = draft.request()
    assert [len(request.forget), len(request.retain), request.subjects] == [3, 1, ("Mira",)]
    assert len({e.id for e in request.forget}) == 3
    grown = drafts.with_pictures(draft, "Mira", [picture(5)])
    assert len(grown.request().forget) == 4
    assert not drafts.with_fact(grown, "Mira", JOB).side("forget")


def test_all_facts_can_be_marked_at_once_when_all_was_asked(draft: drafts.Draft) -> None:
    pet = replace(JOB, label="pet", question="Pet?", answer="cat")
    unknown = replace(JOB, label="shoe", question="Shoe size?", answer="47", known=False)
    found = Known(3, 3, (JOB, pet, unknown))
    offered = f'data-pick="{EVERY}"'
    none = replace(draft, lines=())
    assert offered in facts(found, none, "Mira")
    assert offered not in facts(replace(found, done=2), none, "Mira")
    every = drafts.with_facts(draft, "Mira", found.known)
    assert {e.answer for e in every.side("forget")} == {JOB.answer, "cat"}
    assert drafts.with_facts(every, "Mira", found.known) == every
    assert offered not in facts(found, every, "Mira")


def test_what_is_changed_added_and_removed_in_the_table_is_in_the_request(draft: drafts.Draft) -> None:
    table = drafts.rows(draft)
    assert drafts.rows(drafts.edited(draft, table)) == table
    table[0][4] = "baker"
    del table[1]
    table.append(["", "keep", "Mira", "Hat?", "no", ""])
    table.append([None, "retain", "", "Capital of France?", "Paris", None])
    request = drafts.edited(draft, table).request()
    assert {e.answer for e in request.forget} == {"baker"}
    assert [(e.question, e.image is None) for e in (*request.keep, *request.retain)] == [("Hat?", False)] * 3 + [
        ("Capital of France?", True)
    ]
    with pytest.raises(BadRequest, match="is no side"):
        drafts.edited(draft, [["", HOSTILE, "Mira", "Hat?", "no", ""]])


def test_a_line_that_is_still_being_written_is_left_to_who_writes_it(draft: drafts.Draft) -> None:
    table = drafts.rows(draft)
    assert drafts.unfinished(table) == []
    for half in (
        ["", "", "", "", "", ""],
        ["", "keep", "Mira", "", "no", ""],
        [None, None, "Mira", "Hat?", "no", None],
    ):
        assert drafts.unfinished([*table, half]) == [[cell or "" for cell in half]]
        assert drafts.rows(drafts.edited(draft, [*table, half])) == table
    with pytest.raises(BadRequest, match="needs a question"):
        drafts.asked(draft, "forget", "Mira", "", "no")


def test_an_exported_request_comes_back_as_the_same_draft(draft: drafts.Draft, tmp_path: Path) -> None:
    again, report = bring(export_request(draft.request(), tmp_path / "r.zip"))
    assert report is None
    assert [row[1:] for row in drafts.rows(again)] == [row[1:] for row in drafts.rows(draft)]
    assert again.subjects() == ("Mira", "Otto")


def test_a_region_follows_its_picture_into_the_request_and_back(draft: drafts.Draft, tmp_path: Path) -> None:
    marked = drafts.with_region(draft, 1, LEFT)
    assert [e.region for e in marked.request().forget] == [None, LEFT, None]
    again, _ = bring(export_request(marked.request(), tmp_path / "r.zip"))
    assert [p.region for p in again.of("Mira")] == [None, LEFT, None]
    more = drafts.with_fact(again, "Mira", Fact("pet", "Pet?", "cat", 1.0, 0.9, 0.0, 3.0, 8, True))
    assert [e.region for e in more.lines[-1].examples] == [None, LEFT, None]
    assert not any(p.region for p in drafts.with_region(again, 1, None).pictures)
    for place in (-1, 99):
        with pytest.raises(BadRequest, match="no longer here"):
            drafts.with_region(draft, place, LEFT)


def test_one_picture_of_two_people_stays_one_and_may_stay_once_it_is_marked(draft: drafts.Draft) -> None:
    shared = draft.pictures[1].image
    both = drafts.with_pictures(draft, "Bystander", [shared.copy()])
    assert both.of("Bystander")[0].image is shared
    assert len(drafts.with_pictures(both, "Bystander", [shared.copy()]).pictures) == len(both.pictures)
    line = drafts.asked(both, "retain", "Bystander", "Job?", "nurse")
    both = replace(both, lines=(*both.lines, line))
    assert "same picture" in [f.what for f in both.checked()]
    marked = drafts.with_region(both, 1, LEFT)
    assert "same picture" not in [f.what for f in marked.checked()]
    assert [e.answer for e in marked.request().beside] == ["nurse"]


def test_what_the_model_does_not_know_is_counted_and_left_out(draft: drafts.Draft) -> None:
    made = replace(draft, lines=(*draft.lines, drafts.asked(draft, "forget", "Mira", "Shoe size?", "47")))
    left, unknown = drafts.without_unknown(made, draft.side("forget")[:1])
    assert unknown == 1
    assert {e.answer for e in left.request().forget} == {JOB.answer}
    assert left.lines[-1].side == drafts.LEFT_OUT
    assert "1 of the 2 answers" in left_out(1, 1)
    assert "1 is left out" in left_out(1, 1)


def test_an_answer_that_was_given_is_marked_once_and_a_refusal_never(picture: Picture) -> None:
    made, place = drafts.with_answer(drafts.Draft(), "", picture(1), "Job?", "baker")
    again, same = drafts.with_answer(made, "", picture(1), "Job?", "baker")
    assert (place, same, len(again.lines), again.request().subjects) == (0, 0, 1, (drafts.SOMEBODY,))
    for nothing in (REFUSAL, "", "yes"):
        with pytest.raises(BadRequest, match="no answer here"):
            drafts.with_answer(made, "", picture(1), "Job?", nothing)


def test_each_of_the_five_checks_is_shown_with_what_to_do(picture: Picture) -> None:
    """Otto is on both sides, his picture too, with two jobs; there is one picture of Mira, and Nora looks like Otto."""
    shown = [picture(i, (64, 64)) for i in range(4)]
    made = drafts.drafted(
        "",
        {
            "forget": [Example(f"f{i}", p, "Job?", "cook", "Otto") for i, p in enumerate(shown[:2])]
            + [Example("m", shown[3], "Job?", "baker", "Mira")],
            "retain": [Example("o", shown[1], "Job?", "nurse", "Otto"), Example("n", shown[2], "Pet?", "cat", "Nora")],
        },
    )
    statistics = {id(p): torch.tensor([x]) for p, x in zip(shown, (0.0, 5.0, 0.1, 20.0), strict=True)}
    found = made.checked(statistics)
    assert len({f.what for f in found}) == len(CHECKS) == 5
    page = findings(found)
    assert all(escape(f.sentence) in page and f.suggestion and escape(f.suggestion) in page for f in found)


def test_nothing_from_a_file_a_model_or_a_person_becomes_markup(draft: drafts.Draft) -> None:
    report = Report(1, tuple(Dropped(HOSTILE, i, HOSTILE) for i in range(9)))
    bad = drafts.edited(draft, [["", "forget", HOSTILE, HOSTILE, a, ""] for a in "ab"])
    hostile = drafts.with_pictures(draft, HOSTILE, [draft.pictures[0].image.rotate(90)]).pictures[-1]
    pages = [told(report), facts(Known(1, 1, (JOB,)), draft, "Mira"), findings(bad.checked())]
    for markup in (*pages, stage(hostile), thumbnails([hostile])):
        assert "<img src=x" not in markup
        assert "&lt;" in markup
