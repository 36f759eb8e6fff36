"""Whether a studio may be served at an address, and to whom."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from unlearn_core.accounts import Accounts, environment_accounts, read_accounts
from unlearn_core.vlm.errors import StudioError

ENVIRONMENT = "environment"


class OpenDoors(StudioError):
    """Other machines would reach a studio without a login."""


def is_own_machine(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def admitted(host: str, auth: str | None, open_to_anyone: bool) -> Accounts | None:
    """Who may log in at an address; None for everybody.

    Args:
        auth: a file of users, or "environment".
        open_to_anyone: other machines need no login.

    Raises:
        OpenDoors: other machines would need none, and nobody said that this is meant.
        BadAccounts: the users cannot be read.
    """
    if auth is not None:
        return environment_accounts() if auth == ENVIRONMENT else read_accounts(Path(auth))
    if not (is_own_machine(host) or open_to_anyone):
        raise OpenDoors(
            f"Other machines can reach {host}. Please say with --auth who may log in, or with --open-to-anyone that "
            "whoever reaches it may see and delete everything."
        )
    return None
