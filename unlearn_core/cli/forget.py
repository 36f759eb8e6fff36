"""The command that fits: `unlearn forget METHOD REQUEST`, with one flag for each option of the method."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from unlearn_core.cli.flags import DEMO, Model, load_model, placed
from unlearn_core.cli.output import shown, watched_steps
from unlearn_core.cli.runs import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Generator

    from unlearn_core.methods import Fit, Method, Step
    from unlearn_core.methods.world import World
    from unlearn_core.runs import Run
    from unlearn_core.runs.fitting import Keeper


def forget() -> None:
    """Make a model forget the subjects of a request; `unlearn forget --help` lists the methods."""


def forget_with_methods() -> tuple[Callable[..., Any], ConstructorRegistry]:
    """The command with its methods and their options, which are known only after heavy imports."""
    from unlearn_core.methods import ALL_METHODS

    def forget(method: Any) -> Any:
        """Make a model forget the subjects of a request."""
        return method

    ways = [
        Annotated[Any, tyro.conf.subcommand(name, constructor=_with(method))] for name, method in ALL_METHODS.items()
    ]
    forget.__annotations__["method"] = Annotated[Union[tuple(ways)], tyro.conf.arg(name="")]  # noqa: UP007
    registry = ConstructorRegistry()
    registry.struct_rule(_options)
    return forget, registry


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
    def forget(
        request: Path,
        /,
        options: Any,
        out: Path | None = None,
        workspace: Path = WORKSPACE,
        track: tuple[str, ...] = (),
        model: Model = DEMO,
        shard: bool = False,
        json: bool = False,
    ) -> dict[str, Any] | None:
        """The result is kept as a run in the workspace, where the page shows it too. Ctrl-C cancels the run.

        Args:
            request: request that was exported, a folder or zip, or the folder of a run.
            out: a bundle to write as well.
            workspace: folder that holds the runs.
            shard: of several processes each holds only its part of the language model; baselines alone.
            track: tell the numbers of the run to tensorboard, trackio or wandb; needs its package. Nobody is told otherwise.
            json: print JSON.
        """
        from unlearn_core.bundle import export_run
        from unlearn_core.methods.world import World
        from unlearn_core.runs import Workspace
        from unlearn_core.runs.requests import load_request
        from unlearn_core.runs.tracking import check_trackers, tracked
        from unlearn_core.vlm.errors import StorageFailed

        if shard:
            check_shard(method, out)
        check_trackers(track)
        world = World.launched()
        if out is not None and not out.resolve().parent.is_dir():
            raise StorageFailed(f"There is no folder for '{out}'. Please make it first, or name another file.")
        asked = load_request(request, held=False)
        vlm = load_model(placed(model, world), None, shard=shard)
        first = world.rank == 0
        run = Workspace(workspace).create(method.name, asked.name, asked, options, vlm.name) if first else None
        told = nullcontext(_nobody) if run is None else tracked(track, run, options)
        with told as tell:
            fit = carry_out(run, lambda: method.start(vlm, asked, options, world), world, tell)
        world.close()
        if run is None:
            return None
        if fit is None:
            return shown({"run": str(run.folder), "state": run.state.value}, json)
        bundle = {} if out is None else {"bundle": str(export_run(run, vlm, out, title=method.title))}
        return shown({"run": str(run.folder), **bundle, "processes": world.size, "report": fit.report}, json)

    forget.__doc__ = f"{method.title}.\n\n{cleandoc(forget.__doc__ or '')}"
    forget.__annotations__["options"] = Annotated[method.config, tyro.conf.arg(name="")]
    return forget


def check_shard(method: Method, out: Path | None = None) -> None:
    """Raises BadOption."""
    from unlearn_core.methods import BASELINES
    from unlearn_core.vlm.errors import BadOption

    if method.name not in BASELINES:
        raise BadOption(
            f"--shard is for the baselines ({', '.join(BASELINES)}). In a fit by {method.name.upper()} processes do different "
            "things at times, so each needs the whole model. Please leave it out."
        )
    if out is not None:
        raise BadOption(
            "A bundle is checked against the whole model, which no process holds with --shard. Please leave --out out, and "
            "write the bundle afterwards with: unlearn export RUN --out FILE"
        )


def _nobody(step: Step) -> None:
    """Other processes tell no tracker."""


def carry_out(
    run: Run | None, start: Callable[[], Fit], world: World, tell: Callable[[Step], None] = _nobody
) -> Fit | None:
    """Fit, write the run down as it goes, keep checkpoints, and do what the page wants: cancel, or pause, which gives None.

    Of several processes the others have no run and write nothing; what the page wants all do together. Whatever else ends
    the fit early is passed on after the run says that it was cancelled, or why it failed.
    """
    from unlearn_core.runs import RunState
    from unlearn_core.runs.fitting import OFTEN, Keeper, sentence

    try:
        if run is not None:
            run.set_state(RunState.RUNNING)
        fit = start()
        keeper = None if run is None else Keeper(run, OFTEN)
        with closing(cast("Generator[Step]", iter(fit))) as steps:
            for step in watched_steps(steps, shown=run is not None):
                if run is not None:
                    run.append(step)
                tell(step)
                if _ends(fit, step, keeper, world):
                    return None
        if run is not None:
            run.save(fit.module, fit.report)
            run.set_state(RunState.DONE)
        return fit
    except BaseException as error:
        if run is not None:
            cancelled = isinstance(error, KeyboardInterrupt)
            run.set_state(RunState.CANCELLED if cancelled else RunState.FAILED, "" if cancelled else sentence(error))
        raise


def _ends(fit: Fit, step: Step, keeper: Keeper | None, world: World) -> bool:
    """Keep what is due, and do what is wanted of the run: whether it ends here. To be cancelled is like Ctrl-C."""
    from unlearn_core.runs.fitting import agreed
    from unlearn_core.runs.run import Wish

    wish = agreed(None if keeper is None else keeper.run.wish(), step, world)
    if wish is Wish.CANCEL:
        raise KeyboardInterrupt
    if step.index == step.total:  # there is nothing to go on with
        return False
    if keeper is not None and (wish or keeper.due):
        keeper.keep(fit)
        if wish:
            keeper.run.set_state(wish.end)
    return wish is not None
