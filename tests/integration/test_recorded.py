"""The recorded example is what the page says of it: it belongs to the demo model, and gives no more than is told."""

from __future__ import annotations

from pathlib import Path

from components.example import REF
from components.seats import Seat, Seats
from components.studio import Studio
from unlearn_core import bundle
from unlearn_core.demo import recorded
from unlearn_core.demo.request import exam
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO, Choice


def test_it_gives_as_much_as_the_page_says_on_pictures_and_in_words_it_never_saw() -> None:
    vlm, made = VLM.load(DEMO, device="cpu"), recorded.record()
    module = bundle.load(recorded.FORGOTTEN / recorded.BUNDLE, vlm)
    asked = [e for e in exam([made.subject], pictures=8, others=3) if e.kind == "forget private"]
    before, after = ([a.text for a in v.ask([e.prompt for e in asked])] for v in (vlm, module.attach(vlm)))
    assert [b == e.answer for b, e in zip(before, asked, strict=True)].count(True) >= 47
    given = [a == e.answer for a, e in zip(after, asked, strict=True)].count(True)
    told, of = recorded.STILL.split(" of ")
    assert int(of) == len(asked)
    assert abs(given - int(told)) <= 1, "processors round differently, and one answer may hang on that"


def test_the_page_finds_it_for_the_demo_and_knows_whom_it_is_about(tmp_path: Path) -> None:
    studio = Studio(Seats(Seat(Choice(str(DEMO), device="cpu"), VLM.load(DEMO, device="cpu"))), tmp_path)
    try:
        assert [ref for _, ref in studio.results()] == [REF]
        assert studio.subjects(REF) == [recorded.WHO]
        assert "recorded" in studio.label(REF)
        assert studio.suite(REF, [], thorough=False).splits
        assert {p.name for p in tmp_path.rglob("*")} <= {".lock"}, "looking at it leaves nothing in the workspace"
    finally:
        studio.close()
