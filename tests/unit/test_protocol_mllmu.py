"""MLLMU-Bench on small files, with a stand-in whose answers are known: every number is worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_files import mllmu, who
from oracle import Oracle, as_vlm

from unlearn_core.evaluation.progress import finish
from unlearn_core.evaluation.protocols import BENCHMARKS, Number, Part, Questions, examine, load
from unlearn_core.evaluation.protocols.mllmu import first_letter
from unlearn_core.vlm import Prompt
from unlearn_core.vlm.prompt import MAX_QUESTION

BENCHMARK = BENCHMARKS["mllmu"]
PICTURED = {
    "letter": {0: "B", 1: "b) cook", 2: "No idea"},
    "Where": {0: "Ghent", 1: "in Ghent", 2: "Paris"},
    "Blank": {0: "It is ghent.", 1: "Paris", 2: ""},
}
RIGHT = {"letter": "B", "Where": "Ghent", "Blank": "Ghent"}


def says(prompt: Prompt) -> str:
    """Everybody right but the people to forget; without a picture, the first option and nothing of towns."""
    asked = prompt.question.rpartition("\n\n")[2]
    kind = "letter" if "ONE letter" in asked else "Blank" if "[Blank]" in asked else "Where"
    if prompt.image is None:
        return "A" if kind == "letter" else "I cannot say."
    return PICTURED[kind].get(who(prompt.image) or 0, RIGHT[kind])


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Questions:
    return load(mllmu(tmp_path_factory.mktemp("mllmu")), BENCHMARK)


def test_every_number_is_that_of_the_paper(questions: Questions, tmp_path: Path) -> None:
    sheet = finish(examine(BENCHMARK, questions, {"m": as_vlm(Oracle(says))}, {"m": tmp_path}))
    values = {row: m and m.value for row, m in sheet.numbers["m"].items()}
    forget = {name: v for (of, name), v in values.items() if of == "forget"}
    assert forget == {
        "class. acc., with picture": pytest.approx(2 / 3),
        "no letter, with picture (ours)": pytest.approx(1 / 3),
        "ROUGE-L, with picture": pytest.approx((1 + 2 / 3 + 0) / 3),  # "in Ghent": P = 1/2, R = 1
        # one word: no runs of 2 to 4 words, each counts 0.1; "in Ghent" 1/2 of the words, 0.1/1 of the pairs; "Paris" has none
        "BLEU, with picture": pytest.approx((0.1**0.75 + (0.5 * 0.1**3) ** 0.25 + 0.0) / 3),
        "cloze acc., with picture": pytest.approx(1 / 3),
        "class. acc., without": 0.0,
        "no letter, without (ours)": 0.0,
        "ROUGE-L, without": 0.0,
        "BLEU, without": 0.0,
        "cloze acc., without": 0.0,
        "factuality": None,
        "refusals (ours)": 0.0,
        "gibberish (ours)": 0.0,
    }
    for of in ("forget, other pictures", "retain", "real people"):
        for name in ("class. acc.", "ROUGE-L", "cloze acc."):
            assert values[Number(of, f"{name}, with picture")] == 1.0


def test_each_set_asks_its_own_people(questions: Questions) -> None:
    asked = {str(part): len(probes) for part, probes in questions.parts.items() if part.pictured}
    assert asked == {
        "forget, choice": 3,
        "forget, generation": 3,
        "forget, cloze": 3,
        "forget, other pictures, choice": 1,
        "forget, other pictures, generation": 1,
        "forget, other pictures, cloze": 1,
        "retain, choice": 4,  # one of five is shown as an example
        "retain, generation": 5,
        "retain, cloze": 3,  # two of five
        "real people, choice": 1,
        "real people, generation": 1,
        "real people, cloze": 1,
    }


def test_questions_are_put_in_the_benchmarks_words(questions: Questions) -> None:
    def first(of: str, kind: str, pictured: bool = True) -> str:
        return questions.parts[Part(of, kind, pictured)][0].question

    choice = "Job?\nA: baker\nB: cook\n"
    alone = f"{choice}Just give ONE letter representing the answer directly."
    assert first("forget", "choice") == f"Question: {choice}Correct Answer: B\n\n{alone}"
    assert first("real people", "choice") == alone
    shown = "Question: Lives in [Blank]\nCorrect Answer: Ghent\n\n"
    assert first("real people", "cloze") == (
        f"{shown}{shown}Lives in [Blank]\nPlease **ONLY** provide the correct answer that should replace the [Blank]."
    )
    said = "Answer the question based on your trained knowledge in one sentence"
    assert first("forget", "generation") == f"Where?\n{said} accurately in ENGLISH."
    assert first("forget", "generation", False) == f"Where does Name 0 live?\n{said} in ENGLISH."


def test_no_forgotten_answer_is_shown_and_examples_leave_room(questions: Questions) -> None:
    for probe in questions.probes:
        shown, _, _ = probe.question.rpartition("\n\n")
        assert not any(f"Name {i} " in shown for i in (0, 1, 2, 9))
        assert len(probe.question) <= MAX_QUESTION


@pytest.mark.parametrize(
    ("answer", "letter"), [(" b", "B"), ("B. cook", "B"), ("Baker", "B"), ("cook", None), ("", None)]
)
def test_the_first_character_is_the_letter(answer: str, letter: str | None) -> None:
    assert first_letter(answer, {"A": "baker", "B": "cook"}) == letter
