"""FIUBench: fictitious identities with twenty questions each, in `full.json`, `split.json` and a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unlearn_core.data.errors import BadFile
from unlearn_core.data.example import Example
from unlearn_core.data.readers import fields
from unlearn_core.data.readers.base import below, picture_file, usable
from unlearn_core.data.readers.fields import Record
from unlearn_core.data.readers.records import records
from unlearn_core.data.readers.row import Dropped, Row, Side
from unlearn_core.data.readers.source import Source, read_bounded
from unlearn_core.data.strict_json import from_json

IDENTITIES = 400
"""Only so many lines are used by the benchmark's own code."""
FORGET = ("forget5", "forget1", "forget10")


class FIUBench:
    """What must stay is the training retain set of the benchmark: the first 400 identities without all three forget sets.

    The identities of the two forget sets that are not chosen are on no side. Texts are kept as they are; upstream puts
    questions and answers into lower case but for the first letter.
    """

    name = "fiubench"
    about = "FIUBench: full.json and split.json with the unpacked pictures."
    splits = FORGET

    def recognises(self, source: Source) -> bool:
        return below(source, "full.json") is not None and below(source, "split.json") is not None

    def read(self, source: Source, split: str) -> Iterator[Row | Dropped]:
        folder = below(source, "full.json") or ""
        name = f"{folder}/full.json" if folder else "full.json"
        sides = _sides(listed(source), split)

        def make(line: int, record: Record) -> Iterator[Row]:
            who = fields.text(record.get("unique_id"), "unique_id")
            path = fields.text(record.get("image_path"), "image_path")
            picture = picture_file(source, path.removeprefix("./").removeprefix("dataset/"), folder)
            called = fields.optional(record.get("name"), "name")
            for i, asked in enumerate(fields.objects(record.get("qa_list"), "qa_list")):
                example = _example(f"{who}-{i}", who, asked)
                yield Row(example, picture, sides.get(who, "retain"), name, line, called)

        return usable(_used(source, name), name, make)


def _used(source: Source, name: str) -> Iterator[tuple[int, Record]]:
    for count, (line, record) in enumerate(records(source, name)):
        if count == IDENTITIES:
            return
        yield line, record


def _example(own: str, who: str, asked: Record) -> Example:
    return Example(
        own,
        None,
        fields.question(asked.get("question")),
        fields.text(asked.get("answer"), "answer"),
        who,
        paraphrases=fields.texts(asked.get("paraphrased_question"), "paraphrased questions"),
        paraphrased=fields.optional(asked.get("paraphrased_answer"), "paraphrased answer"),
        perturbed=fields.texts(asked.get("perturbed_answer"), "perturbed answers"),
        keywords=fields.texts(asked.get("keywords"), "keywords"),
    )


def listed(source: Source) -> dict[str, frozenset[str]]:
    """Who is in each of the benchmark's lists: the forget sets, and `retain5` and `retain15`, on which it measures.

    Raises:
        BadFile: `split.json` cannot be read, or a forget set is missing in it.
    """
    folder = below(source, "split.json") or ""
    name = f"{folder}/split.json" if folder else "split.json"
    try:
        content: Any = from_json(read_bounded(source, name, 10**7))
        lists = {each: frozenset(map(str, ids)) for each, ids in content.items()}
        return {each: lists[each] for each in (*FORGET, *lists)}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadFile(f"It should list the ids of {', '.join(FORGET)}.", name) from error


def _sides(lists: Mapping[str, frozenset[str]], split: str) -> dict[str, Side]:
    """Who is not on the retain side."""
    everybody = {who for each in FORGET for who in lists[each]}
    return {who: "forget" if who in lists[split] else "" for who in everybody}
