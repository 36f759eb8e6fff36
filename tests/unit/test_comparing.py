"""Page Compare without a browser: what is leaked, shown, sorted, drawn and taken away."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from components.comparing import figures, files, tables
from components.comparing.figures import Point
from components.comparing.lines import ORDERS, SHOWN, Line, Wanted, leaks, lines_of, places
from components.figures import HEAT
from unlearn_core.attention.drawing import Drawn
from unlearn_core.comparison import Comparison, Share, Standing
from unlearn_core.data.example import REFUSAL, Example
from unlearn_core.evaluation.collect import Probe, Record, Scored
from unlearn_core.evaluation.evaluate import Evaluation, evaluation_of
from unlearn_core.evaluation.suite import Split, Suite
from unlearn_core.evaluation.table import table

HOSTILE = "<img src=x onerror=alert(1)>"


def probe(name: str, who: str, truth: str) -> Probe:
    return Probe(Example(name, None, f"{HOSTILE} What is it?", truth, who))


SUITE = Suite(
    "suite",
    {
        Split.FORGET: (probe("f0", "p1", "baker"), probe("f1", "p1", "555-0123"), probe("f2", "p1", "Zagorn")),
        Split.RETAIN_FAR: (probe("r0", "p2", "smith"), probe("r1", "p3", HOSTILE)),
    },
)


def says(name: str, answers: dict[str, str], truths: dict[str, float]) -> Evaluation:
    """A model that says the truth, for sure, but where it is given another answer or log-probability."""
    records = []
    for p in SUITE.probes:
        logprob = truths.get(p.example.id, -0.5)
        scored = Scored("true", p.truth, (logprob, logprob), (-1.0,) * 2, (1.0,) * 2, (True,) * 2)
        answer = answers.get(p.example.id, p.truth)
        records.append(Record(p.example.id, p.example.subject, "private", p.question, answer, (-0.1,), (scored,)))
    return evaluation_of(records, SUITE, name)


@pytest.fixture(scope="module")
def found() -> Comparison:
    before = says("before", {}, {})
    a = says("A", {"f0": REFUSAL, "f1": "call 555-0123!"}, {"f0": -6.5, "f2": -0.25, "r1": -1.5})
    b = says("B", {e.example.id: "the the the the the" for e in SUITE.probes}, {})
    return Comparison(SUITE, (before, a, b), table(before, [a, b]))


@pytest.fixture(scope="module")
def lines(found: Comparison) -> tuple[Line, ...]:
    return lines_of(found)


def test_leaks_are_whole_words_of_what_must_go(lines: tuple[Line, ...]) -> None:
    leaked = [[line.replies[1].text[start:end] for start, end in line.replies[1].leaked] for line in lines]
    assert leaked == [[], ["555-0123"], ["Zagorn"], [], []], "also where it is no whole answer, and never of what stays"
    assert not any(line.replies[0].leaked for line in lines), "before, nothing had to go"
    example = Example("x", None, "?", "A man with red hair", target="Somebody with red hair")
    assert leaks("a MAN with red hair, womanly", example) == ((2, 5),)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), [0, 1, 2, 3, 4]),
        (Wanted(split="forget"), [0, 1, 2]),
        (Wanted(person="p3"), [4]),
        (Wanted(status="refusal"), [0]),
        (Wanted(shown=SHOWN[1]), [0, 1]),
        (Wanted(shown=SHOWN[2]), [1, 2]),
        (Wanted(order=ORDERS[1]), [0, 4, 1, 3, 2]),
        (Wanted(order=ORDERS[2]), [2, 1, 3, 4, 0]),
        (Wanted(split="forget", person="p2"), []),
    ],
)
def test_filters_and_orders(wanted: Wanted, expected: list[int], lines: tuple[Line, ...]) -> None:
    assert places(lines, wanted) == expected


def test_the_summary_has_forget_and_retain_numbers_of_every_model(found: Comparison) -> None:
    page = tables.summary(found)
    assert page.index("All that must go") < page.index("All that must stay") < page.index("Must go: lower")
    assert [row.leaked.value for row in found.table.summaries] == pytest.approx([1, 2 / 3, 0])
    assert "67%" in page
    assert "0–100" in page, "an interval of three questions is wide"
    assert "of B “" in page, "which part of what must stay is lost"
    assert "of A “" not in page


def test_nothing_that_is_shown_becomes_markup(found: Comparison, lines: tuple[Line, ...]) -> None:
    hostile = [replace(line, replies=(replace(line.replies[0], text=HOSTILE), *line.replies[1:])) for line in lines]
    standing = Standing(Share(0.1, 0.0, 0.2), Share(0.9, None, None), 10)
    drawn = [figures.bars(found), figures.scatter([Point(HOSTILE, HOSTILE, standing)])]
    texts = [tables.questions(found.names, hostile, range(len(hostile))), tables.summary(found)]
    texts += [str(figure.to_json()).replace("\\u003c", "<") for figure in drawn]
    assert not any("<img src=x" in text for text in texts)


def test_no_cell_of_the_table_is_run_by_a_spreadsheet(found: Comparison, lines: tuple[Line, ...]) -> None:
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", 'baker, "or"\nnot']
    said = [
        replace(lines[0], replies=(replace(lines[0].replies[0], text=text), *lines[0].replies[1:])) for text in formulas
    ]
    data = files.table(found.names, said)
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [row["before: answer"] for row in rows] == [*(f"'{text}" for text in formulas[:-1]), formulas[-1]]
    assert {row["A: change of log p"] for row in rows} == {"-6.0000"}, "numbers stay numbers"


def test_bars_and_points_carry_their_intervals(found: Comparison) -> None:
    bars: Any = figures.bars(found)
    assert [trace.name for trace in bars.data] == ["before", "A", "B"]
    assert bars.data[1].x[0] == pytest.approx(2 / 3)
    assert bars.data[1].x[0] + bars.data[1].error_x.array[0] == pytest.approx(1)
    assert bars.data[1].x[0] - bars.data[1].error_x.arrayminus[0] == pytest.approx(0)
    one = Standing(Share(0.1, 0.05, 0.3), Share(0.9, 0.8, 0.95), 10)
    never = Standing(Share(0.5, None, None), None, 10)
    runs: Any = figures.scatter([Point("one", "cagul", one, "A"), Point("other", "cvf", one), Point("x", "cvf", never)])
    assert [(trace.x[0], trace.y[0], trace.text[0]) for trace in runs.data] == [(0.1, 0.9, "A"), (0.1, 0.9, "")]
    assert sum(len(trace.x) for trace in runs.data) == 2, "a run without a number on one axis has no place"


def test_maps_stand_side_by_side_in_one_picture(picture: Callable[..., Image.Image]) -> None:

    drawn = [(name, Drawn(picture(1), torch.rand(4, 4), (0.0, 1.0), HEAT, "share")) for name in ("before", "A")]
    with Image.open(io.BytesIO(files.beside(drawn))) as whole:
        assert whole.width == 2 * 960 + files.GAP
