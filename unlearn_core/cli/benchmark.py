"""The command that gives a benchmark's table: `unlearn benchmark NAME DATA`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearn_core.cli.flags import DEMO, Model, ModelFlags, load_model
from unlearn_core.cli.output import print_table, shown, watched

if TYPE_CHECKING:
    from unlearn_core.evaluation.metrics.measured import Measured
    from unlearn_core.evaluation.protocols import Benchmark, Sheet
    from unlearn_core.vlm import VLM

Name = Literal["fiubench", "mllmu", "clear", "umu"]


def benchmark(
    name: Name,
    data: str,
    /,
    model: Model = DEMO,
    split: str = "",
    bundle: Path | None = None,
    run: Path | None = None,
    retain_only: str = "",
    limit: int | None = None,
    batch_size: int = 32,
    out: Path = Path("benchmark"),
    request: Path | None = None,
    seed: int = 0,
    json: bool = False,
) -> dict[str, Any] | None:
    """Ask models the questions of a benchmark and print its paper's table. Goes on where it was stopped.

    The table is written as JSON to the folder `out`, beside the models' answers.

    Args:
        name: of the benchmark.
        data: folder, zip or hub id with the benchmark's files.
        split: forget set, such as forget5; empty for the benchmark's usual one.
        bundle: exported bundle to measure beside the model itself.
        run: folder of a run that is done, to measure beside the model itself.
        retain_only: folder or hub id of a model that never knew what was to be forgotten, to compare with.
        limit: questions of each kind, at most.
        batch_size: questions at a time.
        out: folder for the table and for what the models answered.
        request: write the forget request of this split to this zip, for `unlearn forget`, and ask nothing.
        seed: of what the benchmark draws at random.
        json: print JSON.
    """
    from unlearn_core.data.strict_json import to_json
    from unlearn_core.evaluation.protocols import BENCHMARKS, examine, load
    from unlearn_core.runs.files import write_file

    protocol = BENCHMARKS[name]
    if request is not None:
        return shown(_write_request(protocol, data, split, request), json)
    questions = load(data, protocol, split, limit, seed)
    models, marks = _models(model, bundle, run, retain_only)
    folder = out / f"{name}-{questions.split}"
    asked = f"{questions.digest()[:12]}-{batch_size}"
    kept = {which: _ready(folder / f"{which}-{marks[which]}-{asked}") for which in models}
    sheet = watched(examine(protocol, questions, models, kept, batch_size, seed))
    table = _plain(sheet)
    write_file(folder / "table.json", to_json(table))
    if json:
        return table
    _print(sheet)
    return None


# -- models -----------------------------------------------------------------------------------------------------------


def _models(
    model: ModelFlags, bundle: Path | None, run: Path | None, retain_only: str
) -> tuple[dict[str, VLM], dict[str, str]]:
    """Models by the name that the table gives them, and a digest of each."""
    from unlearn_core.bundle import fingerprint
    from unlearn_core.bundle import load as load_bundle
    from unlearn_core.evaluation.protocols import RETAIN_ONLY
    from unlearn_core.examination import of_run
    from unlearn_core.runs import Workspace
    from unlearn_core.vlm.errors import BadOption

    if bundle is not None and run is not None:
        raise BadOption("Please give a bundle or a run, not both.")
    found = None if run is None else Workspace(run.resolve().parent).run(run.resolve().name)
    if found is not None and not model.model:
        model = replace(model, model=found.info.model)
    before = load_model(model, None)
    models, marks = {"before": before}, {"before": fingerprint(before)[:12]}
    result = bundle if found is None else found.module_folder
    if result is not None:
        models["after"] = (
            load_bundle(result, before).attach(before) if found is None else of_run(found).module.attach(before)
        )
        marks["after"] = f"{marks['before']}-{_digest(result)[:12]}"
    if retain_only:
        models[RETAIN_ONLY] = load_model(replace(model, model=retain_only, revision=None), None)
        marks[RETAIN_ONLY] = fingerprint(models[RETAIN_ONLY])[:12]
    return models, marks


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder."""
    out = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as opened:
                out.update(hashlib.file_digest(opened, "sha256").digest())
    return out.hexdigest()


def _ready(folder: Path) -> Path:
    from unlearn_core.runs.files import storing

    with storing():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _write_request(protocol: Benchmark, data: str, split: str, path: Path) -> dict[str, Any]:
    from unlearn_core.data.readers import READERS, read, split_of, to_request
    from unlearn_core.runs.requests import export_request

    chosen = split_of(READERS[protocol.name], split)
    made, report = to_request(read(data, protocol.name, chosen), f"{protocol.title}, {chosen}")
    export_request(made, path)
    sides = {"forget": len(made.forget), "keep": len(made.keep), "retain": len(made.retain)}
    return {"request": str(path), **sides, "left out": len(report.dropped)}


# -- tables -----------------------------------------------------------------------------------------------------------


def _print(sheet: Sheet) -> None:
    rows = [(*row, *(_value(numbers[row]) for numbers in sheet.numbers.values())) for row in sheet.rows]
    print_table(f"{sheet.benchmark}, {sheet.split}", ("about", "number", *sheet.numbers), rows)
    if sheet.missing:
        print_table("Not measured", ("number", "why"), list(sheet.missing.items()))


def _value(found: Measured | None) -> str:
    """0..1 with its interval; very small p-values as powers of ten."""
    if found is None:
        return "–"
    small = 0 < abs(found.value) < 0.0005
    value = f"{found.value:.1e}" if small else f"{found.value:.3f}"
    return value if found.low is None or found.high is None else f"{value} ({found.low:.3f} to {found.high:.3f})"


def _plain(sheet: Sheet) -> dict[str, Any]:
    from unlearn_core.evaluation.report import plain

    def numbers() -> Iterator[dict[str, Any]]:
        for row in sheet.rows:
            by_model = {model: found[row] for model, found in sheet.numbers.items()}
            yield {"about": row.of, "number": row.name, "models": plain(by_model)}

    return {
        "benchmark": sheet.benchmark,
        "split": sheet.split,
        "questions": dict(sheet.asked),
        "left out": sheet.dropped,
        "numbers": list(numbers()),
        "not measured": dict(sheet.missing),
    }
