"""Write docs/measurements.md: a table of each result that is checked in, with the command that made it.

python -m benchmarks.table
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
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
    keys = ("leak", "gibberish", "retained", "visual", "general", "text", "forget_visual")
    out = []
    for row in rows:
        cells = [percent_of(row[k]) for k in keys]
        cost = [
            f"{row['seconds']['mean']:.0f}",
            f"{row['peak_mb']['mean']:.0f}",
            f"{row['stored']['mean'] / 1000:.0f}",
            f"{row['module_kb']['mean']:.0f}",
        ]
        same = "yes" if row["text_bit_identical"] else "no"
        out.append((row["name"], *cells, f"{row['score']['mean']:.3f} ({row['score']['worst']:.3f})", same, *cost))
    head = ("", *keys, "score", "text identical", "seconds", "peak MB", "thousand parameters stored", "module kB")
    return markdown(head, out)


def percent_of(cell: Row) -> str:
    return f"{cell['mean']:.1%} ({cell['worst']:.1%})"


def gate(rows: Sequence[Row]) -> str:
    """The gate at its defaults, on photographs as they are and altered; then other options on unaltered ones."""
    keys = ("forgotten", "through", "retained", "strangers", "auc")
    out = []
    for row in rows:
        if not row["options"] or row["pictures"] == "as it is":
            cells = [f"{row[k]['mean']:.1%} ({row[k]['worst']:.1%})" for k in keys[:-1]]
            cells.append(f"{row['auc']['mean']:.4f}")
            out.append((_options(row["options"]), row["pictures"], *cells))
    return markdown(
        ("options", "photographs", "flagged: forgotten", "known and not flagged", "retained", "strangers", "AUC"), out
    )


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


def growth(rows: Sequence[Row]) -> str:
    """Seconds of both methods, side by side."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row["grows"], row["value"]), {})[row["method"]] = row["seconds"]
    out = [(grows, str(value), *(f"{s:.1f}" for s in seconds.values())) for (grows, value), seconds in found.items()]
    return markdown(("what grows", "to", *(f"{name}, s" for name in next(iter(found.values())))), out)


def bystander(rows: Sequence[Row]) -> str:
    out = [(f"{r['couple'][0]} beside {r['couple'][1]}", r["method"], r["way"], *still(r)) for r in rows]
    return markdown(("couple", "method", "way", *rows[0]["facts"]), out)


def company(rows: Sequence[Row]) -> str:
    return markdown(("", "forget set", *rows[0]["facts"]), [(r["method"], str(r["set"] + 1), *still(r)) for r in rows])


def soak(rows: Sequence[Row]) -> str:
    out = [
        (str(r["clients"]), f"{r['minutes']:.0f}", str(r["answers"]), str(r["wrong"]), str(len(r["failed"])),
         f"{r['median_seconds']:.1f}", f"{r['p99_seconds']:.1f}", " ".join(map(str, r["memory_mib"])))
        for r in rows
    ]  # fmt: skip
    columns = ("clients", "minutes", "answers", "wrong", "failed", "median, s", "99th percentile, s", "memory, MiB")
    return markdown(columns, out)


def startup(rows: Sequence[Row]) -> str:
    return markdown(("what", "seconds", ""), [(r["what"], f"{r['seconds']:.1f}", r["note"]) for r in rows])


def feel(rows: Sequence[Row]) -> str:
    out = [(r["what"], f"{1000 * r['sign_s']:.0f}", f"{1000 * r['result_s']:.0f}") for r in rows]
    return markdown(("what one does", "sign, ms", "result or progress, ms"), out)


def still(row: Row) -> list[str]:
    """Of the facts of each kind that were given before, the share that still is."""
    return [f"{kind['still']:.0%} of {kind['known']}" for kind in row["facts"].values()]


def suite(rows: Sequence[Row]) -> str:
    return markdown(("model", "seconds"), [(row["model"], f"{row['seconds']:.0f}") for row in rows])


def reading(rows: Sequence[Row]) -> str:
    out = [(row["layout"], str(row["rows"]), f"{row['own_mb']:.0f}", f"{row['peak_mb']:.0f}") for row in rows]
    return markdown(("kind of file", "rows", "own, MB", "whole process, MB"), out)


def unloading(rows: Sequence[Row]) -> str:
    """MiB of the process, load after load."""
    keys = ("before", "loaded", "unloaded")
    out = [(row["allocator"], str(row["model"]), str(row["round"]), *(f"{row[k]:.0f}" for k in keys)) for row in rows]
    return markdown(("allocator", "model, MiB", "round", *keys), out)


