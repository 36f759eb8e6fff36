"""The command line: results on standard output, sentences on standard error, and a status that scripts can go by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.runs.test_tracking import Notes
from tests.unit.tiny_method import request_of
from unlearn_core import bundle, cli
from unlearn_core.methods import ALL_METHODS
from unlearn_core.methods.base import Step
from unlearn_core.methods.options import from_values
from unlearn_core.runs import RunState, Workspace, tracking
from unlearn_core.runs.requests import export_request, load_request
from unlearn_core.vlm import Prompt
from unlearn_core.vlm.errors import StorageFailed

Picture = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]
forgetting = import_module("unlearn_core.cli.forget")  # the package has a command by that name
COMMANDS = (
    "ask attend probe forget runs resume export evaluate attack report benchmark merge verify fits purge users".split()
)
METHODS = "cagul cvf ga gd kl idk npo".split()


@pytest.fixture
def shown(picture: Picture, tmp_path: Path) -> Path:
    picture(1).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def request_file(picture: Picture, tmp_path: Path) -> Path:
    return export_request(request_of([picture(i) for i in range(6)]), tmp_path / "request.zip")


def test_ask_says_the_same_to_people_and_to_scripts(run: Run, tiny_folder: Path) -> None:
    status, said, _ = run("ask", "Who is this?", "--model", tiny_folder, "--json")
    answer = json.loads(said)
    assert (status, set(answer)) == (0, {"answer", "probability"})
    assert 0 <= answer["probability"] <= 1
    assert f"probability: {answer['probability']}" in run("ask", "Who is this?", "--model", tiny_folder)[1]


def test_attend_writes_a_picture_or_the_numbers(run: Run, tiny_folder: Path, shown: Path, tmp_path: Path) -> None:
    words = ["attend", "Who is this?", "--picture", shown, "--model", tiny_folder, "--json"]
    for kind in ("attention", "relative", "gradient"):
        status, said, _ = run(*words, "--out", tmp_path / "map.npz", "--words", 0, "--layers", 1, "--kind", kind)
        assert (status, json.loads(said)["file"]) == (0, str(tmp_path / "map.npz"))
        with np.load(tmp_path / "map.npz", allow_pickle=False) as numbers:
            assert numbers["values"].shape == (16,)
            assert np.isfinite(numbers["values"]).all()
            assert numbers["words"].tolist() == json.loads(said)["words"]
            assert (str(numbers["kind"]), numbers["chosen"].tolist()) == (kind, [0])
    assert run(*words, "--out", tmp_path / "map.png")[0] == 0
    assert Image.open(tmp_path / "map.png").width == 960
    assert run(*words, "--out", tmp_path / "map.png", "--layers", 7)[0] == 2
    assert run(*words, "--out", tmp_path / "map.jpg")[0] == 2


def test_probe(run: Run, tiny_folder: Path, shown: Path, tmp_path: Path) -> None:
    (tmp_path / "bank.json").write_text(json.dumps([{"label": "job", "phrasings": ["What is the job?"]}]))
    words = ["probe", shown, "--questions", tmp_path / "bank.json", "--model", tiny_folder]
    status, said, _ = run(*words, "--json")
    assert status == 0
    assert json.loads(said)["asked"] == 1
    assert run(*words)[0] == 0


def test_a_run_from_request_to_bundle(
    run: Run, tiny_folder: Path, request_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: ["trackio"])
    monkeypatch.setattr(tracking, "_started", lambda name, run: notes)
    workspace, out = tmp_path / "workspace", tmp_path / "a.zip"
    flags = ["--workspace", workspace, "--model", tiny_folder, "--json"]
    status, said, _ = run("forget", "gd", request_file, *flags, "--steps", 2, "--rank", 2, "--track", "trackio")
    made = json.loads(said)
    assert status == 0
    assert (notes.told[0]["method"], notes.told[-1]) == ("gd", "end")
    listed = json.loads(run("runs", "--workspace", workspace, "--json")[1])
    assert [(r["method"], r["state"], r["steps"] > 0) for r in listed] == [("gd", "done", True)]
    assert listed[0]["id"] in made["run"]
    assert "done" in run("runs", "--workspace", workspace)[1]

    status, said, _ = run("export", made["run"], "--out", out, "--title", "One", "--json")
    assert (status, json.loads(said)["bytes"]) == (0, out.stat().st_size)
    manifest = json.loads(run("verify", out, "--model", tiny_folder, "--json")[1])
    assert (manifest["title"], manifest["method"], manifest["config"]["seed"]) == ("One", "gd", 0)
    assert manifest["data"].keys() == {"forget", "keep", "retain", "stranger"}
    assert not any(str(tmp_path) in str(value) for value in manifest.values())
    asked = json.loads(run("ask", "Who is this?", "--model", tiny_folder, "--bundle", out, "--json")[1])
    unlearned = bundle.from_pretrained(out, base=tiny_folder, device="cpu")
    assert asked["answer"] == unlearned.ask([Prompt(None, "Who is this?")])[0].text


def test_a_run_that_broke_off_goes_on(run: Run, tiny_folder: Path, request_file: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    config = from_values(ALL_METHODS["gd"].config, {"steps": 2, "rank": 2})
    left = workspace.create("gd", "One", load_request(request_file), config, str(tiny_folder))
    left.set_state(RunState.RUNNING)
    assert run("resume", left.folder)[0] == 2  # somebody is at it
    left.release()  # as when its process dies
    status, said, _ = run("resume", left.folder, "--json")
    assert (status, json.loads(said)["state"]) == (0, "done")
    assert workspace.run(left.id).module_folder.is_dir()
    assert run("resume", left.folder)[0] == 2


def test_ctrl_c_leaves_a_cancelled_run_and_nothing_half_done(
    run: Run, tiny_folder: Path, request_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    def interrupted(steps: Any, shown: bool) -> Any:
        try:
            yield next(steps)
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    monkeypatch.setattr(forgetting, "watched_steps", interrupted)
    words = ["forget", "gd", request_file, "--workspace", tmp_path / "w", "--model", tiny_folder]
    status, said, told = run(*words, "--out", tmp_path / "a.zip")
    assert (status, said, told.strip().splitlines()[-1], closed) == (130, "", "Cancelled.", [True])
    [left] = Workspace(tmp_path / "w").runs()
    assert left.state is RunState.CANCELLED
    assert len(left.events()) == 1
    assert not left.module_folder.exists()
    assert not (tmp_path / "a.zip").exists()


def test_a_run_that_fails_says_so_without_names(
    run: Run, tiny_folder: Path, request_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["forget", "gd", request_file, "--workspace", tmp_path / "w", "--model", tiny_folder]
    for error, message in ((ValueError("Mira Olden"), "unexpected"), (StorageFailed("No room."), "No room.")):

        def failing(steps: Any, shown: bool, error: Exception = error) -> Any:
            yield Step("fit", 1, 2)
            raise error

        monkeypatch.setattr(forgetting, "watched_steps", failing)
        status, said, told = run(*words)
        assert (status, said) == (1, "")
        assert "Mira Olden" not in told
        newest = Workspace(tmp_path / "w").runs()[0]
        assert newest.state is RunState.FAILED
        assert message in newest.message


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "", "--model", "MODEL"),
        ("ask", "Who?", "--model", "/no/such/folder"),
        ("ask", "Who?", "--model", "MODEL", "--picture", "/no/such/picture.png"),
        ("ask", "Who?", "--model", "MODEL", "--bundle", "/no/such/bundle.zip"),
        ("verify", "/no/such/bundle.zip", "--model", "MODEL"),
        ("export", "/no/such/run", "--out", "a.zip"),
        ("forget", "gd", "/no/such/request.zip", "--model", "MODEL"),
        ("forget", "gd", "request.zip", "--track", "smoke-signals"),
        ("resume", "/no/such/run"),
        ("ask",),
        ("no-such-command",),
        ("forget", "gd", "request.zip", "--steps", "many"),
    ],
)
def test_mistakes_get_a_sentence(words: tuple[str, ...], run: Run, tiny_folder: Path) -> None:
    status, said, told = run(*(str(tiny_folder) if w == "MODEL" else w for w in words))
    assert (status, said) == (2, "")
    assert told.strip()
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("method", "more", "says"),
    [
        ("gd", (), "accelerate launch"),
        ("gd", ("--out", "bundle.zip"), "unlearn export"),
        ("cagul", (), "for the baselines"),
        ("cvf", (), "for the baselines"),
        ("gd", ("--device-map", "auto"), "neither quantised nor spread"),
        ("npo", ("--quantize", "4bit"), "neither quantised nor spread"),
    ],
)
def test_where_weights_cannot_be_shared_it_is_said(
    method: str, more: tuple[str, ...], says: str, run: Run, tiny_folder: Path, request_file: Path, tmp_path: Path
) -> None:
    words = ("forget", method, request_file, "--model", tiny_folder, "--workspace", tmp_path / "w", "--shard", *more)
    status, said, told = run(*words)
    assert (status, said) == (2, "")
    assert says in " ".join(told.split())
    assert not Workspace(tmp_path / "w").runs()


def test_a_run_goes_on_with_shared_weights_only_where_they_can_be_shared(
    run: Run, tiny_folder: Path, request_file: Path, tmp_path: Path
) -> None:
    workspace, request = Workspace(tmp_path / "w"), load_request(request_file)
    for method, more, says in (
        ("cagul", (), "for the baselines"),
        ("gd", (), "accelerate launch"),
        ("gd", ("--quantize", "8bit"), "neither quantised nor spread"),
    ):
        config = from_values(ALL_METHODS[method].config, {"steps": 2})
        left = workspace.create(method, "One", request, config, str(tiny_folder))
        left.set_state(RunState.PAUSED)
        status, said, told = run("resume", left.folder, "--shard", *more)
        assert (status, said) == (2, "")
        assert says in " ".join(told.split())
        assert left.state is RunState.PAUSED, "it can still go on"


def test_control_characters_of_an_answer_do_not_reach_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.models.shown({"answer": "a\x1b[2J\x07b\nc"}, json=False) is None
    assert capsys.readouterr().out == "answer: a [2J b c\n"


def test_help_is_light_and_completion_knows_every_method() -> None:
    """In a process of its own, without a display: what a shell sees."""
    code = """
