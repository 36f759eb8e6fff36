"""Fit the recorded example that the studio opens on: one person of the demo world, forgotten with CAGUL, as a bundle.

    python -m unlearn_core.demo.recorded --out assets/demo-forgotten

Writes `bundle.zip`, and `record.json` with the command, who it is about and what it took. Nothing is chosen afterwards: the
options are the defaults, and the result is what the fit ended with.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from unlearn_core import bundle
from unlearn_core.bundle.manifest import Made
from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.demo.request import forget_request
from unlearn_core.methods import METHODS
from unlearn_core.runs.files import write_file
from unlearn_core.runs.requests import digests
from unlearn_core.vlm import VLM
from unlearn_core.vlm.presets import ASSETS, DEMO

FORGOTTEN = ASSETS / "demo-forgotten"
WHO = "p07"
"""Of the fixed forget split, so that a retain-only model stands beside it."""
METHOD = "cagul"
STILL = "1 of 48"
"""Private questions that are still answered, on photographs and in words that the fit never saw: measured, and told on the page."""
BUNDLE, RECORD = "bundle.zip", "record.json"


@dataclass(frozen=True)
class Record:
    """How the recorded result came about.

    Args:
        subject: whom it forgets. seconds: of the fit. made: date, UTC. machine: what it ran on, in words.
    """

    subject: str
    method: str
    seconds: float
    made: str
    machine: str
    command: str


def record(folder: Path = FORGOTTEN) -> Record:
    """What stands beside the recorded bundle. Raises OSError, ValueError, TypeError where it is missing or damaged."""
    return Record(**from_json((folder / RECORD).read_bytes()))


def fit(out: Path, threads: int) -> Record:
    """Fit, write the bundle, read it back, and note how it came about."""
    torch.set_num_threads(threads)
    vlm, request, method = VLM.load(DEMO, device="cpu"), forget_request([WHO]), METHODS[METHOD]
    config = method.config()
    began = time.perf_counter()
    going = method.start(vlm, request, config)
    for step in going:
        print(f"\r{step.phase} {step.index}/{step.total} ", end="", flush=True)
    seconds = time.perf_counter() - began
    out.mkdir(parents=True, exist_ok=True)
    made = Made(METHOD, asdict(config), digests(request))
    title = "One person of the demo world, forgotten with CAGUL (recorded)"
    bundle.export(going.module, vlm, out / BUNDLE, title=title, report=going.report, limits=(), made=made)
    command = f"python -m unlearn_core.demo.recorded --threads {threads}"
    day, machine = datetime.now(UTC).date().isoformat(), f"{threads} core(s), {platform.machine()}"
    told = Record(WHO, METHOD, round(seconds, 1), day, machine, command)
    write_file(out / RECORD, to_json(asdict(told)))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FORGOTTEN, help="folder to write to")
    parser.add_argument("--threads", type=int, default=2, help="cores to fit on")
    options = parser.parse_args()
    print(fit(options.out, options.threads))


if __name__ == "__main__":
    main()
