"""One pass over questions and given answers: the same numbers as `VLM.score`, also when it is stopped and taken up again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.distributions import Categorical

from unlearn_core.data.example import Example
from unlearn_core.demo.request import forget_request
from unlearn_core.evaluation.collect import (
    Probe,
    Record,
    Scored,
    collect,
    collect_to,
    from_line,
    read_records,
    score_candidates,
    to_line,
    vocabulary_moments,
)
from unlearn_core.evaluation.errors import NotFinite, RecordsDamaged
from unlearn_core.evaluation.metrics.likelihood import log_truth_ratio, probability
from unlearn_core.evaluation.metrics.membership import min_k_plus_plus
from unlearn_core.evaluation.metrics.memory import exact_memorisation
from unlearn_core.vlm import VLM
from unlearn_core.vlm.batch import Batch
from unlearn_core.vlm.errors import StorageFailed

Picture = Callable[..., Image.Image]


@pytest.fixture
def probes(picture: Picture) -> list[Probe]:
    """Five questions, two of them without a picture, with none to three other answers each."""
    return [
        Probe(
            Example(str(i), picture(i) if i % 2 else None, f"Who is number {i}?", "a baker\u00e9", f"p{i}", "private"),
            "baker by trade" if i else None,
            ("teacher", "a very old nurse", "x")[: i % 4],
        )
        for i in range(5)
    ]


def flat(parts: list[list[Record]]) -> list[Record]:
    return [r for part in parts for r in part]


def test_numbers_are_those_of_score(sharp_vlm: VLM, probes: list[Probe]) -> None:
    records = flat(list(collect(sharp_vlm, probes, batch_size=3)))
    assert [(r.id, r.subject, r.kind, r.question) for r in records] == [
        (p.example.id, p.example.subject, p.example.kind, p.example.question) for p in probes
    ]
    asked = [(p.example.prompt, text) for p in probes for _, text in p.candidates()]
    scored = sharp_vlm.score([a[0] for a in asked], [a[1] for a in asked])
    found = [c for r in records for c in r.candidates]
    assert [c.text for c in found] == [text for _, text in asked]
    for candidate, expected in zip(found, scored, strict=True):
        torch.testing.assert_close(torch.tensor(candidate.logprobs), expected, rtol=1e-4, atol=1e-4)
    alone = sharp_vlm.ask([p.example.prompt for p in probes])
    assert [r.answer for r in records] == [a.text for a in alone]


def test_one_batch_gives_exactly_what_score_gives(tiny_vlm: VLM, probes: list[Probe]) -> None:
    (records,) = collect(tiny_vlm, probes[:2])
    asked = [(p.example.prompt, text) for p in probes[:2] for _, text in p.candidates()]
    scored = tiny_vlm.score([a[0] for a in asked], [a[1] for a in asked])
    assert [list(c.logprobs) for r in records for c in r.candidates] == [s.tolist() for s in scored]


def test_a_given_answer_that_is_the_models_own_costs_no_pass(demo_vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [e for e in forget_request(("p07",)).forget if e.image is not None][:6]
    own = demo_vlm.ask([e.prompt for e in asked])
    probes = [Probe(dataclasses.replace(e, answer=a.text), None, ("teacher",)) for e, a in zip(asked, own, strict=True)]
    passed: list[int] = []
    logits = VLM.answer_logits

    def counted(vlm: VLM, batch: Batch, tokens: list[torch.Tensor]) -> torch.Tensor:
        passed.append(len(batch))
        return logits(vlm, batch, tokens)

    monkeypatch.setattr(VLM, "answer_logits", counted)
    records = flat(list(collect(demo_vlm, probes)))
    assert sum(passed) == len(probes), "only what the model would not say"
    monkeypatch.undo()
    taught = score_candidates(demo_vlm, [(p.prompt, "true", p.truth) for p in probes])
    for record, expected in zip(records, taught, strict=True):
        for field in ("logprobs", "means", "stds"):
            found, given = (torch.tensor(getattr(scored, field)) for scored in (record.true, expected))
            torch.testing.assert_close(found, given, rtol=1e-3, atol=1e-4)
        assert record.true.greedy == expected.greedy


def test_greedy_hits_and_moments_are_those_of_the_vocabulary(sharp_vlm: VLM, probes: list[Probe]) -> None:
    (record,) = flat(list(collect(sharp_vlm, probes[1:2])))
    target = sharp_vlm.answer_ids(record.true.text)
    batch = sharp_vlm.batch([probes[1].example.prompt], [target])
    logprobs = sharp_vlm.answer_logits(batch, sharp_vlm.tokens(batch))[0].float().log_softmax(-1).detach()
    assert list(record.true.greedy) == [int(row.argmax()) == t for row, t in zip(logprobs, target, strict=True)]
    entropy = Categorical(logits=logprobs).entropy()
    torch.testing.assert_close(torch.tensor(record.true.means), -entropy, rtol=1e-4, atol=1e-4)
    second = (logprobs.exp() * logprobs**2).sum(-1)
    expected = (second - entropy**2).clamp(min=0).sqrt()
    torch.testing.assert_close(torch.tensor(record.true.stds), expected, rtol=1e-3, atol=1e-3)


def test_moments_by_hand() -> None:
    # p = 3/4, 1/4: mean = 3/4 ln 3/4 + 1/4 ln 1/4; deviation = (3/16) ** (1/2) * ln 3
    mean, std = vocabulary_moments(torch.tensor([[0.75, 0.25, 0.0]]).log())
    assert float(mean) == pytest.approx(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(std) == pytest.approx(math.sqrt(3 / 16) * math.log(3))
    sure = vocabulary_moments(torch.tensor([[1.0, 0.0]]).log())
    assert [float(x) for x in sure] == [0.0, 0.0]


def test_metrics_are_computed_from_records_alone(tiny_vlm: VLM, probes: list[Probe]) -> None:
    records = flat(list(collect(tiny_vlm, probes)))
    assert probability([r.true.logprobs for r in records]).count == 5
    assert exact_memorisation([r.true.greedy for r in records]).count == 5
    assert all(min_k_plus_plus(r.true.logprobs, r.true.means, r.true.stds) is not None for r in records)
    ratios = [
        log_truth_ratio(
            r.paraphrased.logprobs if r.paraphrased else [], [c.logprobs for c in r.perturbed], "right/wrong"
        )
        for r in records
    ]
    assert [r is None for r in ratios] == [True, False, False, False, True]  # no paraphrase, or nothing perturbed


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_collection_that_is_stopped_and_taken_up_again_is_the_same(
    tiny_vlm: VLM, probes: list[Probe], tmp_path: Path
) -> None:
    through = tmp_path / "through.jsonl"
    whole = flat(list(collect_to(through, tiny_vlm, probes, batch_size=2)))
    assert read_records(through) == whole
    for lines in range(6):
        stopped = tmp_path / f"{lines}.jsonl"
        kept = through.read_bytes().splitlines(keepends=True)[:lines]
        stopped.write_bytes(b"".join(kept) + b'{"id": "cut o')
        parts = list(collect_to(stopped, tiny_vlm, probes, batch_size=2))
        assert [len(p) for p in parts] == [2, 2, 1]
        assert flat(parts) == whole
        assert stopped.read_bytes() == through.read_bytes()


def test_what_is_in_the_file_is_not_asked_again(tiny_vlm: VLM, probes: list[Probe], tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    running = collect_to(path, tiny_vlm, probes, batch_size=2)
    next(running)
    running.close()
    changed = [dataclasses.replace(r, answer="kept") for r in read_records(path)]
    path.write_text("".join(map(to_line, changed)))
    again = flat(list(collect_to(path, tiny_vlm, probes, batch_size=2)))
    assert [r.answer == "kept" for r in again] == [True, True, False, False, False]


def test_records_of_other_questions_are_refused_and_kept(tiny_vlm: VLM, probes: list[Probe], tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    list(collect_to(path, tiny_vlm, probes))
    before = path.read_bytes()
    for other in (probes[::-1], probes[:3], [dataclasses.replace(p, perturbed=("y",)) for p in probes]):
        with pytest.raises(RecordsDamaged, match="other questions"):
            list(collect_to(path, tiny_vlm, other))
    assert path.read_bytes() == before


RECORD = Record(
    "1", None, "private", "Who?", "\u00e9", (-0.1,), (Scored("true", "x", (-0.1,), (-1.0,), (0.5,), (True,)),)
)


def test_lines_survive_to_the_last_digit() -> None:
    record = dataclasses.replace(RECORD, answer_logprobs=(-1 / 3, -1e-300, -0.0))
    assert from_line(to_line(record)) == record
    assert to_line(record).isascii()


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1},
        {"extra": "x"},
        {"candidates": []},
        {"candidates": {}},
        {"candidates": [3]},
        {"answer_logprobs": [True]},
        {"answer_logprobs": ["-1"]},
        {"answer_logprobs": None},
    ],
)
def test_lines_that_are_no_records_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(json.loads(to_line(RECORD)) | change) + "\n")
    with pytest.raises(RecordsDamaged, match=r"records\.jsonl"):
        read_records(path)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "judge"},
        {"greedy": [1]},
        {"greedy": []},
        {"greedy": 3},
        {"means": []},
        {"logprobs": [math.inf]},
        {"text": None},
    ],
)
def test_candidates_that_are_none_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    data = json.loads(to_line(RECORD))
    data["candidates"][0] |= change
    path.write_text(json.dumps(data) + "\n")
    with pytest.raises(RecordsDamaged):
        read_records(path)


@pytest.mark.parametrize("content", [b"\xff\n", b"[" * 100_000 + b"\n", b"null\n", b"\n"])
def test_files_of_something_else_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(RecordsDamaged):
        read_records(tmp_path / "x")


def test_broken_probabilities_are_not_written() -> None:
    with pytest.raises(NotFinite, match="cannot be kept"):
        to_line(dataclasses.replace(RECORD, answer_logprobs=(math.nan,)))


def test_a_folder_that_is_not_there_is_told(tiny_vlm: VLM, probes: list[Probe], tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="could not be written"):
        list(collect_to(tmp_path / "none" / "x", tiny_vlm, probes))


def test_taking_up_in_the_middle_of_a_batch_is_refused(tiny_vlm: VLM, probes: list[Probe]) -> None:
    with pytest.raises(ValueError, match="where a batch begins"):
        list(collect(tiny_vlm, probes, batch_size=2, done=3))
    assert list(collect(tiny_vlm, probes, batch_size=2, done=5)) == []
