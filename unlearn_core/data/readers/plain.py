"""Pictures in a folder with a table beside them, as Hugging Face image folders have it, and tables alone.

A table is JSON lines, a JSON array or CSV, one question a row: `question`, `answer`, and if there is a picture its path
in `file_name`, `image`, or the first of `images`. Optional: `id`, `subject` (or `entity_id`), `name`, `kind`, `side` (or
`split`), `target`, `paraphrased_question`, `paraphrased_answer`, `perturbed_answer`, `keywords`, `options`, and `region`,
the box around the subject where others are on the picture: left, top, right and bottom edge, 0 to 1.
Conversations (`conversations` as LLaVA writes them, `messages` as chat models have them) give a question for each turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, cast, get_args

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example
from unlearn_core.data.readers import fields
from unlearn_core.data.readers.base import below, picture_file, usable
from unlearn_core.data.readers.fields import Record, Unusable, first
from unlearn_core.data.readers.records import records
from unlearn_core.data.readers.row import Dropped, Row, Side
from unlearn_core.data.readers.source import Source
from unlearn_core.data.readers.turns import turns

TABLES = (".jsonl", ".ndjson", ".json", ".csv")


class ImageFolder:
    """`metadata.jsonl` or `metadata.csv` with pictures beside it."""

    name = "folder"
    about = "Pictures in a folder with metadata.jsonl or metadata.csv beside them (Hugging Face image folder)."
    splits: tuple[str, ...] = ()
    tables = ("metadata.jsonl", "metadata.csv")

    def recognises(self, source: Source) -> bool:
        return any(below(source, table) is not None for table in self.tables)

    def read(self, source: Source, split: str) -> Iterator[Row | Dropped]:
        for name in sorted(n for n in source.names if PurePosixPath(n).name in self.tables):
            yield from read_table(source, name)


class Table:
    """One table by itself."""

    name = "table"
    about = "One file of JSON lines, a JSON array or CSV, a question in each row."
    splits: tuple[str, ...] = ()

    def recognises(self, source: Source) -> bool:
        return len(self._tables(source)) == 1

    def read(self, source: Source, split: str) -> Iterator[Row | Dropped]:
        tables = self._tables(source)
        if len(tables) != 1:
            raise BadFile(
                f"There are {len(tables)} tables here. Please choose one file, or name it metadata.jsonl.", source.label
            )
        yield from read_table(source, tables[0])

    @staticmethod
    def _tables(source: Source) -> list[str]:
        return [name for name in source.names if name.lower().endswith(TABLES)]


def read_table(source: Source, name: str) -> Iterator[Row | Dropped]:
    """The rows of one table. Raises BadFile."""

    def make(line: int, record: Record) -> Iterator[Row]:
        asked = turns(record) or [(first(record, "question", "Question"), first(record, "answer", "Answer"))]
        path, subject = _path(record), fields.optional(first(record, "subject", "entity_id", "ID"), "subject")
        picture = None if path is None else picture_file(source, path, folder)
        own = fields.optional(record.get("id"), "id") or f"{name}:{line}"
        shared: dict[str, Any] = {
            "subject": subject or fields.optional(record.get("name"), "name"),
            "kind": fields.optional(record.get("kind"), "kind") or "private",
            "target": fields.optional(record.get("target"), "target"),
            "paraphrases": fields.texts(first(record, "paraphrases", "paraphrased_question"), "paraphrases"),
            "paraphrased": fields.optional(first(record, "paraphrased", "paraphrased_answer"), "paraphrased answer"),
            "perturbed": fields.texts(first(record, "perturbed", "perturbed_answer"), "perturbed answers"),
            "keywords": fields.texts(record.get("keywords"), "keywords"),
            "options": fields.options(record.get("options")),
            "region": fields.region(record.get("region")),
        }
        for i, (question, answer) in enumerate(asked):
            example = Example(
                own if len(asked) == 1 else f"{own}-{i}",
                None,
                fields.question(question),
                fields.text(answer, "answer"),
                **shared,
            )
            yield Row(example, picture, _side(record), name, line, fields.optional(record.get("name"), "name"))

    folder = str(PurePosixPath(name).parent)
    return usable(records(source, name), name, make)


def _path(record: Record) -> str | None:
    value = first(record, "file_name", "image", "images", "image_path", "picture")
    if isinstance(value, list | tuple):
        if len(value) > 1:
            raise Unusable("it has several pictures")
        value = value[0] if value else None
    return fields.optional(value, "picture's path")


def _side(record: Record) -> Side:
    said = fields.optional(first(record, "side", "split"), "side") or ""
    if said in ("train", "validation"):
        return ""
    if said not in get_args(Side):
        raise Unusable("its side is none of forget, keep, retain and test")
    return cast(Side, said)
