"""Many at once: nobody gets what is another's, one waits for all and not for one, and nobody takes all the room."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.visitor import API, Denied, Visitor
from components.doors import visits
from components.doors.blocks import NOT_YOURS
from components.doors.queue import FULL, WAITING, in_turns
from components.doors.visits import Visitor as Somebody
from components.doors.visits import Visits
from components.studio import ORIGINAL
from tests.doors.conftest import Place
from unlearn_core.accounts import Role
from unlearn_core.bundle import export
from unlearn_core.methods.cvf import CvfModule
from unlearn_core.vlm import VLM

MANY = 20
QUESTIONS = ("What is the job of this person?", "Is there a hat?")


@pytest.fixture(scope="module")
def unlearned(open_place: Place, tiny_vlm: VLM, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An imported result that answers differently."""
    weights = dict(tiny_vlm.model.named_parameters())
    name = next(n for n in weights if "multi_modal_projector" in n and n.endswith("weight"))
    torch.manual_seed(1)
    module = CvfModule({name: (torch.randn_like(weights[name]),)}, {})
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    return open_place.studio.bring(export(module, tiny_vlm, path, title="Other", report={}, limits=[]))


@pytest.fixture(scope="module")
def pictures(picture: Callable[..., Image.Image], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"person-{seed}.png" for seed in range(MANY)]
    for seed, path in enumerate(paths):
        picture(seed).save(path)
    return paths


def visit(place: Place, picture: Path, model: str) -> tuple[Visitor, list[Any]]:
    """Bring a picture and ask all questions about it: what the page was told."""
    visitor = place.visitor()
    if model != ORIGINAL:
        visitor.call("refresh", ORIGINAL)  # which models there are
    told: list[Any] = [visitor.call("_bring", visitor.upload(picture), QUESTIONS[0], model, None, None)]
    told += [visitor.call("_ask", question, model, None, None) for question in QUESTIONS[1:]]
    assert visitor.warnings == []
    return visitor, told


def test_twenty_at_once_are_told_what_each_is_told_alone(
    open_place: Place, pictures: list[Path], unlearned: str
) -> None:
    models = [unlearned if i % 2 else ORIGINAL for i in range(MANY)]
    alone = [visit(open_place, pictures[i], models[i]) for i in range(2)]
    assert all(a != b for (_, a), (_, b) in combinations(alone, 2)), "the pictures must tell sessions apart"
    order = random.Random(0).sample(range(MANY), MANY)
    with ThreadPoolExecutor(MANY) as pool:
        together = dict(zip(order, pool.map(lambda i: visit(open_place, pictures[i], models[i]), order), strict=True))
    for i, (_, told) in enumerate(alone):
        assert together[i][1] == told, f"visitor {i} was told something else together with others"
    assert all(a != b for (_, a), (_, b) in combinations(together.values(), 2))
    for visitor, _ in (*alone, *together.values()):
        visitor.leave()


def test_sessions_files_and_streams_of_others_are_refused(open_place: Place, pictures: list[Path]) -> None:
    mine, thief = open_place.visitor(), open_place.visitor()
    file = mine.upload(pictures[0])
    mine.call("_bring", file, QUESTIONS[0], ORIGINAL, None, None)
    assert mine.http.get(f"{API}/file={file['path']}").status_code == 200
    assert thief.http.get(f"{API}/file={file['path']}").status_code == 403
    with pytest.raises(Denied, match=NOT_YOURS):
        thief.call("_bring", file, QUESTIONS[0], ORIGINAL, None, None)
    thief.session = mine.session
    with pytest.raises(Denied) as denied:
        thief.call("_ask", QUESTIONS[1], ORIGINAL, None, None)
    assert denied.value.status == 403
    for path in (f"queue/data?session_hash={mine.session}", f"heartbeat/{mine.session}"):
        assert thief.http.get(f"{API}/{path}").status_code == 403
    stop = {"session_hash": mine.session, "fn_index": 0, "event_id": "x"}
    assert thief.http.post(f"{API}/cancel", json=stop).status_code == 403


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:1/x.png", "file:///etc/passwd", "../../x", ""])
def test_only_what_was_brought_is_opened(open_place: Place, path: str) -> None:
    visitor = open_place.visitor()
    for file in ({"path": path, "meta": {"_type": "gradio.FileData"}}, {"path": path}, {"path": path, "url": path}):
        with pytest.raises(Denied, match=NOT_YOURS):
            visitor.call("_bring", file, QUESTIONS[0], ORIGINAL, None, None)
    assert visitor.http.get(f"{API}/file={path}").status_code in (403, 404)


def test_files_go_when_the_last_window_is_closed(open_place: Place, pictures: list[Path]) -> None:
    visitor = open_place.visitor()
    path = Path(visitor.upload(pictures[7])["path"])
    visitor.call("refresh", ORIGINAL)
    assert path.exists()
    open_place.page.visits.leave(visitor.session)
    assert not path.exists()


def test_a_session_that_asks_too_much_is_told_to_wait(open_place: Place) -> None:
    visitor = open_place.visitor()
    body = {"fn_index": visitor.functions["_check_1"]["id"], "data": [None] * 2, "session_hash": visitor.session}
    answers = [visitor.http.post(f"{API}/queue/join", json=body) for _ in range(8 * WAITING)]
    assert {a.status_code for a in answers} <= {200, 400}
    assert FULL in {a.json().get("detail") for a in answers}


def test_a_body_that_is_no_json_or_far_too_long_is_refused(open_place: Place) -> None:
    visitor = open_place.visitor()
    for body in (b"[" * 100_000, b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff", b"", b"{"):
        assert visitor.http.post(f"{API}/queue/join", content=body).status_code == 400
    assert visitor.http.post(f"{API}/queue/join", content=b" " * 17_000_000).status_code == 413


def test_a_visitor_who_brings_more_than_there_is_room_for_is_told(
    open_place: Place, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "MOST_BYTES", 2 * pictures[0].stat().st_size)
    visitor = open_place.visitor()
    visitor.upload(pictures[0])
    with pytest.raises(Denied) as denied:
        visitor.upload(pictures[1])
    assert denied.value.status == 413


@given(st.lists(st.sampled_from("abc")))
def test_everybody_takes_turns(owners: list[str]) -> None:
    """Nobody gets the next turn before all who wait had this one, and who is alone is served as they came."""
    order = in_turns(range(len(owners)), owners)
    assert sorted(order) == list(range(len(owners)))
    turns = [sum(owners[j] == owners[i] for j in range(i)) for i in order]
    assert turns == sorted(turns)
    for owner in set(owners):
        own = [i for i in order if owners[i] == owner]
        assert own == sorted(own)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(visits, "SESSIONS", 3)
    kept, everybody = Visits(), [Somebody(str(i), Role.VIEWER) for i in range(5)]
    for i, somebody in enumerate(everybody):
        assert kept.claim(f"session {i}", somebody)
        kept.give(somebody, [str(tmp_path / str(i))])
    assert [kept.has(s, str(tmp_path / str(i))) for i, s in enumerate(everybody)] == [False, False, True, True, True]
