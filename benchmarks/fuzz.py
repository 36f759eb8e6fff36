"""Hostile files for everything that reads one: each is read, or refused by a sentence, within five seconds.

    python -m benchmarks.fuzz --minutes 60

Seeds are whole files; each trial damages one in several places. What fails is kept beside the result, to be made a test of.
`benchmarks.fuzz_guided` looks at which lines a file reached, and goes on from those that reached new ones.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import resource
import shutil
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common import RESULTS, write_result
from tests.unit import benchmark_files
from unlearn_core import bundle
from unlearn_core.data.bank import load_bank
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.data.readers import opened, read
from unlearn_core.methods.cvf import CvfModule
from unlearn_core.runs.requests import export_request, load_request
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import StudioError
from unlearn_core.vlm.images import open_image
from unlearn_core.vlm.loading import DEMO, Choice, check

SLOWEST = 5.0
"""Seconds of the processor that a file may take; those of the clock grow when others use the machine, too."""
TOKENS = (
    b"\x00", b"\xff" * 4, b"\xed\xa0\x80", b"\\ud800", "\u202e".encode(), b"-1", b"1e999", b"NaN", b"9" * 400, b"[" * 5000,
    b'{"a":' * 500, b"../" * 9, b"/etc/passwd", b"C:\\x", b"{{7*7}}", b"${x}", b"<svg onload=x>", b"<!doctype html>",
    b"PK\x05\x06" + bytes(18), b"PK\x01\x02", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b'","', b"\r\n", b"null", b"=1+1",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    Args:
        name: of the file that it is given. read: raises StudioError for what it refuses.
        seeds: whole files.
    """

    name: str
    read: Callable[[Path], object]
    seeds: tuple[bytes, ...]


