"""Hostile files for everything that reads one: each is read, or refused by a sentence, within five seconds.

    python -m benchmarks.fuzz --minutes 60

Seeds are whole files; each trial damages one in several places. What fails is kept beside the result, to be made a test of.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.common import RESULTS, write_result
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
"""Seconds that a file may take."""
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
    failures: list[str] = field(default_factory=list)


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
    return {
        "picture": Target("a.png", open_image, pictures),
        "lines": Target("a.jsonl", _examples, (lines,)),
        "json": Target("a.json", _examples, (json.dumps(rows).encode(),)),
        "csv": Target("a.csv", _examples, (b"question,answer,side\nWho?,A,forget\n1 + 1?,2,retain\n",)),
        "examples": Target("a.zip", _examples, (examples,)),
        "request": Target("a.zip", load_request, (request,)),
        "bank": Target("a.json", load_bank, (bank,)),
        "bundle": Target("a.zip", lambda path: bundle.load(path, vlm), (made.read_bytes(),)),
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
    began = time.monotonic()
    try:
        target.read(path)
        found.read += 1
    except StudioError:
        found.refused += 1
    except Exception as error:
        found.failures.append(f"{type(error).__name__}: {error}"[:300])
    took = time.monotonic() - began
    found.slowest = max(found.slowest, took)
    if took > SLOWEST:
        found.failures.append(f"took {took:.1f} s")


def _preflight(config: Path, whole: Path) -> object:
    """Reckon with a configuration beside the other files of a whole checkpoint."""
    for other in whole.iterdir():
        beside = config.parent / other.name
        if not beside.exists():
            beside.symlink_to(other)
    return check(Choice(str(config.parent), device="cpu"))


def _examples(path: Path) -> list[Any]:
    return list(opened(read(path).rows))


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "fuzz.json")
    options = parser.parse_args()
    draw, end = random.Random(options.seed), time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        all_of_them = targets(VLM.load(DEMO, device="cpu"), folder)
        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = {name: Found() for name in all_of_them}
        while time.monotonic() < end:
            kind = draw.choice(list(all_of_them))
            target, before = all_of_them[kind], len(found[kind].failures)
            data = damaged(draw.choice(target.seeds), draw)
            attempt(target, data, folder, found[kind])
            if len(found[kind].failures) > before:
                options.out.with_name(f"fuzz-{kind}-{before}").write_bytes(data)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) / 1e6
    write_result(
        options.out,
        "fuzz",
        seed=options.seed,
        minutes=options.minutes,
        gigabytes_above_idle=round(more, 3),
        targets={kind: vars(result) for kind, result in found.items()},
    )


if __name__ == "__main__":
    main()
