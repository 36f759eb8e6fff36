"""The command that fits: `unlearn forget METHOD REQUEST`, with one flag for each option of the method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from unlearn_core.cli.flags import DEMO, Model, load_model

if TYPE_CHECKING:
    from unlearn_core.methods import Fit, Method


def forget(words: Sequence[str]) -> dict[str, Any] | None:
    """The rest of the command `forget`. Its methods and their options are known only now that they are imported."""
    from unlearn_core.methods import ALL_METHODS

    registry = ConstructorRegistry()
    registry.struct_rule(_options)
    return tyro.extras.subcommand_cli_from_dict(
        {name: _with(method) for name, method in ALL_METHODS.items()},
        prog="unlearn forget",
        description="Make a model forget the subjects of a request.",
        args=words,
        registry=registry,
    )


def _options(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Flags of a method, drawn from the fields of its config."""
    kind: Any = info.type
    described = [f for f in getattr(kind, "__dataclass_fields__", {}).values() if "help" in f.metadata]
    if not described:
        return None
    flags = []
    for f in fields(kind):
        words = f.metadata["choices"]
        values: Any = Literal[words] if words else type(f.default)
        flags.append(StructFieldSpec(f.name, values, f.default, f.metadata["help"]))
    return StructConstructorSpec(instantiate=kind, fields=tuple(flags))


def _with(method: Method) -> Callable[..., dict[str, Any] | None]:
    def forget(request: Path, /, out: Path, options: Any, model: Model = DEMO) -> dict[str, Any] | None:
        """The result is written as a bundle, and the report of the fit printed as JSON.

        Args:
            request: request that was exported, a folder or zip, or the folder of a run.
            out: the bundle to write.
        """
        from unlearn_core.bundle import export
        from unlearn_core.methods.world import World
        from unlearn_core.runs.requests import load_request
        from unlearn_core.vlm.errors import StorageFailed

        world = World.launched()
        first = world.rank == 0
        if first and not out.resolve().parent.is_dir():
            raise StorageFailed(f"There is no folder for '{out}'. Please make it first, or name another file.")
        asked = load_request(request)
        vlm = load_model(model if world.size == 1 else replace(model, device=str(world.device)), None)
        fit = method.start(vlm, asked, options, world)
        _carry_out(fit, shown=first)
        world.close()
        if not first:
            return None
        export(fit.module, vlm, out, title=method.title, report=fit.report, limits=())
        return {"bundle": str(out), "processes": world.size, "report": fit.report}

    forget.__doc__ = f"{method.title}.\n\n{cleandoc(forget.__doc__ or '')}"
    forget.__annotations__["options"] = Annotated[method.config, tyro.conf.arg(name="")]
    return forget


def _carry_out(fit: Fit, shown: bool) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not shown) as progress:
        bar = progress.add_task("Starting")
        for step in fit:
            progress.update(bar, description=step.phase, completed=step.index, total=step.total)
