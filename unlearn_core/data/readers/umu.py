"""UMU-bench: the same questions with and without the picture, in parquet tables whose cells are Python literals."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example
from unlearn_core.data.readers import fields
from unlearn_core.data.readers.base import usable
from unlearn_core.data.readers.fields import Record, Unusable
from unlearn_core.data.readers.parquet import parquet_files, parquet_records
from unlearn_core.data.readers.row import Dropped, Row, Side
from unlearn_core.data.readers.source import Source

RETAIN = {"forget_5": "retain_95", "forget_10": "retain_90", "forget_15": "retain_85"}
TASKS = {"Classify": "choice", "Cloze": "cloze", "Generation": "generation"}
MODES = {"unimodal": True, "multimodal": False, "muitimodal": False}
"""Whether a group is asked without the picture. The last spelling is that of the data."""
IMAGE, TEXT = "image", "text"
"""Ends of the ids of the same question asked with and without the picture."""
MAX_LITERAL = 200_000
"""Characters of a cell; what Python makes of one takes a few hundred times as many bytes while it is parsed."""


class UMUBench:
    """The chosen forget set and its retain set; `Real_Person_Set`, where it is there, is for tests."""

    name = "umu"
    about = "UMU-bench: folders forget_5, retain_95, Real_Person_Set and so on with parquet tables."
    splits = tuple(RETAIN)

    def recognises(self, source: Source) -> bool:
        folders = {part for n in source.names if n.endswith(".parquet") for part in n.split("/")[:-1]}
        return bool(folders & {"Real_Person_Set", "full_data"}) or (
            bool(folders & set(RETAIN)) and not folders & {"Test_Set", "ft_Data"}
        )

    def read(self, source: Source, split: str) -> Iterator[Row | Dropped]:
        if not parquet_files(source, split):
            raise BadFile(f"The folder {split} is missing. Please download it too.", source.label)
        sides: dict[str, Side] = {split: "forget", RETAIN[split]: "retain", "Real_Person_Set": "test"}
        for folder, side in sides.items():
            for name in parquet_files(source, folder):
                yield from _rows(source, name, folder, side)


def _rows(source: Source, name: str, folder: str, side: Side) -> Iterator[Row | Dropped]:
    def make(line: int, record: Record) -> Iterator[Row]:
        who = fields.text(record.get("ID"), "ID")
        for key, kind, pure, texts in _asked(record):
            if not pure and record.get("image") is None:
                raise Unusable("its picture is missing")
            own = f"{folder}:{who}-{kind}-{key}-{TEXT if pure else IMAGE}"
            example = Example(own, None, subject=who, kind=kind, **texts)
            yield Row(example, None if pure else record["image"], side, name, line)

    return usable(parquet_records(source, name, ("image",)), name, make)


def _asked(record: Record) -> Iterator[tuple[str, str, bool, dict[str, Any]]]:
    """Key, kind, whether it is asked without the picture, and the texts of each question of a person."""
    for column, pure in (("MM_QA", False), ("UM_QA", True)):
        pairs = literal(record.get(column), column)
        answers = _mapping(pairs.get("answer"), column)
        for key, question in _mapping(pairs.get("question"), column).items():
            yield key, "qa", pure, _texts(question, answers.get(key))
    for column, kind in TASKS.items():
        for mode, group in literal(record.get(column), column).items():
            if mode not in MODES:
                raise Unusable(f"its {column} is of an unknown kind")
            for key, asked in _mapping(group, column).items():
                yield key, kind, MODES[mode], _task(_mapping(asked, column))


def _task(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The texts of a task. The answer of a choice is written `A. text` in the data; its letter is kept."""
    choice, answer = fields.options(asked.get("options")), asked.get("answer")
    if choice is None:
        return _texts(asked.get("question"), answer)
    letter = fields.text(answer, "answer").split(".")[0].strip()
    if letter not in choice:
        raise Unusable("its answer is none of the options")
    return {**_texts(asked.get("question"), letter), "options": choice}


def literal(value: Any, what: str) -> Mapping[str, Any]:
    """A dictionary written as Python, of constants alone; nothing for an empty cell. Raises Unusable."""
    if value is None:
        return {}
    if not isinstance(value, str):
        return _mapping(value, what)
    if len(value) > MAX_LITERAL:
        raise Unusable(f"its {what} is far too long")
    try:
        return _mapping(ast.literal_eval(value), what)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise Unusable(f"its {what} is no Python literal") from None


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unusable(f"its {what} is not as UMU-bench has it")
    return value


def _texts(question: Any, answer: Any) -> dict[str, Any]:
    return {"question": fields.question(question), "answer": fields.text(answer, "answer")}
