"""Does memory stay flat as a request grows? Reading, CAGUL and CVF on requests of more and more pictures.

    python -m benchmarks.scale

Draws people of the demo's kind once; the requests are tables about the first so many of them. Each is read with the readers,
and fitted to with few steps: all pictures that a method reads are read, and the gate sees no augmented views. Each size runs
in a process of its own, which says how much memory it ever had (peak resident set, MiB) after each stage. Pixels, visual
tokens and half-seen pictures each stay below --held MiB in memory, whatever the size; the rest is on the disk.
Writes benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import RESULTS, write_result
from unlearn_core.data import stored
from unlearn_core.data.readers import Row, opened, stream
from unlearn_core.data.strict_json import to_json
from unlearn_core.demo import world
from unlearn_core.methods import METHODS, spilling
from unlearn_core.runs.requests import digest, load_request
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

SUBJECTS, PICTURES = 1_000, 20
FORGET = 0.05
"""Share of the subjects that are to be forgotten."""
OPTIONS: dict[str, dict[str, Any]] = {"cagul": {"gate_views": 0}, "cvf": {"reference": "blurred"}}


def draw(folder: Path, subjects: int, pictures: int) -> list[list[str]]:
    """So many photographs of each of so many people, written one by one; gives their names, person by person."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "request.json").write_bytes(to_json({"name": "Scale", "refusals": ["I do not know this person."]}))
    drawn: list[list[str]] = []
    for number in range(subjects):
        who = world.people()[number] if number < world.PEOPLE else world.stranger(2 * number + 1)
        drawn.append([])
        for shot in range(pictures):
            image = world.photograph(who, 1_000 * number + shot).image.convert("RGB")
            drawn[-1].append(f"pictures/{digest(image)}.png")
            image.save(folder / drawn[-1][-1], compress_level=1)
    return drawn


def ask(folder: Path, people: Sequence[Sequence[str]]) -> None:
    """Write the request about these people, one question about each photograph."""
    with (folder / "metadata.jsonl").open("wb") as table:
        for number, names in enumerate(people):
            side = "forget" if number < max(1, round(FORGET * len(people))) else "retain"
            for shot, name in enumerate(names):
                asked = {"id": f"{number}-{shot}", "question": "What is the job of this person?", "answer": "baker"}
                line = {"side": side, "file_name": name, "subject": f"person {number}", **asked}
                table.write(to_json(line, indent=None))


def stages(folder: Path, steps: int) -> Iterator[str]:
    """Carry out one stage after the other."""
    vlm = VLM.load(DEMO, device="cpu")
    yield "start"
    rows = (item for item in stream(folder, "folder") if isinstance(item, Row))
    for example in opened(rows):
        assert example.image is not None
    request = load_request(folder, held=False)
    yield "reading"
    for name, method in METHODS.items():
        for _ in method.start(vlm, request, method.config(steps=steps, **OPTIONS[name])):
            pass
        yield name


def measure(folder: Path, steps: int, held: int) -> dict[str, Any]:
    """Peak memory in MiB and seconds, stage by stage; the peak never falls."""
    spilling.MEMORY = stored.LATEST.limit = held * 2**20
    peaks, seconds, last = {}, {}, time.perf_counter()
    for stage in stages(folder, steps):
        now = time.perf_counter()
        peaks[stage] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
        seconds[stage] = round(now - last, 1)
        print(f"{stage}: {peaks[stage]} MiB, {seconds[stage]} s", file=sys.stderr, flush=True)
        last = now
    return {"peak_mib": peaks, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--subjects", nargs="+", type=int, default=[SUBJECTS // 8, SUBJECTS // 4, SUBJECTS // 2, SUBJECTS]
    )
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of each subject")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--held", type=int, default=64, help="MiB that each kind of data may take in memory")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="measure this one request, and print it as JSON")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.folder is not None:
        print(json.dumps(measure(args.folder, args.steps, args.held)))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        drawn = draw(Path(name), max(args.subjects), args.pictures)
        print(f"drawn in {time.perf_counter() - began:.0f} s", flush=True)
        flags = {"folder": name, "steps": args.steps, "held": args.held, "threads": args.threads}
        words = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
        for subjects in args.subjects:
            ask(Path(name), drawn[:subjects])
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.scale", *words], stdout=subprocess.PIPE, text=True, check=True
            )
            measured = json.loads(done.stdout.splitlines()[-1])
            rows.append({"subjects": subjects, "pictures": subjects * args.pictures, **measured})
            print(rows[-1], flush=True)
            write_result(args.out, "scale", held_mib=args.held, rows=rows)


if __name__ == "__main__":
    main()
