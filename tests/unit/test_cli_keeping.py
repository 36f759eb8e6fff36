"""Commands that look ahead, remove what is kept, and say who may log in: `unlearn fits`, `unlearn purge`, `unlearn users`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.tiny_method import TinyConfig, request_of
from unlearn_core import accounts
from unlearn_core.accounts import Role, read_accounts
from unlearn_core.runs import RunState, Workspace
from unlearn_core.runs.requests import digest
from unlearn_core.runs.shelf import Shelf

Command = Callable[..., tuple[int, str, str]]
NAME, OTHER = "Zoë O'Hara", "Somebody Else"
PASSWORD = "correct horse battery"


@pytest.fixture
def kept(tmp_path: Path, picture: Callable[..., Image.Image]) -> tuple[Workspace, str, str]:
    """A workspace with a run and a saved request about one person, and a run about another; ids of the first two."""
    workspace = Workspace(tmp_path / "workspace")
    request, other = request_of([picture(0)], NAME), request_of([picture(1)], OTHER)
    runs = [workspace.create("tiny", r.name, r, TinyConfig(), "model") for r in (request, other)]
    for run in runs:
        run.set_state(RunState.CANCELLED)
    return workspace, runs[0].id, Shelf(workspace.root / "requests").save(request).id


def naming(workspace: Workspace, image: Image.Image) -> list[Path]:
    """Files that name the person, in either form in which JSON may, or hold the picture."""
    forms = [NAME.encode(), json.dumps(NAME)[1:-1].encode(), digest(image).encode()]
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    return [path for path in files if any(form in path.read_bytes() for form in forms)]


# -- purge ----------------------------------------------------------------------------------------------------------------


def test_a_purge_tells_what_is_left_and_everywhere_leaves_nothing(
    run: Command, kept: tuple[Workspace, str, str], picture: Callable[..., Image.Image]
) -> None:
    workspace, first, saved = kept
    assert naming(workspace, picture(0))
    status, said, _ = run("purge", first, "--workspace", workspace.root, "--json")
    told = json.loads(said)
    assert (status, told["removed"], told["left"]) == (0, [first], [f"requests/{saved}.zip"])
    status, said, _ = run("purge", saved, "--workspace", workspace.root, "--everywhere")
    assert status == 0
    assert f"removed: {saved}" in said
    assert "left: nothing" in said
    assert naming(workspace, picture(0)) == []
    assert [r.info.subjects for r in workspace.runs()] == [(OTHER,)]


def test_everywhere_takes_the_run_of_a_request_along(
    run: Command, kept: tuple[Workspace, str, str], picture: Callable[..., Image.Image]
) -> None:
    workspace, first, saved = kept
    told = json.loads(run("purge", saved, "--workspace", workspace.root, "--everywhere", "--json")[1])
    assert (set(told["removed"]), told["left"]) == ({first, saved}, [])
    assert naming(workspace, picture(0)) == []


def test_a_purge_of_what_is_going_or_not_there_changes_nothing(
    run: Command, kept: tuple[Workspace, str, str], picture: Callable[..., Image.Image]
) -> None:
    workspace, _, saved = kept
    going = workspace.create("tiny", "Going", request_of([picture(2)], NAME), TinyConfig(), "model")
    for name, says in (
        (going.id, "still going"),
        ("20200101-000000-00000000", "no longer here"),
        ("", "no longer here"),
    ):
        status, said, told = run("purge", name, "--workspace", workspace.root)
        assert (status, said) == (2, "")
        assert says in told
    assert len(workspace.runs()) == 3
    assert Shelf(workspace.root / "requests").load(saved).forget


# -- fits -----------------------------------------------------------------------------------------------------------------


def test_what_a_model_needs_is_reckoned(run: Command, tiny_folder: Path) -> None:
    whole, half = (
        json.loads(run("fits", "--model", tiny_folder, "--device", "cpu", "--dtype", dtype, "--json")[1])
        for dtype in ("float32", "bfloat16")
    )
    assert whole["fits"]
    assert whole["to_download"] == 0
    assert whole["chosen"]["need"]["weights"] == 2 * half["chosen"]["need"]["weights"] > 0
    assert set(whole["chosen"]["need"]["methods"]) == {"cagul", "cvf", "lora"}
    status, said, _ = run("fits", "--model", tiny_folder)
    assert status == 0
    assert said.startswith("fits: True")


@pytest.mark.parametrize("flags", [("--model", "/no/such/folder"), ("--dtype", "float3"), ("--device", "abacus")])
def test_what_cannot_be_reckoned_gets_a_sentence(flags: tuple[str, str], run: Command) -> None:
    status, said, told = run("fits", *flags)
    assert (status, said) == (2, "")
    assert told.strip()
    assert "Traceback" not in told


# -- users ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What comes next on standard input. Hashes are cheap meanwhile."""
    monkeypatch.setattr(accounts, "COST", 2**4)
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_users_are_added_changed_and_removed(run: Command, typed: Callable[[str], None], tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    typed(f"{PASSWORD}\n")
    status, said, told = run("users", file, "--add", "otto", "--role", "operator", "--json")
    assert (status, json.loads(said)) == (0, {"otto": "operator"})
    typed(f"{PASSWORD}, too\n")
    status, said, _ = run("users", file, "--add", "vera")
    assert status == 0
    assert all(word in said for word in ("otto", "operator", "vera", "viewer"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in file.read_text() + said + told
    assert list(tmp_path.iterdir()) == [file]
    assert read_accounts(file).role("otto", PASSWORD) is Role.OPERATOR
    assert read_accounts(file).role("vera", f"{PASSWORD}, too") is Role.VIEWER
    typed("another battery staple\n")
    run("users", file, "--add", "otto")
    assert read_accounts(file).role("otto", PASSWORD) is None
    assert json.loads(run("users", file, "--remove", "otto", "--json")[1]) == {"vera": "viewer"}
    assert json.loads(run("users", file, "--json")[1]) == {"vera": "viewer"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--add", "vera"), "at least 12 characters"),
        (("--add", "no good name"), "Please choose another"),
        (("--remove", "nobody"), "Please check the name"),
        (("--remove", "otto"), "the last user"),
        (("--add", "vera", "--role", "king"), "viewer"),
    ],
)
def test_mistakes_about_users_get_a_sentence_and_change_nothing(
    flags: tuple[str, ...], says: str, run: Command, typed: Callable[[str], None], tmp_path: Path
) -> None:
    file = tmp_path / "users.json"
    typed(f"{PASSWORD}\n")
    run("users", file, "--add", "otto")
    before = file.read_bytes()
    typed("short\n" if "at least" in says else f"{PASSWORD}\n")
    status, said, told = run("users", file, *flags)
    assert (status, said) == (2, "")
    assert says in told
    assert PASSWORD not in told
    assert file.read_bytes() == before


def test_who_asks_for_users_of_no_file_is_told_how_to_make_one(run: Command, tmp_path: Path) -> None:
    status, said, told = run("users", tmp_path / "users.json")
    assert (status, said) == (2, "")
    assert "--add NAME" in told
    assert not list(tmp_path.iterdir())
