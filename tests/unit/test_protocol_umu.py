"""UMU-bench on small files, with a stand-in whose answers are known: every number is worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_files import cell, parquet, person, who
from oracle import Oracle, as_vlm

from unlearn_core.evaluation.progress import finish
from unlearn_core.evaluation.protocols import BENCHMARKS, Part, Sheet, examine, load
from unlearn_core.vlm import Prompt

BENCHMARK = BENCHMARKS["umu"]
SAYS = {
    ("Job", True): ["cook", "B", "cook", "a cook, I think"],
    ("Job", False): ["cook", "cook", "cook", "baker"],
    ("It's", True): ["It's", "x", "It's", "It's"],
    ("It's", False): ["x", "x", "it's", "it's"],
    ("Tell", True): ["O'Neill is a cook", "I do not know.", "O'Neill is a cook", "O'Neill is a cook"],
    ("Tell", False): ["a cook", "I do not know.", "a cook", "a cook"],
}
"""By question and whether the picture is shown: what is said of persons 0 to 3."""


def says(prompt: Prompt) -> str:
    kind = prompt.question[:4].rstrip("? ")
    number = who(prompt.image)
    if number is None:
        number = int(prompt.question.split("(")[1][0])
    return SAYS[kind, prompt.image is not None][number]


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Sheet:
    """Persons 0 and 1 are to be forgotten, 2 stays, 3 is real."""
    root = tmp_path_factory.mktemp("umu")
    parquet(root / "forget_5", [person(0), person(1)])
    parquet(root / "retain_95", [person(2)])
    parquet(root / "Real_Person_Set", [person(3)])
    out = tmp_path_factory.mktemp("out")
    return finish(examine(BENCHMARK, load(root, BENCHMARK), {"m": as_vlm(Oracle(says))}, {"m": out}))


def numbers(sheet: Sheet, about: str) -> dict[str, float | None]:
    return {name: m and m.value for (of, name), m in sheet.numbers["m"].items() if of == about}


# "O'Neill is a cook" has five words for ROUGE, "a cook" two of them: P = 1, R = 2/5
HALF = 4 / 7


def test_every_number_to_forget_is_that_of_the_paper(sheet: Sheet) -> None:
    assert numbers(sheet, "forget") == {
        "class. acc., with picture": 0.5,  # "B" is no option word for word
        "class. acc., without": 1.0,
        "class. acc., right both ways": 0.5,
        "class. acc., wrong both ways": 0.0,
        "cloze acc., with picture": 0.5,
        "cloze acc., without": 0.0,
        "cloze acc., right both ways": 0.0,
        "cloze acc., wrong both ways": 0.5,
        "ROUGE-L, with picture": 0.5,
        "ROUGE-L, without": pytest.approx(HALF / 2),
        "RLF": pytest.approx((1 + HALF**2) / (1 + HALF) / 2),
        "none of the options (ours)": 0.5,
        "refusals (ours)": 0.5,
        "gibberish (ours)": 0.0,
    }


def test_what_stays_has_the_other_forms(sheet: Sheet) -> None:
    retain, real = numbers(sheet, "retain"), numbers(sheet, "real people")
    assert retain["RLR"] == real["RLR"] == pytest.approx(2 * HALF / (1 + HALF))
    assert (retain["class. acc., right both ways"], retain["class. acc., wrong both ways"]) == (1.0, 0.0)
    assert real["class. acc., with picture"] == 1.0  # the option most like the answer
    assert (real["class. acc., without"], real["none of the options (ours)"]) == (0.0, 1.0)


def test_questions_are_put_in_the_benchmarks_words(tmp_path: Path) -> None:
    parquet(tmp_path / "forget_5", [person(0)])
    parquet(tmp_path / "retain_95", [person(2) | {"image": cell(2)}])
    parts = load(tmp_path, BENCHMARK).parts
    assert parts[Part("forget", "choice")][0].question == "Job?\nSelect answer in ['baker', 'cook']"
    assert parts[Part("forget", "cloze", False)][0].question == (
        "It's __ (0)\nPlease **ONLY** provide the correct answer without any explanation"
    )
    pictures = {id(probes[0].example.image) for part, probes in parts.items() if part.of == "forget" and part.pictured}
    assert len(pictures) == 1  # three parts, one object
    assert [BENCHMARK.max_new_tokens(Part("", kind)) for kind in ("choice", "cloze", "generation")] == [50, 50, 200]
