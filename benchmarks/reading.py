"""How much memory reading 20,000 rows takes, each with a picture of its own.

    python -m benchmarks.reading

Writes the rows in every kind of file that readers take, and goes through each in a process of its own, opening every picture.
Peaks are of the whole process (resident set): `start_mb` with PyTorch and all other imports before the first row, `peak_mb` at
the end. The goal is that reading takes under 500 MB of its own; whether the whole process stays below is told too.
Writes benchmarks/results/reading.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

from benchmarks.common import RESULTS, write_result
from unlearn_core.data.readers import Row, opened, stream

ROWS = 20_000
GOAL = 500
"""MB, of a million bytes each."""
SIDE = 256
COLUMNS: tuple[str, ...] = ("id", "file_name", "subject", "question", "answer")
DIFFERENT = 50
"""Pictures are copies of so many: every row has a file of its own all the same."""
GROUP = 100
"""Rows in a group of a parquet table, as the hub writes those with pictures."""


def pictures() -> list[bytes]:
    """Smooth noise, which compresses about as photographs do."""
    rng, found = np.random.default_rng(0), []
    for _ in range(DIFFERENT):
        small = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        buffer = BytesIO()
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        found.append(buffer.getvalue())
    return found


def records(folder: Path, rows: int) -> Iterator[dict[str, str]]:
    """One row after the other, its picture beside it."""
    first: dict[int, Path] = {}
    shown = pictures()
    for i in range(rows):
        path = folder / f"{i}.jpg"
        if i % len(shown) in first:
            os.link(first[i % len(shown)], path)
        else:
            path.write_bytes(shown[i % len(shown)])
            first[i % len(shown)] = path
        question = "What is the job of this person, as far as anybody can tell from the photograph?"
        yield {
            "id": str(i),
            "file_name": path.name,
            "subject": f"person {i // 4}",
            "question": question,
            "answer": "baker",
        }


def json_lines(folder: Path, rows: int) -> None:
    with (folder / "metadata.jsonl").open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in records(folder, rows))


def json_array(folder: Path, rows: int) -> None:
    (folder / "table.json").write_text(json.dumps(list(records(folder, rows)), indent=1))


def comma_separated(folder: Path, rows: int) -> None:
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(records(folder, rows))


def hub_tables(folder: Path, rows: int) -> None:
    """As CLEAR: captioned pictures in parquet tables, two questions a row. The set to forget has 1 row in 20."""
    shown = pictures()
    for name, places in (("forget05", range(rows // 40)), ("retain95", range(rows // 40, rows // 2))):
        (folder / name).mkdir()
        made = [
            {
                "image": {"bytes": shown[i % len(shown)], "path": None},
                "caption": f"Name {i} reads.",
                "name": f"Name {i}",
            }
            for i in places
        ]
        table = pyarrow.Table.from_pylist(made)
        parquet.write_table(table, folder / name / "train-00000-of-00001.parquet", row_group_size=GROUP)


LAYOUTS: dict[str, Callable[[Path, int], None]] = {
    "JSON lines": json_lines,
    "JSON array": json_array,
    "CSV": comma_separated,
    "parquet": hub_tables,
}


def peak() -> float:
    """MB that this program ever had resident. What `getrusage` says starts with what the process was before, its parent."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6, 1)


def measure(folder: Path) -> dict[str, Any]:
    """Go through all rows, every picture opened."""
    started, began = peak(), time.perf_counter()
    rows = (item for item in stream(folder) if isinstance(item, Row))
    count = sum(example.image is not None for example in opened(rows))
    return {"rows": count, "start_mb": started, "peak_mb": peak(), "seconds": round(time.perf_counter() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--folder", type=Path, help="measure this one, and print it as JSON")
    parser.add_argument("--out", type=Path, default=RESULTS / "reading.json")
    args = parser.parse_args()
    if args.folder is not None:
        print(json.dumps(measure(args.folder)))
        return
    rows = []
    for layout in args.layouts:
        with tempfile.TemporaryDirectory() as name:
            LAYOUTS[layout](Path(name), args.rows)
            words = [sys.executable, "-m", "benchmarks.reading", "--folder", name]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        own = round(measured["peak_mb"] - measured["start_mb"], 1)
        reached = {"reached": own < GOAL, "whole_process_too": measured["peak_mb"] < GOAL}
        rows.append({"layout": layout, **measured, "own_mb": own, **reached})
        print(rows[-1], flush=True)
    write_result(args.out, "reading", goal_mb=GOAL, side=SIDE, rows=rows)


if __name__ == "__main__":
    main()