import sys
from unlearn_core import cli
def run(*words):
    sys.argv = ["unlearn", *words]
    try:
        cli.main()
    except SystemExit as stopped:
        assert not stopped.code, stopped.code
run("--help")
assert "torch" not in sys.modules
print("#COMPLETION")
run("--tyro-print-completion", "bash")
"""
    quiet = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([sys.executable, "-c", code], env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in (*COMMANDS, "app", *METHODS, "--gate-views", "--drift-budget"))
    script = done.stdout.partition("#COMPLETION")[2]
    assert completed(script, "fo") == ["forget"]
    assert set(METHODS) <= set(completed(script, "forget", ""))
    assert completed(script, "forget", "cagul", "--gate-v") == ["--gate-views"]


def completed(script: str, *words: str) -> list[str]:
    """What bash makes of the last of these words."""
    ask = """
COMP_WORDS=(unlearn "$@") COMP_CWORD=$#
function=$(complete -p unlearn | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function unlearn "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "-c", script + ask, "bash", *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command: str, run: Run) -> None:
    status, said, _ = run(command, *(["cagul"] if command == "forget" else []), "--help")
    assert status == 0
    assert "--json" in said


def test_the_page_is_started_with_its_own_flags(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append([program, *words]))
    assert run("app", "--port", "7861", "--help")[0] == 0
    [[program, again, path, *flags]] = started
    assert program == again == sys.executable
    assert Path(path) == Path(__file__).parents[2] / "app.py"
    assert flags == ["--port", "7861", "--help"]
