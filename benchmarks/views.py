"""How long a new view of a stored answer takes, without asking the model again.

    python -m benchmarks.views

Each view is made as the page makes it, figure or markup and its JSON, for the longest kind of answer of the demo model.
While these views are made, a pass of any layer of the model is an error. The views that need passes are listed apart.
Writes benchmarks/results/views.json. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks.common import RESULTS, write_result
from components import answers
from components.deeper import file_of
from components.gallery import DemoWorld
from components.looking import EVERYTHING, GRADIENT, KINDS, RELATIVE, Looked, Maps, look, prepare, tokens_of, values
from unlearn_core.attention import Scorer, faithfulness
from unlearn_core.vlm import VLM
from unlearn_core.vlm.loading import DEMO

SUBJECT = "p07"


def stored(vlm: VLM) -> Looked:
    """The description of a person, which is the longest answer that the demo model gives, with its maps that need passes."""
    shown = DemoWorld().subject(SUBJECT)
    looked = look(vlm, shown, next(a.question for a in shown.asks if a.label == "description"))
    for kind in (RELATIVE, GRADIENT):
        deque(prepare(vlm, looked, replace(EVERYTHING, words=(3,), kind=kind)), maxlen=0)
    return looked


def views(looked: Looked) -> dict[str, Callable[[], Any]]:
    """By name, what the page makes anew when something else is chosen."""
    word = replace(EVERYTHING, words=(3,))
    place = replace(word, place=(0.5, 0.4))

    def everything() -> None:
        answers.words(looked, place)
        answers.heat_map(looked, place).to_json()
        answers.share_lines(looked, place).to_json()
        answers.note(looked, place)
        answers.part_bars(looked, place).to_json()
        answers.head_grid(looked, place)

    return {
        "another word": lambda: answers.heat_map(looked, word).to_json(),
        "one layer and head": lambda: answers.heat_map(looked, replace(word, layers=(1,), heads=(2,))).to_json(),
        "relative map": lambda: answers.heat_map(looked, replace(word, kind=RELATIVE)).to_json(),
        "gradient map": lambda: answers.heat_map(looked, replace(word, kind=GRADIENT)).to_json(),
        "words that looked at a place": lambda: answers.note(looked, place),
        "shares of each word": lambda: answers.part_bars(looked, word).to_json(),
        "layers and heads": lambda: answers.head_grid(looked, word),
        "all that a click redraws": everything,
        "PNG": lambda: file_of(looked, word, "png"),
        "SVG": lambda: file_of(looked, word, "svg"),
        "npz": lambda: file_of(looked, word, "npz"),
    }


def passes(vlm: VLM, looked: Looked) -> dict[str, Callable[[], Any]]:
    """By name, what needs passes of the model."""
    word = replace(EVERYTHING, words=(3,))

    def anew(kind: str) -> None:
        deque(prepare(vlm, replace(looked, maps=Maps()), replace(word, kind=kind)), maxlen=0)

    def check() -> None:
        assert looked.rows is not None
        score = Scorer.of(vlm, looked.prompt, looked.answer, tokens_of(looked, word.words))
        deque(faithfulness(score, values(looked, word), looked.rows.tiles), maxlen=0)

    kinds = [kind for kind in KINDS if kind != "attention"]
    made = {KINDS[kind].label: lambda kind=kind: anew(kind) for kind in kinds}
    return {"is the map telling the truth": check, **made}


@contextmanager
def without_passes() -> Iterator[None]:
    """Inside, no layer of any model may run: a picture can be encoded without the whole model being called."""

    def forbid(module: torch.nn.Module, _: Any) -> None:
        raise AssertionError(f"a view asked the model ({type(module).__name__})")

    hook = register_module_forward_pre_hook(forbid)
    try:
        yield
    finally:
        hook.remove()


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    vlm = VLM.load(DEMO, device="cpu")
    looked = stored(vlm)
    with without_passes():
        stored_views = {name: seconds(view, args.repeats) for name, view in views(looked).items()}
    with_passes = {name: seconds(work, 1) for name, work in passes(vlm, looked).items()}
    for name, took in {**stored_views, **with_passes}.items():
        print(f"{took:7.3f} s  {name}")
    about = {"words": len(looked.words), "rows_mib": round(looked.nbytes() / 2**20, 2), "repeats": args.repeats}
    write_result(RESULTS / "views.json", "views", **about, views=stored_views, with_passes=with_passes)


if __name__ == "__main__":
    main()
