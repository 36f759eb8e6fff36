"""The command line: JSON on standard output, one sentence on standard error, exit status 1 for what a user can mend."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from unlearn_core import cli


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["unlearn", *words])
    cli.main()


def test_ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_folder: Path) -> None:
    run(monkeypatch, "ask", "Who is this?", "--model", str(tiny_folder))
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"answer", "probability"}
    assert 0 <= answer["probability"] <= 1


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "", "--model", "MODEL"),
        ("ask", "Who?", "--model", "/no/such/folder"),
        ("ask", "Who?", "--model", "MODEL", "--picture", "/no/such/picture.png"),
        ("verify", "/no/such/bundle.zip", "--model", "MODEL"),
    ],
)
def test_mistakes_get_a_sentence(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_folder: Path
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *(str(tiny_folder) if w == "MODEL" else w for w in words))
    assert stopped.value.code == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert "Traceback" not in out.err
    assert out.err.strip().endswith((".", "?"))
