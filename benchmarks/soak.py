"""Many people at once for a long time: is every answer right, does memory stay flat, and how long does one wait?

    python -m benchmarks.soak --minutes 30

Each client brings pictures of its own and asks about them, some the original model, some an unlearned one. Every answer is
compared with what the model says when asked alone; a wrong or another's answer counts. Writes benchmarks/results/soak.json.
"""

from __future__ import annotations

import argparse
import html
import random
import re
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import psutil

from benchmarks.common import RESULTS, write_result
from benchmarks.visitor import Visitor
from components.build import build, launch
from components.studio import ORIGINAL, Studio
from unlearn_core.bundle import export
from unlearn_core.methods.cvf import CvfModule
from unlearn_core.vlm import VLM, Prompt
from unlearn_core.vlm.images import open_image
from unlearn_core.vlm.loading import DEMO, Choice

CLIENTS = 16
QUESTIONS = ("What is the job of this person?", "What is the color of the background?", "Who is this person?")
PICTURES = 12
EVERY = 5.0
"""Seconds between two looks at the memory."""
WARM = 0.2
"""Share of the time after which memory should be flat."""
TENTHS = 10
"""Parts into which the time after that is cut, to tell the memory at the ends of each."""


@dataclass
class Tally:
    """What all clients saw together."""

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    failed: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def changed(vlm: VLM, folder: Path) -> tuple[CvfModule, Path]:
    """A result that answers differently, and its bundle: the projector's output turned round."""
    weights = dict(vlm.model.named_parameters())
    name = next(n for n in weights if "multi_modal_projector" in n and n.endswith("weight"))
    module = CvfModule({name: (-2 * weights[name].detach(),)}, {})
    return module, export(module, vlm, folder / "bundle.zip", title="Changed", report={}, limits=[])


def drawn(studio: Studio, folder: Path) -> list[Path]:
    """Photographs of people whom the model knows."""
    shown = [studio.collection.subject(card.id).image for card in studio.collection.subjects()[:PICTURES]]
    paths = [folder / f"{i}.png" for i in range(len(shown))]
    for path, image in zip(paths, shown, strict=True):
        assert image is not None
        image.save(path)
    return paths


def truths(vlms: dict[str, VLM], pictures: list[Path]) -> dict[tuple[str, Path, str], str]:
    """What each model says of each picture when it is asked alone."""
    found = {}
    for model, vlm in vlms.items():
        for path in pictures:
            for question in QUESTIONS:
                found[model, path, question] = vlm.ask([Prompt(open_image(path), question)])[0].text
    return found


def client(url: str, model: str, truth: dict[tuple[str, Path, str], str], end: float, seed: int, tally: Tally) -> None:
    """One person after another until the time is over."""
    draw = random.Random(seed)
    pictures = sorted({path for _, path, _ in truth})
    while time.monotonic() < end:
        try:
            visitor = Visitor(url).open()
            if model != ORIGINAL:
                visitor.call("refresh", ORIGINAL)
            for _ in range(draw.randrange(2, 8)):
                path, question = draw.choice(pictures), draw.choice(QUESTIONS)
                file, began = visitor.upload(path), time.monotonic()
                told = visitor.call("_bring", file, question, model, None, None)
                with tally.lock:
                    tally.seconds.append(time.monotonic() - began)
                    tally.wrong += truth[model, path, question] not in _text(told)
            visitor.leave()
        except Exception as error:
            with tally.lock:
                tally.failed.append(f"{type(error).__name__}: {error}"[:200])


def _text(told: object) -> str:
    """What the page would show, without its markup."""
    return html.unescape(re.sub("<[^>]*>", "", str(told))).replace("\\'", "'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--port", type=int, default=7999)
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vlm = VLM.load(DEMO, device="cpu")
        module, path = changed(vlm, folder)
        page, studio = build(Choice(str(DEMO), device="cpu"), vlm, folder / "workspace")
        models = {ORIGINAL: vlm, studio.bring(path): module.attach(vlm)}
        truth = truths(models, drawn(studio, folder))
        launch(page, "127.0.0.1", options.port, wait=False)
        tally, end = Tally(), time.monotonic() + 60 * options.minutes
        threads = [
            threading.Thread(
                target=client,
                args=(f"http://127.0.0.1:{options.port}", list(models)[i % 2], truth, end, i, tally),
            )
            for i in range(options.clients)
        ]
        for thread in threads:
            thread.start()
        while time.monotonic() < end:
            tally.memory.append(psutil.Process().memory_info().rss / 2**20)
            time.sleep(min(EVERY, max(0.0, end - time.monotonic())))
        for thread in threads:
            thread.join()
        page.close(verbose=False)
        studio.close()
    warm = tally.memory[int(WARM * len(tally.memory)) :]
    cuts = quantiles(tally.seconds, n=100) if len(tally.seconds) > 1 else [0.0] * 99
    row = {
        "clients": options.clients,
        "minutes": options.minutes,
        "answers": len(tally.seconds),
        "wrong": tally.wrong,
        "failed": tally.failed[:20],
        "median_seconds": round(cuts[49], 3),
        "p99_seconds": round(cuts[98], 3),
        "memory_mib": [round(warm[i * (len(warm) - 1) // TENTHS]) for i in range(TENTHS + 1)],
    }
    write_result(options.out, "soak", rows=[row], note="Clients and studio share one process and its memory.")
    print(row)


if __name__ == "__main__":
    main()
