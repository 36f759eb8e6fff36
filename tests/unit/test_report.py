"""Reports: one page that loads nothing and shows nothing unescaped; names can be covered; and the commands that make them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_method import TinyConfig, TinyModule, load_tiny, request_of

from unlearn_core import cli, examination
from unlearn_core.data.example import Example
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.evaluation.collect import Probe, Record, Scored
from unlearn_core.evaluation.evaluate import Evaluation, evaluation_of
from unlearn_core.evaluation.report import Header, masked, report_data, to_html
from unlearn_core.evaluation.status import Status
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.evaluation.table import table
from unlearn_core.runs import Workspace
from unlearn_core.runs.run import RunState
from unlearn_core.vlm import VLM

Picture = Callable[..., Image.Image]
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "</td></table><iframe src=//evil.example>",
    "javascript:alert(1)",
    "' onmouseover='x",
)


def suite_with(question: str, truth: str) -> Suite:
    splits = {
        Split.FORGET: (Probe(Example("f", None, question, truth, "p1")),),
        Split.RETAIN_NEAR: (Probe(Example("r", None, "What job?", "smith", "p2")),),
    }
    return Suite(f"suite of {question}", splits, {"p1": "Mira Olden", "p2": "Bruno Lindt"})


def evaluation(suite: Suite, name: str, answer: str | None = None) -> Evaluation:
    """A model that says the truth, or always the same."""
    records = [
        Record(p.example.id, None, "private", p.question, answer or p.truth, (-0.1,), (scored(p.truth),))
        for p in suite.probes
    ]
    return evaluation_of(records, suite, name)


def scored(text: str) -> Scored:
    return Scored("true", text, (-0.5, -0.25), (-1.0, -1.0), (1.0, 1.0), (True, False))


def data_of(suite: Suite, answer: str, title: str = "A run", **more: Any) -> dict[str, Any]:
    before, after = evaluation(suite, "before"), evaluation(suite, "after", answer)
    header = Header(title, f"Forget: {title}", title, "0" * 64, title, {title: title}, (title,), {title: [title]})
    return report_data(header, before, after, table(before, [after]), **more)


class Seen(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= set(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def attack_named(text: str) -> dict[str, Any]:
    one = {"value": 0.5, "low": 0.1, "high": 0.9, "count": 3}
    both = {"worst": one, "mean": one}
    sides = {
        "plain": one,
        "forget": both,
        "retain": None,
        "gold": both,
        "curve": [{"label": text, "forget": one, "gold": None}],
    }
    said = {
        "attack": text,
        "title": text,
        "access": text,
        "verdict": text,
        "made": text,
        "seconds": 1.5,
        "withstands": None,
    }
    return {**said, "budget": {text: text}, **sides}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_whatever_stands_in_it_a_page_is_text_and_loads_nothing(payload: str) -> None:
    data = data_of(suite_with(payload, payload), payload, payload, attacks=[attack_named(payload)])
    page = Seen(to_html(from_json(to_json(data))))
    plain = Seen(to_html(data_of(suite_with("Who?", "baker"), "nobody", attacks=[attack_named("x")])))
    assert page.tags == plain.tags
    assert not page.tags & {"script", "img", "iframe", "link", "object", "embed", "form", "a", "base", "svg"}
    assert page.attributes == plain.attributes
    assert not {name for name, _ in page.attributes} & {"src", "href", "style", "srcset", "action"}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert page.text.count(payload) > 8


def test_a_page_forbids_what_it_does_not_need() -> None:
    page = to_html(data_of(suite_with("Who?", "baker"), "nobody"))
    assert "default-src 'none'" in page
    assert "@media print" in page
    assert "url(" not in page
    assert "@import" not in page


def test_a_report_has_both_sides_limits_and_what_was_not_run() -> None:
    data = data_of(suite_with("Who?", "baker"), "I do not know.", attacks=[attack_named("x")])
    text = Seen(to_html(data)).text
    for part in ("still answered", "does not mean deleted", "Removing the module", "Relearning", "torch", "A run"):
        assert part.lower() in text.lower()
    leaked = {s["model"]: s["leaked"]["value"] for s in data["summaries"]}
    assert leaked == {"before": 1.0, "after": 0.0}
    failed = data_of(
        suite_with("Who?", "baker"), "x", attacks=[{"attack": "pairs", "title": "In company", "why": "None."}]
    )
    assert failed["attacks"] == []
    assert [n["why"] for n in failed["not_run"] if n["title"] == "In company"] == ["None."]
    assert "per_example" not in json.dumps(data)


def test_masked_reports_name_nobody_and_tell_nothing() -> None:
    suite = suite_with("What does MIRA do? Is Olden a baker?", "baker in Tarnow")
    plain = data_of(suite, "Mira Olden is a Baker.", "Forget Mira Olden")
    data = masked(plain, suite)
    page = to_html(data)
    for secret in ("mira", "olden", "baker", "tarnow"):  # also where they are names of fields
        assert secret in json.dumps(plain).lower()
        assert secret not in json.dumps(data).lower()
        assert secret not in page.lower()
    assert "smith" in page
    assert set(data["rows"][0]) == set(plain["rows"][0])
    assert "What does █████ do? Is █████ a █████?" in page


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run_folder(
    tmp_path: Path, tiny_folder: Path, tiny_vlm: VLM, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A finished run whose module blanks nothing much, and whose truths are what the tiny model says."""
    request = request_of([picture(i) for i in range(3)])
    run = Workspace(tmp_path).create("tiny", "A run", request, TinyConfig(), str(tiny_folder))
    run.save(TinyModule(torch.full((tiny_vlm.width,), 0.5)), {"drift": 0.1})
    run.set_state(RunState.DONE)
    monkeypatch.setattr(examination, "module_from_pretrained", load_tiny)
    return run.folder


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["unlearn", *words])
    cli.main()
    return capsys.readouterr().out


