"""Is the memory of a model given back when it is unloaded on the page? Resident memory, load after load.

    python -m benchmarks.unloading

A model with random weights is loaded, asked with maps and unloaded again and again through what the page's buttons call,
beside a small one that another window keeps; every second time another precision of it takes its place before. In one process as it is, in
another without telling the allocator to give back what is free. Writes benchmarks/results/unloading.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common import RESULTS, write_result
from benchmarks.gpu import pictures
from benchmarks.growth import random_vlm
from components.seats import Seat, Seats
from components.studio import Studio
from unlearn_core.vlm import VLM, Prompt, freeing
from unlearn_core.vlm.loading import Choice, load

SIDE, SMALL = 96, 64
"""Pixels of a picture, and width of the model that stays."""
WINDOW, OTHER = "a window", "another window"


def resident() -> float:
    """MiB of this process in main memory."""
    return round(psutil.Process().memory_info().rss / 2**20, 1)


def asked(vlm: VLM) -> None:
    vlm.ask([Prompt(image, "Who is this?") for image in pictures(4, SIDE)], rows=True)


def opened(studio: Studio, choice: Choice) -> None:
    """What the page does between a click on Load and an answer."""
    studio.turn_to(WINDOW, studio.seats.load(choice).seat.result())
    asked(studio.seats.of(WINDOW).vlm)


def measure(model: Path, rounds: int) -> list[dict[str, Any]]:
    """MiB before the first load, and in each round with the model and without."""
    with tempfile.TemporaryDirectory() as temporary:
        stays = Choice(str(Path(temporary, "small")), device="cpu")
        random_vlm(Path(stays.model), SIDE, SMALL)
        studio = Studio(Seats(Seat(stays, load(stays))), Path(temporary, "workspace"))
        asked(studio.seats.of(OTHER).vlm)
        before, rows = resident(), []
        for i in range(rounds):
            for dtype in ("bfloat16", "float32")[(i + 1) % 2 :]:
                opened(studio, Choice(str(model), device="cpu", dtype=dtype))
            loaded = resident()
            studio.give_up(WINDOW)
            rows.append({"round": i + 1, "before": before, "loaded": loaded, "unloaded": resident()})
        studio.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1024, help="of the model; 1024 are some hundred million weights")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--model", type=Path, help="measure with this checkpoint in this process, and print JSON")
    parser.add_argument("--untrimmed", action="store_true", help="do not tell the allocator")
    parser.add_argument("--out", type=Path, default=RESULTS / "unloading.json")
    args = parser.parse_args()
    if args.model is not None:
        if args.untrimmed:
            freeing.trim = lambda: None
        print(json.dumps(measure(args.model, args.rounds)))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        random_vlm(Path(folder), SIDE, args.width)
        size = round(sum(file.stat().st_size for file in Path(folder).glob("*.safetensors")) / 2**20)
        words = [sys.executable, "-m", "benchmarks.unloading", "--model", folder, "--rounds", str(args.rounds)]
        for way, flags in {"as it is": [], "not told": ["--untrimmed"]}.items():
            done = subprocess.run([*words, *flags], stdout=subprocess.PIPE, text=True, check=True)
            rows += [{"allocator": way, "model": size, **row} for row in json.loads(done.stdout.splitlines()[-1])]
    write_result(args.out, "unloading", rows=rows)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
