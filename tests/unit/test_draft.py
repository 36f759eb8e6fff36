"""The request that is put together on the page: what the table shows is what will be asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from components import draft as drafts
from components.importing import bring, told
from components.known import facts, findings
from unlearn_core.data.example import Example
from unlearn_core.data.readers import Dropped, Report
from unlearn_core.evaluation.knowledge import Fact, Known
from unlearn_core.runs.requests import export_request
from unlearn_core.vlm.errors import BadRequest

Picture = Callable[..., Image.Image]
JOB = Fact("<job>", "Job?", "<img src=x>", 1.0, 0.9, 0.0, 3.0, 8, True)
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
    with pytest.raises(BadRequest, match="needs a question"):
        drafts.edited(draft, [["", "keep", "Mira", "", "no", ""]])


def test_an_exported_request_comes_back_as_the_same_draft(draft: drafts.Draft, tmp_path: Path) -> None:
    again, report = bring(export_request(draft.request(), tmp_path / "r.zip"))
    assert report is None
    assert [row[1:] for row in drafts.rows(again)] == [row[1:] for row in drafts.rows(draft)]
    assert again.subjects() == ("Mira", "Otto")


def test_nothing_from_a_file_a_model_or_a_person_becomes_markup(draft: drafts.Draft) -> None:
    report = Report(1, tuple(Dropped(HOSTILE, i, HOSTILE) for i in range(9)))
    bad = drafts.edited(draft, [["", "forget", HOSTILE, HOSTILE, a, ""] for a in "ab"])
    for markup in (told(report), facts(Known(1, 1, (JOB,)), draft, "Mira"), findings(bad.checked())):
        assert "<img src" not in markup
        assert "&lt;" in markup