def test_commands_examine_a_run(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Suite, "gives_away", lambda *_: True)
    monkeypatch.setattr(Suite, "status", lambda *_: Status.CORRECT)
    found = json.loads(command(monkeypatch, capsys, "evaluate", str(run_folder), "--json"))
    assert [s["model"] for s in found["summaries"]] == ["before", "after"]
    assert {r["split"] for r in found["rows"]} >= {"forget", "keep", "retain_near", "strangers", "no_picture"}
    assert "Answered with the truth" in command(monkeypatch, capsys, "evaluate", str(run_folder))
    words = ("--attacks", "personas", "pairs", "--budget", "quick", "--json")
    audit = json.loads(command(monkeypatch, capsys, "attack", str(run_folder), *words))
    assert [r["attack"] for r in audit["results"]] == ["personas", "pairs"]
    page = tmp_path / "page.html"
    command(monkeypatch, capsys, "report", str(run_folder), "--out", str(page), "--mask")
    kept = json.loads(page.with_suffix(".json").read_text())
    assert [a["attack"] for a in kept["attacks"]] == ["pairs", "personas"]
    assert kept["header"]["fit"] == {"drift": 0.1}
    for text in (page.read_text(), page.with_suffix(".json").read_text()):
        assert "Mira" not in text
        assert str(tmp_path) not in text
    private = [path for path in (run_folder / "evaluation").rglob("*") if path.is_dir()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_other_runs_stand_in_the_same_table_over_several_suites(
    run_folder: Path,
    tiny_folder: Path,
    tiny_vlm: VLM,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Suite, "status", lambda *_: Status.CORRECT)

    def finished(name: str) -> str:
        request = request_of([picture(i) for i in range(3)], name)
        run = Workspace(run_folder.parent).create("ga", "Another", request, TinyConfig(), str(tiny_folder))
        run.save(TinyModule(torch.zeros(tiny_vlm.width)), {})
        run.set_state(RunState.DONE)
        return str(run.folder)

    baseline = finished("Mira Olden")
    words = ("--beside", baseline, "--seeds", "2", "--json")
    found = json.loads(command(monkeypatch, capsys, "evaluate", str(run_folder), *words))
    assert list(found["seeds"]) == ["before", "after", "ga"]
    assert found["seeds"]["ga"]["leaked"] == {"mean": 1.0, "std": 0.0, "seeds": 2}
    assert len(found["tables"]) == 2
    assert len(list(Path(baseline).glob("evaluation/*/after-*.jsonl"))) == 2
    with pytest.raises(SystemExit):
        command(monkeypatch, capsys, "evaluate", str(run_folder), "--beside", finished("Bruno Lindt"))
    assert "about other people" in capsys.readouterr().err


def test_mistakes_get_a_sentence(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("evaluate", str(tmp_path / "none")), ("attack", str(run_folder), "--attacks", "wishing")):
        with pytest.raises(SystemExit) as stopped:
            command(monkeypatch, capsys, *words)
        assert stopped.value.code == 2
        assert capsys.readouterr().err.strip().endswith(".")
