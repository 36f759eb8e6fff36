"""What questions cost that are asked while a run trains: how long they take, and how much longer the run does.

    python -m benchmarks.answering

The same run goes twice, alone and while a question is asked every `--every` seconds; and as many questions are asked
while nothing runs. Both share the process, as they do in the studio. Writes benchmarks/results/answering.json. Run it
alone on the machine: it measures time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, write_result
from unlearn_core.data.example import ForgetRequest
from unlearn_core.demo.request import forget_request
from unlearn_core.methods import METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.runs import Run, RunState, Worker, Workspace
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO


def asked(vlm: VLM, request: ForgetRequest, number: int) -> float:
    """Seconds until a question is answered, with maps as on the page Inspect."""
    began = time.perf_counter()
    vlm.ask([request.retain[number % len(request.retain)].prompt], rows=True)
    return time.perf_counter() - began


def carried_out(
    vlm: VLM, request: ForgetRequest, method: str, steps: int, every: float | None, folder: Path
) -> tuple[Run, list[float]]:
    """A run, and the seconds of each question that was asked meanwhile."""
    worker = Worker(Workspace(folder))
    config = from_values(METHODS[method].config, {"steps": steps})
    run, times = worker.start(vlm, request, METHODS[method], config, "answering"), []
    while not run.state.over:
        time.sleep(0.05 if every is None else every)
        if every is not None and not run.state.over:
            times.append(asked(vlm, request, len(times)))
    assert run.state is RunState.DONE, run.message
    worker.close()
    return run, times


def measure(vlm: VLM, request: ForgetRequest, method: str, steps: int, every: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        alone, _ = carried_out(vlm, request, method, steps, None, Path(temporary))
        busy, times = carried_out(vlm, request, method, steps, every, Path(temporary))
        quiet = [asked(vlm, request, i) for i in range(len(times))]
        ends = [[step.seconds for step in run.events()] for run in (alone, busy)]
    if not times:
        raise SystemExit("The run ended before a question was asked. Please give more --steps, or --every less.")
    longest = max(after - before for before, after in zip(ends[1], ends[1][1:], strict=False))
    return {
        "questions": len(times),
        "run_seconds_alone": ends[0][-1],
        "run_seconds_with_questions": ends[1][-1],
        "questions_seconds_alone": sum(quiet),
        "slower_per_second_of_questions": (ends[1][-1] - ends[0][-1]) / sum(quiet),
        "question_median_alone": statistics.median(quiet),
        "question_median_meanwhile": statistics.median(times),
        "question_worst_meanwhile": max(times),
        "longest_step": longest,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two questions")
    parser.add_argument("--out", type=Path, default=RESULTS / "answering.json")
    options = parser.parse_args()
    vlm, request = VLM.load(DEMO), forget_request(["p02"], pictures=6, retain_pictures=1)
    asked(vlm, request, 0)
    rows: list[dict[str, Any]] = []
    for method in options.methods:
        numbers = measure(vlm, request, method, options.steps, options.every)
        rows.append({"method": method, **{name: round(value, 4) for name, value in numbers.items()}})
        print(rows[-1], flush=True)
        write_result(options.out, "answering", rows=rows)


if __name__ == "__main__":
    main()
