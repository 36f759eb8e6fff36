"""A run on disk: all it was made from, readable by its owner alone, and its steps as they came."""

from __future__ import annotations

import math
import stat
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.unit.tiny_method import TinyConfig, TinyMethod, request_of
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods.base import Step
from unlearn_core.runs import Run, RunDamaged, RunState, Workspace
from unlearn_core.vlm.errors import BadOption

Picture = Callable[..., Image.Image]


def facts(examples: tuple[Example, ...]) -> list[tuple[object, ...]]:
    return [
        (e.id, e.question, e.answer, e.subject, e.kind, e.target, e.image and (e.image.size, e.image.tobytes()))
        for e in examples
    ]


def test_a_run_keeps_all_it_was_made_from(workspace: Workspace, run: Run, request_: ForgetRequest) -> None:
    found = Workspace(workspace.root).run(run.id)
    assert (found.info, found.state, found.message) == (run.info, RunState.QUEUED, "")
    assert (found.info.title, found.info.method, found.info.model) == ("First try", "tiny", "demo")
    assert (found.info.subjects, found.info.forget, found.info.keep, found.info.retain) == (("Mira Olden",), 2, 1, 3)
    assert (found.config(), found.events()) == ({"steps": 7, "size": 32}, [])
    again = found.request()
    assert (again.name, again.refusals, again.subjects) == (request_.name, request_.refusals, request_.subjects)
    for side in ("forget", "keep", "retain"):
        assert facts(getattr(again, side)) == facts(getattr(request_, side))
    assert again.strangers[0].tobytes() == request_.strangers[0].tobytes()


def test_each_distinct_picture_is_kept_once_and_comes_back_as_one_object(
    workspace: Workspace, picture: Picture
) -> None:
    twin = picture(0)
    run = workspace.create("tiny", "", request_of([picture(0), twin, picture(1, (20, 50))]), TinyConfig(), "demo")
    assert len(list((run.folder / "pictures").iterdir())) == 2
    request = run.request()
    assert request.forget[0].image is request.forget[1].image is request.keep[0].image is request.retain[0].image


def test_pictures_of_other_modes_come_back_upright_in_rgb(workspace: Workspace) -> None:
    clear = Image.new("RGBA", (5, 4), (255, 0, 0, 0))
    run = workspace.create("tiny", "", request_of([clear, Image.new("L", (4, 5), 7)]), TinyConfig(), "demo")
    images = [e.image for e in (*run.request().forget, *run.request().retain) if e.image is not None]
    assert {image.mode for image in images} == {"RGB"}
    assert images[0].getpixel((0, 0)) == (255, 255, 255)


def test_only_the_owner_may_read_and_no_name_is_in_a_path(run: Run) -> None:
    run.save(TinyMethod().start(None, None, TinyConfig()).module, {})  # type: ignore[arg-type]
    paths = [run.folder, *run.folder.rglob("*")]
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert not any(part in str(path.relative_to(run.folder.parent)).lower() for part in ("mira", "olden", "other"))
    assert {path.name for path in run.module_folder.iterdir()} == {"module.safetensors", "module.json"}


def test_hundreds_of_pictures_are_written_quickly(workspace: Workspace, picture: Picture) -> None:
    request = request_of([picture(i, (128, 128)) for i in range(400)])
    began = time.monotonic()
    workspace.create("tiny", "", request, TinyConfig(), "demo")
    assert time.monotonic() - began < 4  # 0.7 s on two idle cores


@pytest.mark.parametrize("change", ["missing", "other", "torn", "json", "unknown"])
def test_a_changed_request_is_noticed(run: Run, picture: Picture, change: str) -> None:
    file = next((run.folder / "pictures").iterdir())
    listed = run.folder / "metadata.jsonl"
    if change == "missing":
        file.unlink()
    elif change == "other":
        picture(99).save(file)
    elif change == "torn":
        file.write_bytes(file.read_bytes()[:60])
    elif change == "json":
        listed.write_bytes(listed.read_bytes()[:-20])
    else:
        listed.write_text(listed.read_text().replace(file.name, "../../secret.png"))
    with pytest.raises(RunDamaged):
        run.request()


# -- events ------------------------------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.builds(
    Step,
    st.text(),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.dictionaries(st.text(), numbers),
    st.none() | numbers,
    st.none() | numbers,
    numbers,
    numbers,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(steps, max_size=4))
def test_steps_come_back_as_they_were(workspace: Workspace, run: Run, wanted: list[Step]) -> None:
    (run.folder / "events.jsonl").write_bytes(b"")
    for step in wanted:
        run.append(step)
    assert workspace.run(run.id).events() == wanted


def test_the_latest_numbers_are_found_at_the_end_of_many(run: Run) -> None:
    assert run.latest() is None
    run.append(Step("fit", 1, 900, forget=0.9, retain=0.8))
    run.append(Step("fit", 2, 900, forget=0.5))
    latest = run.latest()
    assert latest is not None
    assert (latest.step.index, latest.forget, latest.retain) == (2, 0.5, 0.8)
    line = (run.folder / "events.jsonl").read_bytes().splitlines(keepends=True)[0]
    (run.folder / "events.jsonl").write_bytes(line * 899 + line.replace(b"0.9", b"0.25")[:-1] + b"\n" + line[:30])
    latest = run.latest()
    assert latest is not None
    assert latest.forget == 0.25


def test_a_run_can_be_called_otherwise_and_noted(workspace: Workspace, run: Run) -> None:
    run.describe("  Second name ", "drift was high\nagain")
    info = workspace.run(run.id).info
    assert (info.title, info.note, info.id) == ("Second name", "drift was high\nagain", run.id)
    for title, note in (("", ""), ("x" * 201, ""), ("x", "n" * 4001)):
        with pytest.raises(BadOption):
            run.describe(title, note)
    assert run.nbytes() > sum(path.stat().st_size for path in run.folder.glob("*.json"))


def test_a_loss_that_is_no_number_is_kept_as_such(run: Run) -> None:
    run.append(Step("fit", 1, 1, {"a": math.nan, "b": math.inf, "c": 1.0}))
    losses = run.events()[0].losses
    assert math.isnan(losses["a"])
    assert math.isnan(losses["b"])
    assert losses["c"] == 1
    assert b"NaN" not in (run.folder / "events.jsonl").read_bytes()


def test_a_torn_last_line_is_left_out_and_a_bad_one_before_is_not(run: Run) -> None:
    run.append(Step("fit", 1, 2))
    file = run.folder / "events.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:25])
    assert [step.index for step in run.events()] == [1]
    file.write_bytes(whole[:25] + b"\n" + whole)
    with pytest.raises(RunDamaged):
        run.events()