@dataclass
class Found:
    """What became of the files that one target was given."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)


def targets(vlm: VLM, folder: Path) -> dict[str, Target]:
    """Everything that reads files; `folder` is for making seeds."""
    rows = [
        {"file_name": "a.png", "subject": "A", "question": "Who?", "answer": "A", "side": "forget"},
        {"question": "1 + 1?", "answer": "2", "side": "retain"},
    ]
    lines = "\n".join(map(json.dumps, rows)).encode()
    examples = _zip({"metadata.jsonl": lines, "a.png": _picture("PNG")})
    asked = ForgetRequest(
        "n",
        (Example("1", open_image(_picture("PNG")), "Who?", "A", "A"),),
        retain=(Example("2", None, "1 + 1?", "2", kind="text"),),
        refusals=("No.",),
    )
    request = export_request(asked, folder / "request.zip").read_bytes()
    weights = dict(vlm.model.named_parameters())
    name = next(n for n in weights if "multi_modal_projector" in n and n.endswith("weight"))
    made = bundle.export(
        CvfModule({name: (weights[name].detach(),)}, {}), vlm, folder / "seed.zip", title="t", report={}, limits=["l"]
    )
    config = (Path(vlm.name) / "config.json").read_bytes()
    bank = json.dumps([{"label": "job", "phrasings": ["What is the job?"]}]).encode()
    pictures = tuple(map(_picture, ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")))
    fiubench, table = benchmark_files.fiubench(_new(folder / "fiubench"), people=3), "full.json"
    clear, faces = benchmark_files.clear(_new(folder / "clear")), "real_faces/train-00000-of-00001.parquet"
    return {
        "picture": Target("a.png", open_image, pictures),
        "lines": Target("a.jsonl", _examples, (lines,)),
        "json": Target("a.json", _examples, (json.dumps(rows).encode(),)),
        "csv": Target("a.csv", _examples, (b"question,answer,side\nWho?,A,forget\n1 + 1?,2,retain\n",)),
        "examples": Target("a.zip", _examples, (examples,)),
        "request": Target("a.zip", load_request, (request,)),
        "bank": Target("a.json", load_bank, (bank,)),
        "bundle": Target("a.zip", lambda path: bundle.load(path, vlm), (made.read_bytes(),)),
        "fiubench": Target("a.json", partial(_among, fiubench, table), ((fiubench / table).read_bytes(),)),
        "parquet": Target("a.parquet", partial(_among, clear, faces), ((clear / faces).read_bytes(),)),
        "checkpoint": Target("checkpoint/config.json", lambda path: _preflight(path, Path(vlm.name)), (config,)),
    }


def damaged(seed: bytes, draw: random.Random) -> bytes:
    """A file with a few things wrong with it."""
    data = bytearray(seed)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(6):
            case 0:
                del data[at:]
            case 1:
                data[at : at + 1] = bytes([draw.randrange(256)])
            case 2:
                data[at:at] = draw.choice(TOKENS)
            case 3:
                token = draw.choice(TOKENS)
                data[at : at + len(token)] = token
            case 4:
                del data[at : at + draw.randrange(1, 64)]
            case _:
                data[at:at] = data[: draw.randrange(256)]
    return bytes(data)


def attempt(target: Target, data: bytes, folder: Path, found: Found) -> None:
    """Give a file to a target, and note what came of it."""
    path = folder / target.name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    began = time.process_time()
    try:
        target.read(path)
        found.read += 1
    except StudioError:
        found.refused += 1
    except Exception as error:
        found.failures[f"{type(error).__name__}: {error}"[:120]] += 1
    took = time.process_time() - began
    found.slowest = max(found.slowest, took)
    if took > SLOWEST:
        found.failures["too slow"] += 1


def _preflight(config: Path, whole: Path) -> object:
    """Reckon with a configuration beside the other files of a whole checkpoint."""
    for other in whole.iterdir():
        beside = config.parent / other.name
        if not beside.exists():
            beside.symlink_to(other)
    return check(Choice(str(config.parent), device="cpu"))


def _examples(path: Path) -> list[Any]:
    return list(opened(read(path).rows))


def _among(whole: Path, name: str, path: Path) -> list[Any]:
    """Examples of a benchmark of which one file is damaged."""
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(whole, root, dirs_exist_ok=True)
        shutil.copy(path, Path(root) / name)
        return _examples(Path(root))


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@dataclass
class Search:
    """A search that has begun.

    Args:
        out: of the result; what failed is kept beside it.
        idle: bytes that the process had taken at most when it began.
    """

    targets: dict[str, Target]
    folder: Path
    out: Path
    minutes: float
    began: float = field(default_factory=time.monotonic)
    idle: int = field(default_factory=lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    found: dict[str, Found] = field(default_factory=lambda: defaultdict(Found))

    @property
    def over(self) -> bool:
        return time.monotonic() - self.began > 60 * self.minutes

    def give(self, kind: str, data: bytes) -> None:
        """Let a target read, and keep what fails, once for each way to fail."""
        found = self.found[kind]
        before = set(found.failures)
        attempt(self.targets[kind], data, self.folder, found)
        if new := found.failures.keys() - before:
            name = hashlib.sha256(new.pop().encode()).hexdigest()[:8]
            self.out.with_name(f"fuzz-{kind}-{name}").write_bytes(data)

    def write(self, module: str, **more: Any) -> None:
        above = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.idle) / 1e6
        results = {kind: vars(found) for kind, found in sorted(self.found.items())}
        took = round((time.monotonic() - self.began) / 60, 1)
        write_result(self.out, module, minutes=took, gigabytes_above_idle=round(above, 3), **more, targets=results)


def search(folder: Path, options: argparse.Namespace) -> Search:
    options.out.parent.mkdir(parents=True, exist_ok=True)
    return Search(targets(VLM.load(DEMO, device="cpu"), folder), folder, options.out, options.minutes)


def arguments(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    return parser


def main() -> None:
    options = arguments("fuzz").parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        begun = search(Path(name), options)
        while not begun.over:
            kind = draw.choice(list(begun.targets))
            begun.give(kind, damaged(draw.choice(begun.targets[kind].seeds), draw))
        begun.write("fuzz", seed=options.seed)


if __name__ == "__main__":
    main()
