"""Ask a model once, write down what it said and how probable it finds given answers, and measure from that ever after.

Records are yielded batch by batch and can be kept in a file of JSON lines, one record each, so that a long collection can be
stopped and taken up again. Batches are always cut at the same places: padding changes the last digits of a probability, and
a collection that was taken up again must not differ from one that ran through.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearn_core.data.example import Example
from unlearn_core.evaluation.errors import NotFinite, RecordsDamaged
from unlearn_core.vlm import VLM, Answer, Prompt
from unlearn_core.vlm.errors import BadRequest, StorageFailed
from unlearn_core.vlm.model import MAX_NEW_TOKENS

Role = Literal["true", "paraphrased", "perturbed"]
BATCH = 32


@dataclass(frozen=True, eq=False)
class Probe:
    """An example with other answers to its question, and other forms of the question.

    Args:
        paraphrased: the true answer in other words.
        perturbed: wrong answers of the same form.
        rephrased: the question in other words, for attacks.
        options: text of each letter of a multiple choice. They are asked with the question, the true answer is a letter then,
            and the other letters take the place of `paraphrased` and `perturbed`.

    Raises:
        BadRequest: no option, or more than one, is the example's answer.
    """

    example: Example
    paraphrased: str | None = None
    perturbed: tuple[str, ...] = ()
    rephrased: tuple[str, ...] = ()
    options: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.options is not None and list(self.options.values()).count(self.example.answer) != 1:
            raise BadRequest(
                f"The options of question '{self.example.id}' do not hold its true answer exactly once. Please correct the data."
            )

    @property
    def question(self) -> str:
        """As it is asked: with the options, each on a line, where there are some."""
        lines = (f"{letter}. {text}" for letter, text in (self.options or {}).items())
        return "\n".join([self.example.question, *lines])

    @property
    def prompt(self) -> Prompt:
        return Prompt(self.example.image, self.question)

    @property
    def truth(self) -> str:
        """The true answer to `question`: the example's, or its letter."""
        letters = (letter for letter, text in (self.options or {}).items() if text == self.example.answer)
        return next(letters, self.example.answer)

    def candidates(self) -> tuple[tuple[Role, str], ...]:
        """All given answers, the true one first."""
        if self.options is not None:
            others = (letter for letter in self.options if letter != self.truth)
            return (("true", self.truth), *(("perturbed", letter) for letter in others))
        other: tuple[tuple[Role, str], ...] = () if self.paraphrased is None else (("paraphrased", self.paraphrased),)
        return (("true", self.truth), *other, *(("perturbed", text) for text in self.perturbed))


@dataclass(frozen=True)
class Scored:
    """A given answer as the model finds it; one number per token, the end-of-text token last.

    Args:
        logprobs: natural logarithm of the token's probability given the true tokens before it.
        means, stds: mean and standard deviation of that logarithm over the vocabulary, weighted by probability, in nats.
        greedy: whether the token is the most probable one at its place.
    """

    role: Role
    text: str
    logprobs: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    greedy: tuple[bool, ...]


@dataclass(frozen=True)
class Record:
    """What one model makes of one example.

    Args:
        subject, kind: those of the example, to group by.
        answer: what the model says by itself (greedy).
        answer_logprobs: natural logarithm of the probability of each of its tokens, without the end of text.
        candidates: the given answers, the true one first.
    """

    id: str
    subject: str | None
    kind: str
    question: str
    answer: str
    answer_logprobs: tuple[float, ...]
    candidates: tuple[Scored, ...]

    @property
    def true(self) -> Scored:
        return self.candidates[0]

    @property
    def paraphrased(self) -> Scored | None:
        return next((c for c in self.candidates if c.role == "paraphrased"), None)

    @property
    def perturbed(self) -> tuple[Scored, ...]:
        return tuple(c for c in self.candidates if c.role == "perturbed")


# -- asking -----------------------------------------------------------------------------------------------------------


