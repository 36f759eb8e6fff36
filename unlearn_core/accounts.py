"""Who may use a studio that others can reach: names, roles, and passwords as scrypt hashes, in a file or from the environment.

The file is JSON, readable by its owner alone: {"name": {"role": ..., "hash": "scrypt$n$r$p$salt$key"}, ...}.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType

from unlearn_core.data.strict_json import from_json, to_json
from unlearn_core.runs.files import write_file
from unlearn_core.vlm.errors import StudioError

COST, BLOCK, PARALLEL = 2**15, 8, 3
"""Of scrypt: 32 MiB and a fifth of a second for each guess [OWASP Password Storage Cheat Sheet]."""
DEAREST = 2**20
"""Most that a hash in a file may cost; a higher one is a mistake or an attack."""
SHORTEST = 12
"""Characters of a password."""
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
MAX_FILE = 10**6
ENVIRONMENT = MappingProxyType({"operator": "STUDIO_PASSWORD", "viewer": "STUDIO_VIEWER_PASSWORD"})
"""Names of users whose passwords may stand in the environment; each is of the role of that name."""


class BadAccounts(StudioError):
    """The users cannot be read, or what is asked of them cannot be done."""


class Role(StrEnum):
    """A viewer asks and inspects. An operator also changes what is kept: forgets, exports, deletes, loads models."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Account:
    """Args: hash: as `hashed` makes it."""

    role: Role
    hash: str


@dataclass(frozen=True)
class Accounts:
    """Users by name."""

    users: Mapping[str, Account]

    def role(self, name: str, password: str) -> Role | None:
        """The role of a user who gives the right password. A wrong name takes as long as a wrong password."""
        account = self.users.get(name)
        right = matches(password, account.hash if account else _nobody(COST))
        return account.role if account and right else None

    def with_user(self, name: str, role: Role, password: str) -> Accounts:
        """With one user more, or another password for one who is there. Raises BadAccounts."""
        if not NAME.fullmatch(name):
            raise BadAccounts("A user's name has 1 to 64 letters, digits, dots, dashes or @. Please choose another.")
        return Accounts({**self.users, name: Account(role, hashed(password))})

    def without_user(self, name: str) -> Accounts:
        """Raises BadAccounts if there is no such user, or no other."""
        if name not in self.users:
            raise BadAccounts(f"There is no user '{name}' in this file. Please check the name.")
        if len(self.users) == 1:
            raise BadAccounts(f"'{name}' is the last user. Please add another one first, or delete the file.")
        return Accounts({n: a for n, a in self.users.items() if n != name})


def hashed(password: str) -> str:
    """The hash to keep in place of a password. Raises BadAccounts for one that is too short."""
    if len(password) < SHORTEST:
        raise BadAccounts(f"A password needs at least {SHORTEST} characters. Please choose a longer one.")
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${salt.hex()}${key.hex()}"


def matches(password: str, kept: str) -> bool:
    """Whether this is the password. Comparing takes the same time wherever the difference lies."""
    cost, block, parallel, salt, key = _parts(kept)
    return hmac.compare_digest(_scrypt(password, salt, cost, block, parallel), key)


def read_accounts(path: Path) -> Accounts:
    """Raises BadAccounts if the file is not there, is no file of users, or others than its owner may read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise BadAccounts(f"Others may read '{path}'. Please make it private first: chmod 600 {path}")
        content = from_json(path.read_bytes()[:MAX_FILE])
        users = {name: Account(Role(a["role"]), a["hash"]) for name, a in content.items()}
        for name, account in users.items():
            _parts(account.hash)
            if not NAME.fullmatch(name):
                raise ValueError("no name")
    except FileNotFoundError as error:
        raise BadAccounts(f"There is no file '{path}'. Please make it with: unlearn users {path} --add NAME") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadAccounts(
            f"'{path}' is no file of users. Please make one with: unlearn users FILE --add NAME"
        ) from error
    if not users:
        raise BadAccounts(f"There is no user in '{path}'. Please add one with: unlearn users {path} --add NAME")
    return Accounts(users)


def write_accounts(path: Path, accounts: Accounts) -> None:
    """Whole or not at all, readable by its owner alone. Raises StorageFailed."""
    write_file(path, to_json({name: asdict(account) for name, account in accounts.users.items()}))


def environment_accounts(environment: Mapping[str, str] = os.environ) -> Accounts:
    """The users whose passwords stand in the environment. Raises BadAccounts if there is none."""
    given = {name: environment[variable] for name, variable in ENVIRONMENT.items() if environment.get(variable)}
    if not given:
        raise BadAccounts(f"No password is set. Please set {' or '.join(ENVIRONMENT.values())}, or name a users file.")
    return Accounts({name: Account(Role(name), hashed(password)) for name, password in given.items()})


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    # A lone surrogate, which JSON can hold, is a wrong password and no error.
    text = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=cost, r=block, p=parallel, dklen=32, maxmem=256 * cost * block)


def _parts(kept: str) -> tuple[int, int, int, bytes, bytes]:
    """Raises ValueError."""
    kind, cost, block, parallel, salt, key = kept.split("$")
    numbers = int(cost), int(block), int(parallel)
    if kind != "scrypt" or min(numbers) < 1 or numbers[0] * numbers[1] * numbers[2] > DEAREST:
        raise ValueError("not a hash of ours")
    return *numbers, bytes.fromhex(salt), bytes.fromhex(key)


@cache
def _nobody(cost: int) -> str:
    """The hash of a password that nobody has, which takes as long to compare."""
    return hashed(secrets.token_hex())
