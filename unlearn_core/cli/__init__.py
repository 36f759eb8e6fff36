"""The `unlearn` command. Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import json
import sys
from typing import Any

import tyro

from unlearn_core.cli.examine import attack, evaluate, report
from unlearn_core.cli.forget import forget as forget_with
from unlearn_core.cli.models import ask, fits, merge, verify
from unlearn_core.cli.purge import purge
from unlearn_core.cli.users import users


def main() -> None:
    """Exit status 0, or 1 with one sentence on standard error, or 130 after Ctrl-C."""
    from unlearn_core.vlm.errors import StudioError

    words = sys.argv[1:]
    own = 1 if words[:1] == ["forget"] else len(words)

    def forget() -> dict[str, Any] | None:
        """Make a model forget the subjects of a request; `unlearn forget --help` lists the methods."""
        return forget_with(words[own:])

    try:
        result = tyro.extras.subcommand_cli_from_dict(
            {
                "ask": ask,
                "fits": fits,
                "forget": forget,
                "merge": merge,
                "verify": verify,
                "evaluate": evaluate,
                "attack": attack,
                "report": report,
                "purge": purge,
                "users": users,
            },
            prog="unlearn",
            description="Make a vision-language model forget, and see what changed. The page: python app.py",
            args=words[:own],
        )
    except StudioError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Cancelled.", file=sys.stderr)
        sys.exit(130)
    if result is not None:
        json.dump(result, sys.stdout, indent=1)
        print()