def collect(
    vlm: VLM,
    probes: Sequence[Probe],
    batch_size: int = BATCH,
    done: int = 0,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> Iterator[list[Record]]:
    """Records of each batch of probes in turn.

    Args:
        done: so many probes, a multiple of `batch_size`, have their records already and are left out.
        max_new_tokens: where an answer ends at the latest.
    """
    if done % batch_size and done < len(probes):
        raise ValueError("a collection is taken up again where a batch begins")
    for at in range(done, len(probes), batch_size):
        yield _batch(vlm, probes[at : at + batch_size], batch_size, max_new_tokens)


def _batch(vlm: VLM, probes: Sequence[Probe], batch_size: int, max_new_tokens: int) -> list[Record]:
    """A given answer that is word for word the model's own costs no pass: its numbers came with the answer."""
    prompts = [p.prompt for p in probes]
    answers = vlm.ask(prompts, logits=True, batch_size=batch_size, max_new_tokens=max_new_tokens)
    asked: list[tuple[Prompt, Role, str]] = [
        (prompt, role, text) for prompt, p in zip(prompts, probes, strict=True) for role, text in p.candidates()
    ]
    own = [
        _own(vlm, answer, role, text)
        for answer, p in zip(answers, probes, strict=True)
        for role, text in p.candidates()
    ]
    answers = [replace(answer, logits=None) for answer in answers]  # what comes now wants their room
    rest = score_candidates(vlm, [given for given, mine in zip(asked, own, strict=True) if mine is None], batch_size)
    scored = iter([mine or next(rest) for mine in own])
    return [
        Record(
            p.example.id,
            p.example.subject,
            p.example.kind,
            p.question,
            answer.text,
            answer.logprobs,
            tuple(next(scored) for _ in p.candidates()),
        )
        for p, answer in zip(probes, answers, strict=True)
    ]


def _own(vlm: VLM, answer: Answer, role: Role, text: str) -> Scored | None:
    """A given answer as the model finds it, if it is its own to the end of the text; else None."""
    target = vlm.answer_ids(text)
    if answer.logits is None or list(answer.ids) != target[:-1] or len(answer.logits) != len(target):
        return None
    scored = _scored(role, text, answer.logits, torch.tensor(target))
    return scored if all(scored.greedy) else None


@torch.no_grad()
def score_candidates(vlm: VLM, asked: Sequence[tuple[Prompt, Role, str]], batch_size: int = BATCH) -> Iterator[Scored]:
    """What `VLM.score` gives, and with it what the vocabulary looks like at each place."""
    for at in range(0, len(asked), batch_size):
        part = asked[at : at + batch_size]
        batch = vlm.batch([prompt for prompt, _, _ in part], [vlm.answer_ids(text) for _, _, text in part])
        logits = vlm.answer_logits(batch, vlm.tokens(batch))
        for row, target, (_, role, text) in zip(logits, batch.targets or (), part, strict=True):
            yield _scored(role, text, row[-len(target) :], target)


def _scored(role: Role, text: str, logits: Float[Tensor, "t v"], target: Int[Tensor, " t"]) -> Scored:
    logprobs = logits.float().log_softmax(-1)
    means, stds = vocabulary_moments(logprobs)
    target = target.to(logits.device)
    chosen = logprobs.gather(-1, target[:, None])[:, 0]
    greedy = logits.argmax(-1) == target
    return Scored(role, text, *(tuple(x.tolist()) for x in (chosen, means, stds, greedy)))


def vocabulary_moments(logprobs: Float[Tensor, "t v"]) -> tuple[Float[Tensor, " t"], Float[Tensor, " t"]]:
    """Mean and standard deviation of log p at each place, weighted by p, in nats; impossible tokens have no weight."""
    p = logprobs.exp()
    log_p = logprobs.masked_fill(p == 0, 0.0)
    mean = (p * log_p).sum(-1)
    variance = (p * (log_p - mean[:, None]).square()).sum(-1)
    return mean, variance.sqrt()


# -- files ------------------------------------------------------------------------------------------------------------


def collect_to(
    path: Path, vlm: VLM, probes: Sequence[Probe], batch_size: int = BATCH, max_new_tokens: int = MAX_NEW_TOKENS
) -> Iterator[list[Record]]:
    """As `collect`, keeping a file of the records. What the file holds already is yielded first and not asked again.

    A batch that was not written to its end is asked once more. The file must be of this model, batch size and
    length of answers; only the questions and given answers are checked.

    Raises:
        RecordsDamaged: the file cannot be read or has records of other questions.
        StorageFailed: it cannot be written. NotFinite: the model gives probabilities that are no numbers.
    """
    whole = read_records(path) if path.exists() else []
    done = len(probes) if len(whole) == len(probes) else len(whole) // batch_size * batch_size
    _require_same(whole, probes)
    _rewrite(path, whole[:done])  # also takes off a last line that was cut off
    for at in range(0, done, batch_size):
        yield whole[at : min(at + batch_size, done)]
    for part in collect(vlm, probes, batch_size, done, max_new_tokens):
        _append(path, part)
        yield part


def _require_same(records: Sequence[Record], probes: Sequence[Probe]) -> None:
    if len(records) > len(probes) or any(map(_differs, records, probes)):
        raise RecordsDamaged(
            "The file holds answers to other questions than these. Please choose another file, or remove this one to begin anew."
        )


def _differs(record: Record, probe: Probe) -> bool:
    here = (record.id, record.question, tuple((c.role, c.text) for c in record.candidates))
    return here != (probe.example.id, probe.question, probe.candidates())


def _rewrite(path: Path, records: Sequence[Record]) -> None:
    """Leave just these records, or the file as it was."""
    new = path.with_name(path.name + ".new")
    with _storing():
        new.write_text("".join(map(to_line, records)), encoding="ascii")
        os.replace(new, path)


def _append(path: Path, records: Sequence[Record]) -> None:
    with _storing(), path.open("a", encoding="ascii") as file:
        file.write("".join(map(to_line, records)))


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"The records could not be written: {error.strerror}. What was written before is kept; please make room or "
            "choose another folder and start again."
        ) from error


