"""The command that removes what is kept about somebody: `unlearn purge ID`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from unlearn_core.cli.output import shown


def purge(
    name: str, /, workspace: Path = Path("workspace"), everywhere: bool = False, json: bool = False
) -> dict[str, Any] | None:
    """Remove a run or a saved request, then search the workspace for its people and their pictures; print what was found.

    Args:
        name: id of a run or of a saved request, as the workspace has it.
        workspace: folder that holds the runs.
        everywhere: remove every run and request too that names the same people or holds the same pictures.
        json: print JSON.
    """
    from unlearn_core.runs.purge import purge as purge_from

    found = purge_from(workspace, name, everywhere)
    if json:
        return asdict(found)
    left = ", ".join(found.left) or "nothing"
    return shown({"removed": ", ".join(found.removed), "files searched": found.searched, "left": left}, json)
