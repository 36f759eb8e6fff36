"""Files of records as dicts with their line: JSON lines, a JSON array, CSV. What is not well formed is an error."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from unlearn_core.data.errors import BadFile
from unlearn_core.data.readers.source import Source, intact, read_bounded
from unlearn_core.data.strict_json import array_items, from_json

MAX_TEXT = 512 * 10**6
"""Bytes of a file of records."""
MAX_LINE = 4 * 10**6
"""Bytes of one line."""

Record = dict[str, Any]


def records(source: Source, name: str) -> Iterator[tuple[int, Record]]:
    """Records of a file with their lines. JSON is told by its content: lines may be called `.json`, an array `.jsonl`.

    Raises:
        BadFile: what is wrong, with file and line.
    """
    return _csv(source, name) if name.lower().endswith(".csv") else _json(source, name)


def _json(source: Source, name: str) -> Iterator[tuple[int, Record]]:
    with intact(name), source.open(name) as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    return _array(source, name) if start.startswith(b"[") else _lines(source, name)


def _lines(source: Source, name: str) -> Iterator[tuple[int, Record]]:
    read = 0
    with intact(name), source.open(name) as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            read += len(line)
            if len(line) > MAX_LINE or read > MAX_TEXT:
                raise BadFile("The line or the file is far too long. Please split it.", name, number)
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if line.strip():
                try:
                    yield number, _record(from_json(line), name, number)
                except ValueError as error:
                    raise _malformed(error, name, number) from error


def _array(source: Source, name: str) -> Iterator[tuple[int, Record]]:
    text = _decoded(read_bounded(source, name, MAX_TEXT), name)
    line, at = 1, 0
    try:
        for start, value in array_items(text):
            line, at = line + text.count("\n", at, start), start
            yield line, _record(value, name, line)
    except json.JSONDecodeError as error:
        raise _malformed(error, name, error.lineno) from error


def _csv(source: Source, name: str) -> Iterator[tuple[int, Record]]:
    text = _decoded(read_bounded(source, name, MAX_TEXT), name)
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        if len(set(rows.fieldnames or ())) < len(rows.fieldnames or ()):
            raise BadFile("Two columns have the same name. Please rename one.", name, 1)
        for row in rows:
            line = rows.line_num
            if None in row or None in row.values():
                raise BadFile("The row has more or fewer cells than there are columns.", name, line)
            yield line, {key: value or None for key, value in row.items()}
    except csv.Error as error:
        raise BadFile(f"This is not CSV ({error}). Please save it again.", name, line + 1) from error


def _record(value: Any, name: str, line: int) -> Record:
    if not isinstance(value, dict):
        raise BadFile("There should be an object with named values here.", name, line)
    return value


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _malformed(error, name, 1 + data.count(b"\n", 0, error.start)) from error


def _malformed(error: ValueError, name: str, line: int) -> BadFile:
    if isinstance(error, UnicodeDecodeError):
        return BadFile("The text is not UTF-8. Please save the file as UTF-8.", name, line)
    reason = getattr(error, "msg", str(error))
    return BadFile(f"This is not JSON that can be read ({reason}). Please correct it.", name, line)
