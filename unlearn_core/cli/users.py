"""The command about the users of a studio that others can reach: `unlearn users FILE --add NAME`."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path
from typing import Any, Literal

from unlearn_core.cli.output import print_table


def users(
    file: Path,
    /,
    add: str = "",
    remove: str = "",
    role: Literal["viewer", "operator"] = "viewer",
    json: bool = False,
) -> dict[str, Any] | None:
    """Add or remove users of `python app.py --auth FILE`, and print who there is. A running studio must be started again.

    Args:
        file: file of users, made when the first one is added.
        add: whom to add, or to give another password or role. The password is asked for, or read from standard input.
        remove: whom to remove.
        role: of whom is added. A viewer asks and inspects; an operator also forgets, exports, deletes and loads models.
        json: print JSON.
    """
    from unlearn_core.accounts import Accounts, Role, read_accounts, write_accounts

    accounts = read_accounts(file) if file.exists() or not add else Accounts({})
    if remove:
        accounts = accounts.without_user(remove)
    if add:
        password = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        accounts = accounts.with_user(add, Role(role), password)
    if add or remove:
        write_accounts(file, accounts)
    roles = {name: account.role.value for name, account in accounts.users.items()}
    if json:
        return roles
    print_table("Users", ("name", "role"), list(roles.items()))
    return None
