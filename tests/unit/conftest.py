"""A command of `unlearn`, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from unlearn_core import cli


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; gives its exit status, standard output and standard error."""

    def command(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unlearn", *map(str, words)])
        status: Any = 0
        try:
            cli.main()
        except SystemExit as stopped:
            status = stopped.code
        return (status, *capsys.readouterr())

    return command
