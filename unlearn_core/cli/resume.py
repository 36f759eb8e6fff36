"""The command that goes on with a run: `unlearn resume RUN`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearn_core.cli.flags import DEMO, Model, load_model
from unlearn_core.cli.output import shown, step_bar


def resume(run: Path, /, track: tuple[str, ...] = (), model: Model = DEMO, json: bool = False) -> dict[str, Any] | None:
    """Go on, where it was, with a run that was paused or broke off, whoever started it. Ctrl-C cancels it.

    Args:
        run: folder of the run.
        track: tell the numbers of the run to tensorboard, trackio or wandb; needs its package. Nobody is told otherwise.
        json: print JSON.
    """
    from unlearn_core.methods import ALL_METHODS
    from unlearn_core.methods.options import from_values
    from unlearn_core.runs import RunDamaged, RunState, Workspace
    from unlearn_core.runs.fitting import carry_out
    from unlearn_core.runs.tracking import check_trackers

    check_trackers(track)
    workspace, name = Workspace(run.resolve().parent), run.resolve().name
    found = workspace.run(name)
    if found.info.method not in ALL_METHODS:
        raise RunDamaged("This run is of a method that this version does not know. Please update, or start a new one.")
    method = ALL_METHODS[found.info.method]
    config = from_values(method.config, found.config())
    vlm = load_model(model if model.model else replace(model, model=found.info.model), None)
    taken = workspace.take(name)
    with step_bar() as watch:
        status, _ = carry_out(taken, vlm, method, config, watch=watch, trackers=track)
    taken.set_state(status.state, status.message)
    if status.state is RunState.CANCELLED:
        raise KeyboardInterrupt
    if status.state is RunState.FAILED:
        raise SystemExit(status.message)
    return shown({"run": str(taken.folder), "state": status.state.value}, json)
