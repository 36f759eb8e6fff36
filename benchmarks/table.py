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


def gate(rows: Sequence[Row]) -> str:
    """The gate at its defaults, on photographs as they are and altered; then other options on unaltered ones."""
    keys = ("forgotten", "retained", "strangers", "auc")
    out = []
    for row in rows:
        if not row["options"] or row["pictures"] == "as it is":
            cells = [f"{row[k]['mean']:.1%} ({row[k]['worst']:.1%})" for k in keys[:-1]]
            cells.append(f"{row['auc']['mean']:.4f}")
            out.append((_options(row["options"]), row["pictures"], *cells))
    return markdown(("options", "photographs", "flagged: forgotten", "retained", "strangers", "AUC"), out)


def options(rows: Sequence[Row]) -> str:
    """One option changed at a time."""
    keys = ("leak", "gibberish", "retained", "visual", "general", "text", "forget_visual")
    out = [(_options(row["options"]), *(f"{row[k]:.1%}" for k in keys), f"{row['seconds']:.0f}") for row in rows]
    return markdown(("option", *keys, "seconds"), out)


def null_space(rows: Sequence[Row]) -> str:
    """At the end of the fit, and at the first probe that found at most 5 % of the facts."""
    keys = ("leak", "retained", "visual", "general")
    pictures = {-1: "all", 0: "none (moments only)"}
    out = []
    for row in rows:
        enough = [f"{row['enough'][k]:.1%}" for k in keys] if row["enough"] else ["never", "", "", ""]
        drift = "" if row["measured_drift"] is None else f"{row['measured_drift']:.3f}"
        end = [f"{row['end'][k]:.1%}" for k in keys]
        out.append((pictures.get(row["retained"], str(row["retained"])), row["form"], *end, drift, *enough))
    head = ("retained pictures", "null space", *(f"{k} (end)" for k in keys), "drift", *(f"{k} (equal)" for k in keys))
    return markdown(head, out)


def continual(rows: Sequence[Row]) -> str:
    """After the last request of each way."""
    last = {row["way"]: row for row in rows}
    keys = ("leak", "retained", "visual", "general")
    out = [
        (way, str(row["requests"]), *(f"{row[k]:.1%}" for k in keys), f"{row['free_share']:.2f}")
        for way, row in last.items()
    ]
    return markdown(("way", "requests", *keys, "free share"), out)


def speed(rows: Sequence[Row]) -> str:
    out = [
        (
            row["name"],
            str(row["people"]),
            "never" if row["to_forget"] is None else f"{row['to_forget']:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['peak_mb']:.0f}",
            str(row.get("times_faster_than_gd", "")),
        )
        for row in rows
    ]
    head = ("", "people", "seconds to forget", "seconds in all", "peak MB", "times faster than LoRA-GD")
    return markdown(head, out)


def _options(given: Row) -> str:
    return ", ".join(f"{k} {v}" for k, v in given.items()) or "defaults"


TABLES = {
    "demo_job": demo_job,
    "methods": methods,
    "gate": gate,
    "null_space": null_space,
    "continual": continual,
    "speed": speed,
}


def main() -> None:
    tables = TABLES | {path.stem: options for path in sorted(RESULTS.glob("options_*.json"))}
    for name, table in tables.items():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            record = json.loads(path.read_text())
            print(f"`{record['command']}`\n\n{table(record['rows'])}\n")


if __name__ == "__main__":
    main()
