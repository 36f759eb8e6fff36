"""CLEAR: captioned pictures of fictitious authors, and questions about them without a picture (TOFU), in parquet tables."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example
from unlearn_core.data.readers import fields
from unlearn_core.data.readers.base import usable
from unlearn_core.data.readers.fields import Record, Unusable
from unlearn_core.data.readers.parquet import parquet_files, parquet_records
from unlearn_core.data.readers.row import Dropped, Row, Side
from unlearn_core.data.readers.source import Source

RETAIN = {"forget05": "retain95", "forget01": "retain99", "forget10": "retain90"}
BLOCK = 20
"""Questions about an author stand together, so many each."""
DESCRIBE = "Describe the person in the picture."
"""Captions come without a question; upstream draws one of nine. [ours]"""
NAME = "The name of the person on the image is"


class CLEAR:
    """The chosen forget set and its retain set, with questions without pictures where `+tofu` folders are there.

    `*_perturbed`, `real_faces` and `real_world` are for tests.
    """

    name = "clear"
    about = "CLEAR: folders forget05+tofu, retain95+tofu, real_faces and so on with parquet tables."
    splits = tuple(RETAIN)

    def recognises(self, source: Source) -> bool:
        return any(parquet_files(source, folder) for split in RETAIN for folder in (split, f"{split}+tofu"))

    def read(self, source: Source, split: str) -> Iterator[Row | Dropped]:
        sides: dict[str, Side] = {_chosen(source, split): "forget", _chosen(source, RETAIN[split]): "retain"}
        for folder in (f"{split}_perturbed", "retain_perturbed", "real_faces", "real_world"):
            sides[folder] = "test"
        for folder, side in sides.items():
            for name in parquet_files(source, folder):
                yield from _rows(source, name, folder, side)


def _chosen(source: Source, folder: str) -> str:
    for found in (f"{folder}+tofu", folder):
        if parquet_files(source, found):
            return found
    raise BadFile(f"The folder {folder} is missing. Please download it too.", source.label)


def _rows(source: Source, name: str, folder: str, side: Side) -> Iterator[Row | Dropped]:
    authors = _authors(source, name) if not folder.startswith("real_") else {}

    def make(line: int, record: Record) -> Iterator[Row]:
        for example in _examples(f"{folder}:{line}", record, authors.get(line)):
            yield Row(example, record.get("image"), side, file=name, line=line, name=example.subject)

    return usable(parquet_records(source, name, ("image",)), name, make)


def _examples(own: str, record: Record, author: str | None) -> Iterator[Example]:
    """The one or two questions of a row. Raises Unusable."""
    if record.get("caption") is not None and record.get("image") is not None:
        who = fields.text(record.get("name"), "name")
        yield Example(
            f"{own}-caption",
            None,
            DESCRIBE,
            fields.text(record["caption"], "caption"),
            who,
            "caption",
            paraphrased=fields.optional(record.get("paraphrased_caption"), "paraphrased caption"),
            perturbed=fields.texts(record.get("perturbed_captions"), "perturbed captions"),
        )
        yield Example(
            f"{own}-name", None, NAME, who, who, "name", perturbed=fields.texts(record.get("perturbed_names"), "names")
        )
        return
    answer = fields.text(record.get("answer"), "answer")
    wrong = tuple(option for option in fields.texts(record.get("options"), "options") if option != answer)
    asked = fields.question(record.get("question"))
    if record.get("image") is not None or wrong:  # real faces and world facts
        yield Example(own, None, asked, answer, record.get("name") and str(record["name"]), "real", perturbed=wrong)
        return
    if author is None:
        raise Unusable("its author could not be found by name")
    yield Example(own, None, asked, answer, author, "text")


def _authors(source: Source, name: str) -> dict[int, str]:
    """The author of each row without a picture: of a block, whose name stands in most of its rows."""
    known: set[str] = set()
    texts: list[tuple[int, str]] = []
    for line, record in parquet_records(source, name, ("image",)):
        if record.get("image") is not None and isinstance(record.get("name"), str):
            known.add(record["name"])
        elif record.get("image") is None:
            texts.append((line, plain(f"{record.get('question')} {record.get('answer')}")))
    rows, out = iter(texts), {}
    while block := list(islice(rows, BLOCK)):
        named = Counter(who for who in sorted(known) for _, text in block if plain(who) in text)
        if named:
            out |= dict.fromkeys((line for line, _ in block), named.most_common(1)[0][0])
    return out


def plain(text: Any) -> str:
    """Without case and accents, as the same name is written with and without them."""
    spread = unicodedata.normalize("NFKD", str(text).casefold())
    return "".join(c for c in spread if not unicodedata.combining(c))
