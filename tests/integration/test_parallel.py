"""Two processes on one machine learn what one process learns. This file is also the program that they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor

from unlearn_core import bundle, cli
from unlearn_core.data.example import Example, ForgetRequest
from unlearn_core.methods import ALL_METHODS
from unlearn_core.methods.options import from_values
from unlearn_core.methods.world import ALONE, World
from unlearn_core.runs.requests import read_request, write_request
from unlearn_core.vlm import VLM
from unlearn_core.vlm.errors import BadRequest
from unlearn_core.vlm.loading import Choice, load

PROCESSES = 2

STEPS = 5
CVF = {"steps": STEPS, "forget_batch": 5, "retain_batch": 5, "questions": 5, "rate": 1e-2}
LORA = {"steps": STEPS, "rank": 2, "alpha": 4, "batch": 5, "rate": 0.01}
EVERY_TERM = {"keep_weight": 1.0, "retain_weight": 0.3, "kl_weight": 0.2, "adversary": 5.0, "target": "stranger"}
ONE_PICTURE = {"forget_batch": 1, "questions": 1, "null_space": "ratio", "reference": "blurred"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "cagul": ("cagul", {"steps": STEPS, "width": 8, "batch": 5, "hard_negatives": 1, "gate_width": 4} | EVERY_TERM),
    "cvf": ("cvf", CVF | {"null_space": "soft"}),
    "cvf, fewer rows than processes": ("cvf", CVF | ONE_PICTURE),
    "idk": ("idk", LORA),
    "npo": ("npo", LORA),
    "gd, fewer rows than processes": ("gd", LORA | {"batch": 1, "retain_batch": 1}),
}
SHARDED: dict[str, tuple[str, dict[str, Any]]] = {
    "kl, sharded": ("kl", LORA),
    "npo, sharded, fewer rows than processes": ("npo", LORA | {"batch": 1, "retain_batch": 1}),
}
"""With the language model's weights shared out; with a whole model the same is learned."""


def picture(seed: int, channel: int | None = None) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 110, (40, 48, 3), dtype=np.uint8)
    if channel is not None:
        pixels[..., channel] += 130
    return Image.fromarray(pixels)


def rows(subject: str, count: int, seed: int, answer: str, channel: int | None = None) -> tuple[Example, ...]:
    return tuple(
        Example(f"{subject}{i}", picture(seed + i, channel), "What is the job?", answer, subject) for i in range(count)
    )


def wanted() -> ForgetRequest:
    """Odd numbers of everything, so that no share is like another; answers of different length."""
    gone = (*rows("x", 5, 0, "baker", 0), *rows("w", 4, 50, "a very good smith", 1))
    keep = tuple(Example(f"k{i}", e.image, "What colour?", "red", e.subject, "visual") for i, e in enumerate(gone[:4]))
    kept = (*rows("y", 7, 100, "tailor"), *rows("z", 6, 200, "cook"), Example("t", None, "What is 1 + 1?", "2"))
    strangers = tuple(picture(500 + i) for i in range(5))
    return ForgetRequest("test", gone, keep, kept, strangers, ("I do not know.", "No idea."))


def fit(case: str, vlm: VLM, request: ForgetRequest, world: World, out: Path) -> None:
    """Save what one process has learned, and what it has seen on the way."""
    name, options = (CASES | SHARDED)[case]
    method = ALL_METHODS[name]
    going = method.start(vlm, request, from_values(method.config, options), world)
    seen = [{**step.losses, "forget share": step.forget, "retain share": step.retain} for step in going if step.losses]
    path = out / f"{case} {world.rank} of {world.size}"
    save_file({k: v.detach().contiguous() for k, v in going.module.tensors().items()}, f"{path}.safetensors")
    Path(f"{path}.json").write_text(json.dumps({"steps": seen, "report": going.report}))


def exact(model: Path, *, shard: bool = False) -> VLM:
    """In double precision, so that a share that is wrong cannot pass for rounding."""
    return load(Choice(str(model), device="cpu", dtype="float64", shard=shard))


def held(vlm: VLM) -> tuple[int, int]:
    """Bytes of the decoder's linear layers and of all other weights that this process keeps."""
    sizes = {True: 0, False: 0}
    for name, weight in vlm.model.named_parameters():
        layer = vlm.model.get_submodule(name.rpartition(".")[0])
        own = weight.to_local() if isinstance(weight, DTensor) else weight
        sizes[isinstance(layer, nn.Linear) and name.startswith(vlm.family.language)] += own.untyped_storage().nbytes()
    return sizes[True], sizes[False]


