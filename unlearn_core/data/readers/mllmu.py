"""MLLMU-Bench: profiles with choice, generation and cloze questions, with and without the picture, in parquet tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example
from unlearn_core.data.readers import fields
from unlearn_core.data.readers.base import usable
from unlearn_core.data.readers.fields import Record, Unusable
from unlearn_core.data.readers.parquet import parquet_files, parquet_records
from unlearn_core.data.readers.row import Dropped, Row, Side
from unlearn_core.data.readers.source import Source
from unlearn_core.data.strict_json import from_json

RETAIN = {"forget_5": "retain_95", "forget_10": "retain_90", "forget_15": "retain_85"}
PICTURES = ("image", "images")
TESTS = ("Test_Set", "Retain_Set")


class MLLMUBench:
    """The chosen forget set, its retain set, and for tests other pictures of everybody (`Test_Set`) and real people
    (`Retain_Set`).

    Where `ft_Data` is there, the questions that the model was tuned on are read too (kind `training`).
    """

    name = "mllmu"
    about = "MLLMU-Bench: folders forget_5, retain_95, Test_Set and so on with parquet tables."
    splits = tuple(RETAIN)

    def recognises(self, source: Source) -> bool:
        return any("Test_Set/" in n or "ft_Data/" in n for n in source.names) and bool(
            parquet_files(source, "forget_5") or parquet_files(source, "Full_Set")
        )

    def read(self, source: Source, split: str) -> Iterator[Row | Dropped]:
        tables = parquet_files(source, split)
        if not tables:
            raise BadFile(f"The folder {split} is missing. Please download it too.", source.label)
        going: set[str] = set()
        for name in tables:
            for item in _rows(source, name, split, "forget"):
                if isinstance(item, Row) and item.example.subject is not None:
                    going.add(item.example.subject)
                yield item
        retain = RETAIN[split] if parquet_files(source, RETAIN[split]) else "Full_Set"
        for folder in (retain, *TESTS, "ft_Data"):
            for name in parquet_files(source, folder):
                for item in _rows(source, name, folder, "retain"):
                    side = _side(item, folder, going)
                    if side is not None:
                        yield Row(**{**vars(item), "side": side}) if isinstance(item, Row) else item


def _side(item: Row | Dropped, folder: str, going: set[str]) -> Side | None:
    """The side of a row outside the forget folder; None for one that was read there already."""
    forgotten = isinstance(item, Row) and item.example.subject in going
    if folder in TESTS:
        return "test"
    if folder == "ft_Data" and forgotten:
        return "forget"
    return None if forgotten else "retain"


def _rows(source: Source, name: str, folder: str, side: Side) -> Iterator[Row | Dropped]:
    def make(line: int, record: Record) -> Iterator[Row]:
        who = fields.text(record.get("ID"), "ID")
        shown = record.get("image") or next(iter(record.get("images") or ()), None)
        called = _name(record.get("biography"))
        for i, (kind, pure, example) in enumerate(_asked(record)):
            if not pure and shown is None:
                raise Unusable("its picture is missing")
            made = Example(f"{folder}:{who}-{i}", None, subject=who, kind=kind, **example)
            yield Row(made, None if pure else shown, side, name, line, called)

    return usable(parquet_records(source, name, PICTURES), name, make)


def _asked(record: Record) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Kind, whether it is asked without the picture, and the texts of each question of a profile."""
    if record.get("question") is not None:
        yield "description", False, _texts(record["question"], record.get("answer"))
    for pair in fields.objects(_json(record.get("metadata"), "metadata"), "metadata"):
        yield "training", False, _texts(pair.get("Question"), pair.get("Answer"))
    choices = record.get("Classification_Task") or {}
    for group, pure in (("Image_Textual_Questions", False), ("Pure_Text_Questions", True)):
        for asked in fields.objects(choices.get(group), group):
            texts = _texts(asked.get("Question"), asked.get("Correct_Answer"))
            yield "choice", pure, {**texts, "options": fields.options(asked.get("Options"))}
    for column, kind in (("Generation_Task", "generation"), ("Mask_Task", "cloze")):
        for asked in fields.objects(record.get(column), column):
            yield kind, asked.get("Type") == "Pure_Text", _texts(asked.get("Question"), asked.get("Ground_Truth"))


def _texts(question: Any, answer: Any) -> dict[str, Any]:
    return {"question": fields.question(question), "answer": fields.text(answer, "answer")}


def _name(biography: Any) -> str | None:
    content = _json(biography, "biography")
    return fields.optional(content.get("Name"), "name") if isinstance(content, dict) else None


def _json(value: Any, what: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return from_json(value.encode())
    except ValueError:
        raise Unusable(f"its {what} is not JSON") from None