def answering(rows: Sequence[Row]) -> str:
    """Seconds of questions with maps, alone and meanwhile, and of the run, alone and with them."""
    keys = ("question_median_alone", "question_median_meanwhile", "question_worst_meanwhile")
    whole = ("run_seconds_alone", "run_seconds_with_questions", "questions_seconds_alone")
    out = [
        (
            row["method"].upper(),
            str(row["questions"]),
            *(f"{row[k]:.2f}" for k in keys),
            *(f"{row[k]:.0f}" for k in whole),
        )
        for row in rows
    ]
    head = ("", "questions", "alone (median)", "meanwhile (median)", "meanwhile (worst)")
    return markdown((*head, "run alone", "run with them", "all questions alone"), out)


def scale(rows: Sequence[Row]) -> str:
    """Peak memory in MiB and seconds, stage by stage."""
    stages = list(rows[0]["peak_mib"])
    out = [
        (
            str(row["subjects"]),
            str(row["pictures"]),
            *(f"{row['peak_mib'][s]:.0f} ({row['seconds'][s]:.0f} s)" for s in stages),
        )
        for row in rows
    ]
    return markdown(("subjects", "pictures", *stages), out)


def attacks(rows: Sequence[Row]) -> str:
    """What each attack gets back, beside what it must be read with."""
    out = []
    for row in rows:
        for r in row["results"]:
            gaps = [p["forget"]["value"] - p["gold"]["value"] for p in r["curve"] if p["gold"] is not None]
            sides = [
                r["forget"]["worst"],
                r["plain"],
                r["retain"] and r["retain"]["worst"],
                r["gold"] and r["gold"]["worst"],
            ]
            said = {True: "withstands", False: "gives way", None: "not judged"}[r["withstands"]]
            scope = "" if r["in_scope"] else " (not claimed)"
            cells = [with_interval(side) for side in sides]
            ahead = f"{100 * max(gaps):+.0f} points" if gaps else ""
            out.append((row["method"], r["title"], r["access"], *cells, ahead, said + scope))
    head = ("", "attack", "needs", "worst", "without it", "people who stay", "retain-only model", "ahead of it", "")
    return markdown(head, out)


def with_interval(share: Row | None) -> str:
    if share is None:
        return ""
    ends = "" if share["low"] is None else f" ({share['low']:.0%} to {share['high']:.0%})"
    return f"{share['value']:.1%}{ends}"


def _options(given: Row) -> str:
    return ", ".join(f"{k} {v}" for k, v in given.items()) or "defaults"


OPTIONS = """One option changed, all others at their defaults (first row), four people of the fixed forget split. Shares of what
was right before, on photographs and in words that no fit saw; *leak* is the share of private facts of the forgotten still
answered (lower is better). Fits ran with one thread each; their seconds compare only roughly."""

