"""What is kept of pictures that are not: moments, of layer inputs and of visual features. No picture can be read from them.

They protect what is retained, and what was forgotten before, when a later request arrives (continual mode of the paper;
that moments alone are kept is its rule, their form is ours).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unlearn_core.methods.null_space import NullSpace, NullSpaceFitter
from unlearn_core.methods.world import World
from unlearn_core.vlm.errors import BadRequest

TENSORS, COUNTS = "moments.safetensors", "moments.json"


@dataclass(eq=False)
class Sums:
    """Sum and sum of squares of each channel, in double precision."""

    total: Float[Tensor, " d"]
    squares: Float[Tensor, " d"]
    count: int

    @classmethod
    def of(cls, rows: Float[Tensor, "*n d"]) -> Sums:
        x = rows.detach().reshape(-1, rows.shape[-1]).double()
        return cls(x.sum(0), x.pow(2).sum(0), len(x))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.total + other.total, self.squares + other.squares, self.count + other.count)

    @property
    def mean(self) -> Float[Tensor, " d"]:
        return (self.total / self.count).float()

    @property
    def variance(self) -> Float[Tensor, " d"]:
        return (self.squares / self.count - (self.total / self.count) ** 2).clamp(min=0).float()


@dataclass(eq=False)
class Moments:
    """Of retained data: second moments of each layer's inputs, and sums of pooled features and of visual tokens."""

    layers: dict[str, NullSpaceFitter] = field(default_factory=dict)
    pooled: Sums | None = None
    tokens: Sums | None = None

    def __add__(self, other: Moments) -> Moments:
        """Moments of what either has seen."""
        out = Moments(pooled=_sum(self.pooled, other.pooled), tokens=_sum(self.tokens, other.tokens))
        for name, fitter in (*self.layers.items(), *other.layers.items()):
            out.layers.setdefault(name, NullSpaceFitter(len(fitter.sum), fitter.sum.device)).merge(fitter)
        return out

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"layers.{name}": fitter.sum.cpu() for name, fitter in self.layers.items()}
        counts = {name: fitter.count for name, fitter in self.layers.items()}
        sums = {"pooled": self.pooled, "tokens": self.tokens}
        for name, value in sums.items():
            if value is not None:
                tensors |= {f"{name}.total": value.total.cpu(), f"{name}.squares": value.squares.cpu()}
        save_file(tensors, folder / TENSORS)
        content = {"layers": counts, "features": {k: v.count for k, v in sums.items() if v is not None}}
        (folder / COUNTS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Moments:
        """Raises BadRequest if the folder holds no moments."""
        try:
            tensors = load_file(folder / TENSORS)
            counts = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
            sums = {k: Sums(tensors[f"{k}.total"], tensors[f"{k}.squares"], n) for k, n in counts["features"].items()}
            out = cls({}, sums.get("pooled"), sums.get("tokens"))
            for name, count in counts["layers"].items():
                out.layers[name] = NullSpaceFitter(len(tensors[f"layers.{name}"]))
                out.layers[name].sum, out.layers[name].count = tensors[f"layers.{name}"], int(count)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BadRequest(
                f"No stored moments could be read from '{folder}'. Please choose the folder they were saved in."
            ) from error
        return out

    def check(self, widths: dict[str, int]) -> None:
        """Raises BadRequest if there are moments, but not of these layers."""
        if self.layers and {name: len(fitter.sum) for name, fitter in self.layers.items()} != widths:
            raise BadRequest(
                "The stored moments are of another model or of other layers. Please train the same blocks of the same model."
            )


@dataclass(eq=False)
class Protected:
    """What a later request must protect: moments of what is kept, and of what was forgotten, as it is seen since."""

    kept: Moments = field(default_factory=Moments)
    gone: Moments = field(default_factory=Moments)

    def save(self, folder: Path) -> None:
        self.kept.save(folder / "kept")
        self.gone.save(folder / "gone")

    @classmethod
    def load(cls, folder: Path) -> Protected:
        """Raises BadRequest if the folder holds no moments."""
        return cls(Moments.load(folder / "kept"), Moments.load(folder / "gone"))


def null_spaces(world: World, layers: Mapping[str, NullSpaceFitter]) -> dict[str, NullSpace]:
    """Of each layer by name, found by one of the processes and handed to the others."""
    own, spaces = set(world.mine(list(layers))), {}
    for name, fitter in layers.items():
        none = torch.zeros_like(fitter.sum)
        spaces[name] = fitter.null_space if name in own else NullSpace(none, none[0].clone(), fitter.count)
    for space in spaces.values():
        world.add([space.basis, space.energy])
    return spaces


def add_shares(world: World, shares: Sequence[Sums | NullSpaceFitter]) -> None:
    """Make sums over each process's share of the data sums over all of it."""
    counts = torch.tensor([share.count for share in shares])
    world.add([counts])
    for share, count in zip(shares, counts.tolist(), strict=True):
        share.count = count
        world.add([share.sum] if isinstance(share, NullSpaceFitter) else [share.total, share.squares])


def _sum(one: Sums | None, other: Sums | None) -> Sums | None:
    return other if one is None else one if other is None else one + other
