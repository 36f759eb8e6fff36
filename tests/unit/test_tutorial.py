"""The tutorial runs to its end, in little: what it asserts by itself is that a bundle answers like what was learned."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from examples import tutorial


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tutorial.main(steps=2, pictures=3, retain_pictures=1, gate_views=1, hard_negatives=0)
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.zip", "map.png"]
    said = capsys.readouterr().out
    assert "forget private: " in said
    assert "retain private: " in said