SECTIONS: dict[str, tuple[str, str, Callable[[Sequence[Row]], str]]] = {
    "methods": (
        "Methods",
        """Three forget sets of five people (10 %), a seed each; mean, and the worst set in brackets. *leak*: private facts of the
forgotten still answered. *gibberish*: their answers that are babble or empty. The rest is the share of what was right before:
private facts of others (*retained*), what can be seen on others (*visual*) and on the forgotten (*forget_visual*), scenes
(*general*), questions by name without a picture (*text*). *score*: harmonic mean of 1 - leak, retained, visual, general and text.""",
        methods,
    ),
    "demo_job": (
        "Four people",
        "Three different fours; mean, and the worst in brackets. Measured with 150 steps of CAGUL and 120 of CVF; the defaults are fewer now.",
        demo_job,
    ),
    "speed": (
        "Speed",
        """Seconds until at most 5 % of the probed facts are still answered, and to the end of the fit. LoRA-GD stops
there; by then it answers half of the probed facts of others (53 %), the two methods all of them.""",
        speed,
    ),
    "gate": (
        "CAGUL's gate",
        """Share of unseen photographs that are flagged, as they are and altered, mean over three fours and the worst in brackets.
*known and not flagged*: the untouched model still answers a private question about the photograph, and the gate misses it.""",
        gate,
    ),
    "attacks": (
        "Attacks",
        """Five people (the fixed forget split) at the methods' defaults, each attack with its standard budget. Share of the facts
that the model knew before which at least one try of an attack gets back (*worst*, 95 % interval), what is given without it, and
the same attack on facts of *people who stay* and on the *retain-only model*. *Ahead of it*: the most by which relearning, or a
linear probe at any stage, is ahead of the retain-only model. Membership is an AUC.""",
        attacks,
    ),
    "null_space": (
        "Where the null space pays",
        """CVF at the end of the fit, and at the first probe that finds at most 5 % of the facts (equal forgetting), by form of the
null space and by how many retained pictures are at hand. *drift*: measured relative change of retained visual tokens.
Measured with a third of the weight of retention, before retained pictures near the forgotten were drawn more often.""",
        null_space,
    ),
    "continual": (
        "One request after another",
        """After the last of ten requests for one person each. *protected*: stored moments of what was kept and forgotten before hold
each fit. *unprotected*: without them. *moments*: protected, and from the second request on no retained picture is at hand.
*scratch*: one fit on all ten.""",
        continual,
    ),
    "bystander": (
        "A bystander",
        """Somebody is forgotten from pictures that show a bystander too. *whole*: these pictures are meant as a whole; *region*: the one to
forget is marked on each; *asked*: also, what is asked about the bystander on them is retained. Share of the private facts that were
given before and still are, on pictures that no fit saw. The demo model knows about half of them where two people are in a picture.""",
        bystander,
    ),
    "company": (
        "In company",
        """Five people are forgotten from portraits and then asked about on pictures of two, in words that name the side. Share of the facts
given before that still are. What the retain-only model, which is of the first forget set, gives of the forgotten is chance.""",
        company,
    ),
    "startup": (
        "The two commands",
        "Seconds of each, on a fresh clone with an empty home.",
        startup,
    ),
    "feel": (
        "How soon the page answers",
        """Milliseconds until what is pressed looks pressed, or anything else changes, counted from the press; and from the click on until there
is the result, or how far it is. The slowest of several rounds in Chromium on the demo model, with nothing else busy; lower is better.""",
        feel,
    ),
    "soak": (
        "Many at once",
        """Clients that ask about pictures of their own, half of them the original model and half an unlearned one, one visit after another.
Every answer is compared with what the model says alone. *memory*: of studio and clients together, at the end of each tenth of the time
after the first fifth.""",
        soak,
    ),
    "growth": (
        "How the time grows",
        """Seconds of one request. The forget set grows on the demo model at the defaults; tokens and width grow on models of the same
kind with random weights, with 20 steps, two people of 8 pictures.""",
        growth,
    ),
    "suite": (
        "A whole evaluation",
        "Seconds that all questions and metrics of the demo suite take for one model.",
        suite,
    ),
    "reading": (
        "Reading files",
        "Most memory (resident, millions of bytes) while 20,000 rows are read and every picture opened: of the reading, and of the process.",
        reading,
    ),
    "answering": (
        "Questions while a run trains",
        "Seconds of a question with maps, alone and while a run trains in the same process; and of the run, alone and with the questions.",
        answering,
    ),
    "scale": (
        "Many people and pictures",
        """Most memory that the process ever had, in MiB, after each stage, and the seconds of the stage, with few steps of training.""",
        scale,
    ),
    "unloading": (
        "Unloading a model",
        """Resident memory of the process in MiB, with a small model that another window keeps: *before* the first load, with the large
one *loaded* and asked, and *unloaded*. In even rounds the model in bfloat16 is loaded and asked first. *not told*: the allocator is
not asked to give back what is free.""",
        unloading,
    ),
    **{
        f"options_{name}": (f"Options: {name}", OPTIONS, options)
        for name in ("cagul", "cvf", "ga", "gd", "kl", "idk", "npo")
    },
}
TARGET = Path(__file__).parents[1] / "docs" / "measurements.md"


def section(name: str, title: str, text: str, table: Callable[[Sequence[Row]], str]) -> str:
    record = json.loads((RESULTS / f"{name}.json").read_text())
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    where = f"{record['processor']}, " if "processor" in record else ""
    return f"## {title}\n\n{text}\n\n{table(record['rows'])}\n\n`{record['command']}` ({where}{record['threads']} threads, {versions})\n"


def main() -> None:
    parts = [section(name, *rest) for name, rest in SECTIONS.items() if (RESULTS / f"{name}.json").is_file()]
    head = "# Measurements\n\nWritten by `python -m benchmarks.table` from `benchmarks/results/`. Everything is measured on the demo model.\n"
    TARGET.write_text("\n".join([head, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