def to_line(record: Record) -> str:
    """One line of ASCII JSON; numbers survive to the last digit. Raises NotFinite for probabilities that are no numbers."""
    try:
        return json.dumps(asdict(record), allow_nan=False) + "\n"
    except ValueError as error:
        raise NotFinite("The records cannot be kept") from error


def read_records(path: Path) -> list[Record]:
    """All whole lines of a file of records; a last line that was cut off is left out.

    Raises:
        RecordsDamaged: a line is no record.
    """
    try:
        lines = path.read_bytes().decode("ascii").split("\n")[:-1]
        return [from_line(line) for line in lines]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordsDamaged(
            f"The file {path.name} holds a line that is no record. Please remove the file and ask the model again."
        ) from error


def from_line(line: str) -> Record:
    """The record of one line. Raises ValueError, KeyError or TypeError if it is none."""
    data = _object(json.loads(line), Record)
    candidates = data["candidates"]
    if not isinstance(candidates, list) or not candidates:
        raise ValueError("a record has at least the true answer")
    return Record(
        id=_text(data["id"]),
        subject=None if data["subject"] is None else _text(data["subject"]),
        kind=_text(data["kind"]),
        question=_text(data["question"]),
        answer=_text(data["answer"]),
        answer_logprobs=_numbers(data["answer_logprobs"]),
        candidates=tuple(map(_candidate, candidates)),
    )


def _candidate(value: Any) -> Scored:
    data = _object(value, Scored)
    if data["role"] not in get_args(Role) or not all(isinstance(hit, bool) for hit in data["greedy"]):
        raise ValueError("no candidate")
    lists = [_numbers(data[k]) for k in ("logprobs", "means", "stds")]
    if len({len(x) for x in (*lists, data["greedy"])}) > 1:
        raise ValueError("each token has one of every number")
    return Scored(data["role"], _text(data["text"]), *lists, greedy=tuple(data["greedy"]))


def _object(value: Any, kind: type) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != {f.name for f in fields(kind)}:
        raise ValueError(f"no {kind.__name__.lower()}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(isinstance(x, float) and math.isfinite(x) for x in value):
        raise ValueError("no finite numbers")
    return tuple(value)
