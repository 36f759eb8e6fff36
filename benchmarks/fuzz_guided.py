"""As `benchmarks.fuzz`, but guided by coverage: a file that reaches new lines of the readers is damaged further.

    pip install 'vlm-unlearning-studio[fuzz]'
    python -m benchmarks.fuzz_guided --minutes 60

All targets share one search; the first byte of what is tried says which one reads the rest.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["unlearn_core.data", "unlearn_core.bundle", "unlearn_core.runs", "PIL"]):  # pyright: ignore
    from benchmarks.fuzz import Search, arguments, damaged, search

LONGEST = 2**20
"""Bytes of a file."""
HANGS = 60
"""Seconds after which a target that does not come back ends the search."""


def changed(data: bytes, most: int, seed: int) -> bytes:
    """By our own damage or by the fuzzer's, each half of the time; the target stays."""
    draw = random.Random(seed)
    body = damaged(data[1:], draw) if draw.random() < 0.5 else bytes(atheris.Mutate(data[1:], most - 1))
    return data[:1] + body[: most - 1]


def seeded(folder: Path, begun: Search) -> Path:
    """The files to begin with."""
    folder.mkdir()
    for i, (kind, target) in enumerate(begun.targets.items()):
        for j, seed in enumerate(target.seeds):
            (folder / f"{kind}-{j}").write_bytes(bytes([i]) + seed)
    return folder


def main() -> None:
    options = arguments("fuzz_guided").parse_args()
    with tempfile.TemporaryDirectory() as name:
        begun = search(Path(name), options)
        kinds = list(begun.targets)

        def one(data: bytes) -> None:
            if begun.over:
                begun.write("fuzz_guided", seed=options.seed, atheris=version("atheris"))
                shutil.rmtree(name)
                os._exit(0)  # the fuzzer has no other way to end without an error
            if data:
                begun.give(kinds[data[0] % len(kinds)], data[1:])

        corpus = seeded(Path(name) / "corpus", begun)
        flags = [f"-seed={options.seed + 1}", f"-max_len={LONGEST}", f"-timeout={HANGS}", "-rss_limit_mb=4096"]
        flags += [f"-artifact_prefix={options.out.parent}/", "-verbosity=0"]
        atheris.Setup(["fuzz_guided", str(corpus), *flags], one, custom_mutator=changed)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
