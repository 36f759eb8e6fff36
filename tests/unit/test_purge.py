"""What is removed is gone, and what is left of the same people is found and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.tiny_method import TinyConfig, request_of
from unlearn_core.runs import RunState, Workspace
from unlearn_core.runs.purge import purge
from unlearn_core.runs.shelf import Shelf
from unlearn_core.vlm.errors import BadRequest

NAME = "Zoë O'Hara"
Picture = Callable[..., Image.Image]


@pytest.fixture
def kept(tmp_path: Path, picture: Picture) -> tuple[Path, str, str, str]:
    """A workspace with a run and a saved request about one person, and a run about another; their ids."""
    workspace, images = Workspace(tmp_path), [picture(seed) for seed in range(3)]
    ids = []
    for request in (request_of(images, NAME), request_of(images[1:], "Somebody Else")):
        run = workspace.create("tiny", request.name, request, TinyConfig(), "model")
        run.set_state(RunState.CANCELLED)
        ids.append(run.id)
    return tmp_path, ids[0], Shelf(tmp_path / "requests").save(request_of(images, NAME)).id, ids[1]


def test_a_run_is_gone_and_what_is_left_is_told(kept: tuple[Path, str, str, str]) -> None:
    root, run, request, other = kept
    found = purge(root, run)
    assert found.removed == (run,)
    assert found.left == (f"requests/{request}.zip",)
    assert not (root / run).exists()
    assert (root / other).exists()
    assert purge(root, request).left == ()


@pytest.mark.parametrize("first", [1, 2])
def test_everywhere_removes_all_of_the_same_people_and_nothing_else(
    kept: tuple[Path, str, str, str], first: int
) -> None:
    root, run, request, other = kept
    found = purge(root, kept[first], everywhere=True)
    assert set(found.removed) == {run, request}
    assert found.left == ()
    assert found.searched > 0
    everything = b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert all(form not in everything for form in (NAME.encode(), b"Zo\\u00eb"))
    assert Workspace(root).run(other).request().forget


def test_a_stray_copy_is_found(kept: tuple[Path, str, str, str]) -> None:
    root, run, _, _ = kept
    (root / "notes.txt").write_text(f"asked for by {NAME}")
    assert set(purge(root, run, everywhere=True).left) == {"notes.txt"}


def test_a_damaged_run_goes_all_the_same(kept: tuple[Path, str, str, str]) -> None:
    root, run, request, _ = kept
    (root / run / "metadata.jsonl").write_text("torn")
    found = purge(root, run)
    assert not (root / run).exists()
    assert found.left == (f"requests/{request}.zip",)


@pytest.mark.parametrize("name", ["nothing", "../elsewhere", "", "20200101-000000-00000000"])
def test_what_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRequest):
        purge(tmp_path, name)


def test_a_purge_is_final_also_for_what_could_still_be_brought_back(kept: tuple[Path, str, str, str]) -> None:
    root, run, request, other = kept
    workspace = Workspace(root)
    workspace.discard(run)
    workspace.discard(other)
    assert purge(root, run).left == (f"requests/{request}.zip",), "it was looked at before it went"
    assert not workspace.in_bin(run)
    assert not workspace.in_bin(other)
    Shelf(root / "requests").discard(request)
    assert purge(root, request).removed == (request,)
    assert not list(root.rglob(".discarded-*"))
