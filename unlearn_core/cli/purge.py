"""The command that removes what is kept about somebody: `unlearn purge ID`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any


def purge(name: str, /, workspace: Path = Path("workspace"), everywhere: bool = False) -> dict[str, Any]:
    """Remove a run or a saved request, then search the workspace for its people and their pictures; print what was found.

    Args:
        name: id of a run or of a saved request, as the workspace has it.
        workspace: folder that holds the runs.
        everywhere: remove every run and request too that names the same people or holds the same pictures.
    """
    from unlearn_core.runs.purge import purge as purge_from

    return asdict(purge_from(workspace, name, everywhere))
