"""The command that goes on with a run: `unlearn resume RUN`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearn_core.cli.flags import DEMO, Model, load_model, placed
from unlearn_core.cli.forget import check_shard
from unlearn_core.cli.output import shown, step_bar


def resume(
    run: Path, /, track: tuple[str, ...] = (), model: Model = DEMO, shard: bool = False, json: bool = False
) -> dict[str, Any] | None:
    """Go on, where it was, with a run that was paused or broke off, whoever started it. Ctrl-C cancels it.

    Several processes that were launched together go on with it together, however many there were before.

    Args:
        run: folder of the run, which all processes must be able to read.
        shard: of several processes each holds only its part of the language model; baselines alone.
        track: tell the numbers of the run to tensorboard, trackio or wandb; needs its package. Nobody is told otherwise.
        json: print JSON.
    """
    from unlearn_core.methods import ALL_METHODS
    from unlearn_core.methods.options import from_values
    from unlearn_core.methods.world import World
    from unlearn_core.runs import RunDamaged, RunState, Workspace
    from unlearn_core.runs.fitting import carry_out, go_along
    from unlearn_core.runs.tracking import check_trackers

    check_trackers(track)
    workspace, name = Workspace(run.resolve().parent), run.resolve().name
    found = workspace.run(name)
    if found.info.method not in ALL_METHODS:
        raise RunDamaged("This run is of a method that this version does not know. Please update, or start a new one.")
    method = ALL_METHODS[found.info.method]
    if shard:
        check_shard(method)
    world, config = World.launched(), from_values(method.config, found.config())
    named = model if model.model else replace(model, model=found.info.model)
    vlm = load_model(placed(named, world), None, shard=shard)
    if world.rank > 0:
        go_along(found, vlm, method, config, world)
        world.close()
        return None
    taken = workspace.take(name)
    with step_bar() as watch:
        status, _ = carry_out(taken, vlm, method, config, world=world, watch=watch, trackers=track)
    taken.set_state(status.state, status.message)
    if status.state is RunState.CANCELLED:
        raise KeyboardInterrupt
    if status.state is RunState.FAILED:
        raise SystemExit(status.message)
    world.close()
    return shown({"run": str(taken.folder), "state": status.state.value}, json)
