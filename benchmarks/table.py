"""Print the README's tables from the results that are checked in.

python -m benchmarks.table
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import mean
from typing import Any

from benchmarks.common import RESULTS

Row = dict[str, Any]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def percent(values: Sequence[float], worst: float) -> str:
    return f"{mean(values):.1%} ({worst:.1%})"


def demo_job(rows: Sequence[Row]) -> str:
    """Mean and worst over the fours: what is still answered, and what is kept as a share of before."""
    kinds = ("forget private", "forget visual", "retain private", "retain visual", "general", "text")
    head = ("", "forgotten: private facts", "forgotten: visual", *kinds[2:], "text identical", "seconds")
    out = []
    for label in dict.fromkeys((r["method"], str(r["options"])) for r in rows):
        group = [r for r in rows if (r["method"], str(r["options"])) == label]
        leak = [r["shares"]["forget private"]["after"] for r in group]
        cells = [percent(leak, max(leak))]
        for kind in kinds[1:]:
            kept = [r["shares"][kind]["after"] / r["shares"][kind]["before"] for r in group]
            cells.append(percent(kept, min(kept)))
        same = "yes" if all(r["text_bit_identical"] for r in group) else "no"
        name = label[0].upper() if label[1] == "{}" else f"{label[0].upper()} {label[1]}"
        out.append((name, *cells, same, f"{mean(r['fit_seconds'] for r in group):.0f}"))
    return markdown(head, out)


def methods(rows: Sequence[Row]) -> str:
    """Mean and worst over the forget sets."""
    keys = ("leak", "gibberish", "retained", "visual", "general", "text", "forget_visual", "score")
    out = []
    for row in rows:
        cells = [f"{row[k]['mean']:.1%} ({row[k]['worst']:.1%})" for k in keys[:-1]]
        cells.append(f"{row['score']['mean']:.3f}")
        out.append((row["name"], *cells, "yes" if row["text_bit_identical"] else "no", f"{row['seconds']['mean']:.0f}"))
    return markdown(("", *keys, "text identical", "seconds"), out)


def main() -> None:
    for name, table in (("demo_job", demo_job), ("methods", methods)):
        path = RESULTS / f"{name}.json"
        if path.is_file():
            record = json.loads(path.read_text())
            print(f"`{record['command']}`\n\n{table(record['rows'])}\n")


if __name__ == "__main__":
    main()