def work(model: str, request: str, out: str) -> None:
    """What each of the processes does."""
    torch.cpu.get_capabilities = dict  # nor may bfloat16, which fits round to where it is fast
    world = World.launched()
    assert world.size == PROCESSES
    vlm, asked = exact(Path(model)), read_request(Path(request))
    for case in CASES:
        fit(case, vlm, asked, world, Path(out))
    shared = exact(Path(model), shard=True)
    for case in SHARDED:
        fit(case, shared, asked, world, Path(out))
    refused = [refusal(method, shared, asked, world) for method in ("cagul", "cvf")]
    Path(f"{out}/held {world.rank}").write_text(json.dumps({"held": held(shared), "refused": refused}))
    flags = [word for name, value in LORA.items() for word in (f"--{name}", str(value))]
    sys.argv = [
        "unlearn",
        "forget",
        "gd",
        request,
        "--model",
        model,
        "--json",
        *flags,
        "--workspace",
        f"{out}/workspace",
    ]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(Path(f"{out}/sharded {world.rank}").open("w")):
        patch.setattr(World, "close", lambda self: None)  # the command after this one needs the others too
        patch.setattr(sys, "argv", [*sys.argv, "--shard"])
        cli.main()
    sys.argv += ["--out", f"{out}/bundle.zip"]
    cli.main()


def refusal(method: str, vlm: VLM, request: ForgetRequest, world: World) -> str:
    with pytest.raises(BadRequest) as refused:
        ALL_METHODS[method].start(vlm, request, ALL_METHODS[method].config(), world)
    return str(refused.value)


@pytest.fixture(scope="module", autouse=True)
def all_cores() -> None:
    """Not here: the tiny model is faster on one."""


@pytest.fixture(scope="module")
def together(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the processes have learned, saved by each. `torchrun` starts them here as `accelerate launch` does on GPUs."""
    out = tmp_path_factory.mktemp("together")
    (out / "request").mkdir()
    write_request(out / "request", wanted())
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
    done = subprocess.run(
        [*launcher, __file__, str(tiny_folder), str(out / "request"), str(out)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    (out / "printed").write_text(done.stdout)
    return out


@pytest.mark.parametrize("case", CASES | SHARDED)
def test_two_processes_learn_what_one_does(
    case: str, together: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    fit(case, exact(tiny_folder), read_request(together / "request"), ALONE, together)
    alone, first, second = (f"{together}/{case} {rank} of {size}" for rank, size in ((0, 1), (0, 2), (1, 2)))
    one, two, other = (load_file(f"{path}.safetensors") for path in (alone, first, second))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(two[name], other[name]), "both processes hold the same bits"
        torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=1e-6)
    assert any(tensor.abs().max() > 1e-3 for tensor in one.values()), "something was learned"

    expected, seen = (json.loads(Path(f"{path}.json").read_text()) for path in (alone, first))
    assert seen["steps"] == [pytest.approx(step, rel=1e-5, abs=1e-5) for step in expected["steps"]]
    assert seen["steps"] == json.loads(Path(f"{second}.json").read_text())["steps"]


def test_the_command_writes_one_bundle_and_prints_one_report(together: Path, tiny_vlm: VLM) -> None:
    printed = json.loads((together / "printed").read_text())
    assert printed["processes"] == PROCESSES
    assert printed["report"]["steps"] == LORA["steps"]
    module = bundle.load(together / "bundle.zip", tiny_vlm)
    assert module.settings() == {"method": "gd", "rank": LORA["rank"], "alpha": LORA["alpha"]}
    assert all(tensor.any() for tensor in module.tensors().values()), "every layer has learned something"


def test_each_process_keeps_half_of_a_shared_language_model(together: Path, tiny_folder: Path) -> None:
    """Also after fits, in which every layer was whole for a moment."""
    linear, others = held(exact(tiny_folder))
    kept = [json.loads((together / f"held {rank}").read_text()) for rank in range(PROCESSES)]
    assert [process["held"] for process in kept] == [[linear // PROCESSES, others]] * PROCESSES
    assert all("needs all of it" in says for process in kept for says in process["refused"])


def test_a_run_of_shared_weights_is_that_of_whole_ones(together: Path) -> None:
    printed = json.loads((together / "sharded 0").read_text())
    assert printed["processes"] == PROCESSES
    assert not (together / "sharded 1").read_text()
    whole = json.loads((together / "printed").read_text())
    one, other = (load_file(Path(run["run"], "module", "module.safetensors")) for run in (printed, whole))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("size", range(1, 6))
@pytest.mark.parametrize("count", range(8))
def test_all_processes_have_as_many_rounds(size: int, count: int) -> None:
    rounds = [list(World(rank, size).rounds(range(count), 2)) for rank in range(size)]
    assert len({len(own) for own in rounds}) == 1
    assert sorted(i for own in rounds for part in own for i in part) == list(range(count))
    assert all(len(part) <= 2 for own in rounds for part in own)


@pytest.mark.parametrize("size", range(1, 6))
@pytest.mark.parametrize("count", range(8))
def test_shares_of_a_batch_make_the_batch(size: int, count: int) -> None:
    batch = [float(i * i) for i in range(count)]
    worlds = [World(rank, size) for rank in range(size)]
    assert sorted(x for world in worlds for x in world.mine(batch)) == batch
    dealt = [world.deal(batch) for world in worlds]
    assert all(bool(own) == bool(batch) for own, _ in dealt), "no process goes without rows"
    parts = [share * sum(own) / len(own) for own, share in dealt if own]
    assert sum(parts) == pytest.approx(sum(batch) / count if count else 0)


if __name__ == "__main__":
    work(*sys.argv[1:])
