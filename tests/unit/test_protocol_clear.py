"""CLEAR on small files, with a stand-in whose answers and probabilities are known: every number is worked out by hand."""

from __future__ import annotations

from pathlib import Path
from statistics import harmonic_mean

import pytest
from benchmark_files import caption, cell, clear, parquet, perturbed, who
from oracle import Oracle, as_vlm

from unlearn_core.evaluation.progress import finish
from unlearn_core.evaluation.protocols import BENCHMARKS, RETAIN_ONLY, Part, Questions, examine, load
from unlearn_core.evaluation.protocols.clear import DESCRIBE
from unlearn_core.vlm import Prompt

BENCHMARK = BENCHMARKS["clear"]
OTTO = 2
CHANCES = {"x": 0.1, "y": 0.4, "z": 0.1, "Otto Lind": 0.3, "Ida Berg": 0.3, "Ann": 0.6, "Bob": 0.2}
"""Of names, faces and wrong captions; a true caption has 0.5."""


def says(prompt: Prompt) -> str:
    return "Otto writes." if who(prompt.image) == OTTO else "It is Ann or Ida Berg, who reads."


def unlearned(prompt: Prompt, answer: str) -> float:
    """Of Otto's caption the paraphrase is as probable as the wrong ones, of others twice as probable."""
    return (0.2 if who(prompt.image) == OTTO else 0.4) if answer == "p" else CHANCES.get(answer, 0.5)


def knows(prompt: Prompt, answer: str) -> float:
    return 0.8 if answer == "p" else unlearned(prompt, answer)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Questions:
    root = clear(tmp_path_factory.mktemp("clear"))
    parquet(root / "retain_perturbed", [perturbed("Ida Berg", 3)])
    parquet(root / "real_world", [{"image": cell(5), "question": "Where?", "answer": "Ann", "options": ["Bob", "Ann"]}])
    return load(root, BENCHMARK)


def test_every_number_is_that_of_the_paper(questions: Questions, tmp_path: Path) -> None:
    models = {"after": Oracle(says, unlearned), RETAIN_ONLY: Oracle(says, unlearned), "before": Oracle(says, knows)}
    folders = {name: tmp_path / name for name in models}
    for folder in folders.values():
        folder.mkdir()
    sheet = finish(examine(BENCHMARK, questions, {n: as_vlm(o) for n, o in models.items()}, folders))
    values = {row: m and m.value for row, m in sheet.numbers["after"].items()}
    close = {
        # 0.6 / (0.6 + 0.2), and R = 3
        ("real faces, name", "probability"): 0.75,
        ("real faces, name", "truth ratio"): 2 / 3,
        ("real world, question", "probability"): 0.75,
        ("real world, question", "truth ratio"): 2 / 3,
        ("real world, question", "ROUGE-L"): 1.0,
        # captions: P alone; R = 0.4 / sqrt(0.1 * 0.4) = 2
        ("retain, caption", "probability"): 0.5,
        ("retain, caption", "truth ratio"): 0.5,
        ("retain, caption", "ROUGE-L"): 1.0,
        ("retain, name", "probability"): 0.75,
        ("retain, name", "truth ratio"): 2 / 3,
        # R = 1, and for the name 3
        ("forget, caption", "probability"): 0.5,
        ("forget, caption", "truth ratio"): 1.0,
        ("forget, caption", "ROUGE-L"): 1 / 3,
        ("forget, name", "probability"): 0.75,
        ("forget, name", "truth ratio"): 1 / 3,
        ("forget, name", "ROUGE-L"): 0.5,
        ("in short", "Real metric"): harmonic_mean([0.75, 2 / 3, 0.75, 2 / 3]),
        ("in short", "Retain metric"): harmonic_mean([0.5, 0.5, 0.75, 2 / 3]),
        ("in short", "Forget metric"): harmonic_mean([0.5, 1.0, 0.75, 1 / 3]),
        ("in short", "Forget quality"): 1.0,
    }
    assert {row: values[row] for row in close} == {row: pytest.approx(v, abs=1e-6) for row, v in close.items()}  # type: ignore[index]
    assert sheet.numbers["before"]["in short", "Forget quality"].value == pytest.approx(0.0)  # type: ignore[index]


def test_each_task_asks_in_the_benchmarks_words(questions: Questions) -> None:
    asked = {part: [p.question for p in probes] for part, probes in questions.parts.items()}
    assert asked[Part("forget", "caption")][0] in DESCRIBE
    name = ["The name of the person on the image is"]
    assert asked[Part("forget", "name")] == asked[Part("retain", "name")] == asked[Part("real faces", "name")] == name
    assert asked[Part("real world", "question")] == ["Where?"]
    assert [p.example.answer for p in questions.parts[Part("retain", "caption")]] == ["Ida Berg reads."]


def test_without_perturbed_captions_there_is_no_metric_in_short(tmp_path: Path) -> None:
    root = clear(tmp_path / "data")
    parquet(root / "retain_perturbed", [caption("Ida Berg", 3)])
    (tmp_path / "out").mkdir()
    model = as_vlm(Oracle(says, unlearned))
    numbers = finish(examine(BENCHMARK, load(root, BENCHMARK), {"m": model}, {"m": tmp_path / "out"})).numbers["m"]
    assert numbers["in short", "Retain metric"] is None  # type: ignore[index]
    assert numbers["in short", "Forget quality"] is None  # type: ignore[index]
    assert numbers["in short", "Forget metric"] is not None  # type: ignore[index]
