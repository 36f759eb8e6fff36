"""The `unlearn` command. Heavy imports wait until a command runs, so that help is instant.

Exit status: 0 done, 1 failed, 2 wrong usage or something else that the user can mend, 130 cancelled with Ctrl-C.
Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import tyro

from unlearn_core.cli.benchmark import benchmark
from unlearn_core.cli.examine import attack, evaluate, report
from unlearn_core.cli.forget import forget, forget_with_methods
from unlearn_core.cli.looking import attend, probe
from unlearn_core.cli.models import ask, fits, merge, verify
from unlearn_core.cli.page import app
from unlearn_core.cli.purge import purge
from unlearn_core.cli.resume import resume
from unlearn_core.cli.runs import export, runs
from unlearn_core.cli.users import users

if TYPE_CHECKING:
    from unlearn_core.vlm.errors import StudioError

FAILED, MISTAKEN, CANCELLED = 1, 2, 130
COMPLETION = "--tyro-print-completion", "--tyro-write-completion"
"""With these the options of all methods must be known at once."""


def main() -> None:
    """Run the command that the words on the command line name; ends with the exit status."""
    try:
        result = _carry_out(sys.argv[1:])
        if result is not None:
            json.dump(result, sys.stdout, indent=1)
            print(flush=True)
    except KeyboardInterrupt:
        print("Cancelled.", file=sys.stderr)
        sys.exit(CANCELLED)
    except Exception as error:
        sys.exit(_told(error))


def _told(error: Exception) -> int:
    """Say what went wrong; gives the exit status."""
    from unlearn_core.runs.fitting import trace
    from unlearn_core.vlm.errors import StudioError

    if isinstance(error, StudioError):
        print(error, file=sys.stderr)
        return FAILED if _is_failure(error) else MISTAKEN
    # Without the texts of errors: those may quote names or answers of a request.
    print(f"Something went wrong inside the program.\n{trace(error)}", file=sys.stderr)
    return FAILED


def _carry_out(words: list[str]) -> Any:
    """What the command gives to be printed as JSON, if anything."""
    if words[:1] == ["app"]:  # the page reads its own flags
        return app(tuple(words[1:]))
    commands: dict[str, Any] = {
        "ask": ask,
        "attend": attend,
        "probe": probe,
        "forget": forget,
        "runs": runs,
        "resume": resume,
        "export": export,
        "evaluate": evaluate,
        "attack": attack,
        "report": report,
        "benchmark": benchmark,
        "merge": merge,
        "verify": verify,
        "fits": fits,
        "purge": purge,
        "users": users,
        "app": app,
    }
    registry = None
    if words[:1] == ["forget"] or any(word.startswith(COMPLETION) for word in words):
        commands["forget"], registry = forget_with_methods()
    about = "Make a vision-language model forget, and see what changed. The page: unlearn app"
    return tyro.extras.subcommand_cli_from_dict(
        commands,
        prog="unlearn",
        description=about,
        args=words,
        registry=registry,
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _is_failure(error: StudioError) -> bool:
    """Whether the machine or the network is at fault rather than what was asked for."""
    from unlearn_core.vlm import errors

    machine = (
        errors.DownloadFailed,
        errors.HubUnreachable,
        errors.NotEnoughMemory,
        errors.OutOfMemory,
        errors.StorageFailed,
    )
    return isinstance(error, machine)
