"""Commands about runs in a workspace: runs, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_core.cli.flags import DEMO, Model, load_model
from unlearn_core.cli.output import duration, print_table, share, shown

if TYPE_CHECKING:
    from unlearn_core.runs import Run

WORKSPACE = Path("workspace")


def runs(workspace: Path = WORKSPACE, json: bool = False) -> list[dict[str, Any]] | None:
    """List the runs of a workspace, newest first, whoever started them.

    Args:
        workspace: folder that holds the runs.
        json: print JSON.
    """
    from unlearn_core.runs import Workspace

    found = [_summary(run) for run in Workspace(workspace).runs()]
    if json:
        return found
    rows = [
        (r["id"], r["method"], r["title"], r["state"], share(r["forget"]), share(r["retain"]), duration(r["seconds"]))
        for r in found
    ]
    print_table("Runs", ("id", "method", "title", "state", "still answered", "kept", "time"), rows)
    return None


def _summary(run: Run) -> dict[str, Any]:
    steps, status = run.events(), run.status
    probed = next((step for step in reversed(steps) if step.forget is not None), None)
    return {
        "id": run.id,
        "title": run.info.title,
        "method": run.info.method,
        "model": run.info.model,
        "created": run.info.created,
        "state": status.state.value,
        "message": status.message,
        "steps": len(steps),
        "forget": None if probed is None else probed.forget,
        "retain": None if probed is None else probed.retain,
        "seconds": steps[-1].seconds if steps else 0.0,
        "bytes": sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()),
    }


def export(
    run: Path,
    /,
    out: Path,
    title: str = "Unlearned",
    data_license: str = "",
    upload: str = "",
    public: bool = False,
    model: Model = DEMO,
    json: bool = False,
) -> dict[str, Any] | None:
    """Write what a run has learned as one file, which is loaded again and compared before it is kept.

    Args:
        run: folder of a run that is done.
        out: the bundle to write.
        title: goes into the bundle for everyone to read: name nobody in it.
        data_license: of the pictures and answers that it was fitted on; what is not given is called unknown.
        upload: repository on the hub, such as owner/name, to which the bundle is sent; it is made if need be. The token
            is that of HF_TOKEN, or of the hub's own login.
        public: a repository that has to be made can be seen by everybody.
        json: print JSON.
    """
    from unlearn_core import bundle
    from unlearn_core.runs import Workspace

    found = Workspace(run.resolve().parent).run(run.resolve().name)
    vlm = load_model(model if model.model else replace(model, model=found.info.model), None)
    bundle.export_run(found, vlm, out, title=title, data_license=data_license)
    done = {"bundle": str(out), "bytes": out.stat().st_size}
    if upload:
        done["url"] = bundle.upload(out, upload, private=not public)
    return shown(done, json)
