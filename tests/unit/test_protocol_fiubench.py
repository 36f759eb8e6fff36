"""FIUBench on small files, with a stand-in whose answers and probabilities are known: every number is worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmark_files import fiubench, who
from oracle import Oracle, as_vlm

from unlearn_core.data.errors import BadFile
from unlearn_core.evaluation.progress import finish
from unlearn_core.evaluation.protocols import BENCHMARKS, RETAIN_ONLY, Number, Sheet, examine, load
from unlearn_core.evaluation.protocols.fiubench import first_sentence
from unlearn_core.vlm import Prompt

BENCHMARK = BENCHMARKS["fiubench"]
SAYS = {
    (0, "job"): "Baker. And more.",
    (0, "a?"): "baker",
    (0, "b?"): "None. A baker, rather.",
    (0, "c?"): "a baker",
    (2, "job"): "Baker in Ghent",
    (3, "job"): "A cook in Ghent. Baker.",
}
"""Person 1 has nothing to say."""
CHANCES = {"Baker in Ghent": 0.5, "Bakes in Ghent": 0.4, "Cook in Ghent": 0.1, "Nurse in Ghent": 0.4}


def says(prompt: Prompt) -> str:
    asked = prompt.question if prompt.question.endswith("?") and len(prompt.question) == 2 else "job"
    return SAYS.get((who(prompt.image) or 0, asked), "I do not know.")


def knows(prompt: Prompt, answer: str) -> float:
    return CHANCES[answer]


def never_saw(prompt: Prompt, answer: str) -> float:
    return 0.1 if answer == "Bakes in Ghent" else CHANCES[answer]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people to forget, two to measure on, two others."""
    lists = {"forget1": range(1), "forget5": range(2), "forget10": range(2), "retain5": range(2, 4)}
    return fiubench(tmp_path_factory.mktemp("fiubench"), 6, lists)


def table(data: Path, folder: Path, models: dict[str, Oracle], **options: int) -> Sheet:
    questions = load(data, BENCHMARK, "forget5", **options)
    folders = {name: folder / name for name in models}
    for path in folders.values():
        path.mkdir(exist_ok=True)
    vlms = {name: as_vlm(oracle) for name, oracle in models.items()}
    return finish(examine(BENCHMARK, questions, vlms, folders, batch_size=2))


def test_every_number_is_that_of_the_paper(data: Path, tmp_path: Path) -> None:
    sheet = table(data, tmp_path, {"before": Oracle(says, knows), RETAIN_ONLY: Oracle(says, never_saw)})
    values = {row: m and m.value for row, m in sheet.numbers["before"].items()}
    # ROUGE-L recall of the first sentence: "Baker in Ghent" 3/3, "A cook in Ghent." 2/3; EM on retain: 1 and 0
    # R = 0.4 / sqrt(0.1 * 0.4) = 2: prefers the truth by 1 - 1/2
    stays = {"ROUGE-L": 5 / 6, "probability": 0.5, "truth ratio": 0.5, "EM": 0.5}
    utility = 4 / sum(1 / v for v in stays.values())
    assert values == {
        **{Number("retain5", name): pytest.approx(v, abs=1e-6) for name, v in stays.items()},
        Number("retain5", "GPT-eval"): None,
        Number("retain5", "ACC"): None,
        Number("retain5", "utility"): pytest.approx(utility, abs=1e-6),
        # two ratios of 2 against two of 0.5: one of three ways to split four apart
        Number("forget", "KS-test, p"): pytest.approx(1 / 3),
        Number("forget", "KS-test, D"): 1.0,
        Number("forget", "EM"): 0.5,
        Number("forget", "EM, whole words (ours)"): 0.5,
        Number("forget", "MIA"): pytest.approx(0.5, abs=1e-6),
        # person 0: "baker" in two of three first sentences; person 1: in none
        Number("forget", "APE"): pytest.approx(1 / 3),
        Number("forget", "APE, worst wording (ours)"): 0.5,
        Number("forget", "refusals (ours)"): 0.5,
        Number("forget", "gibberish (ours)"): 0.0,
    }
    assert sheet.numbers[RETAIN_ONLY][Number("forget", "KS-test, D")].value == 0.0  # type: ignore[union-attr]
    assert set(sheet.missing) == {row.name for row, v in values.items() if v is None}
    assert sheet.asked == {"forget, questions": 2, "forget, other words": 6, "retain5, questions": 2}


def test_without_a_retain_only_model_there_is_no_ks_test(data: Path, tmp_path: Path) -> None:
    numbers = table(data, tmp_path, {"before": Oracle(says, knows)}).numbers["before"]
    assert numbers[Number("forget", "KS-test, p")] is None


def test_what_was_asked_is_not_asked_again(data: Path, tmp_path: Path) -> None:
    first, second = Oracle(says, knows), Oracle(says, knows)
    before = table(data, tmp_path, {"before": first})
    again = table(data, tmp_path, {"before": second})
    assert (len(first.asked), len(second.asked)) == (10, 0)
    assert set(first.lengths) == {50}
    assert again.numbers == before.numbers


def test_a_limit_is_of_questions_and_their_wordings_stay_whole(data: Path) -> None:
    questions = load(data, BENCHMARK, "forget5", limit=1)
    assert [len(probes) for probes in questions.parts.values()] == [1, 3, 1]


def test_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="not the files of FIUBench"):
        load(tmp_path, BENCHMARK)


@pytest.mark.parametrize(
    ("answer", "kept"), [("A. B.", "A."), ("no stop", "no stop"), ("", ""), ("St. Ives", "St."), (".", ".")]
)
def test_first_sentence(answer: str, kept: str) -> None:
    assert first_sentence(answer) == kept
