"""The constraints pin all that the program needs, by hash, and name no place to fetch it from."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[a-z0-9.+]+) --hash=sha256:[0-9a-f]{64}")


def pins() -> dict[str, Version]:
    lines = (line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#"))
    found = [PIN.fullmatch(line) for line in lines]
    assert all(found), "each line is a version and a hash"
    return {match["name"]: Version(match["version"]) for match in found if match}


def needed(texts: list[str], extras: set[str]) -> list[Requirement]:
    """Those that hold here."""
    asked = map(Requirement, texts)
    return [r for r in asked if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras | {""})]


def of_package(name: str, pinned: Version) -> list[str]:
    """What it needs in turn, if it is here in the version that is pinned."""
    try:
        return (requires(name) or []) if Version(version(name)) == pinned else []
    except PackageNotFoundError:
        return []


def test_everything_that_the_program_needs_is_pinned_within_its_bounds() -> None:
    pinned, seen = pins(), set[Requirement]()
    waiting = needed(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"], set())
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"`make constraints` is due: {name} is missing"
        assert requirement.specifier.contains(pinned[name], prereleases=True), (
            f"`make constraints` is due: {requirement}"
        )
        if requirement not in seen:
            seen.add(requirement)
            waiting += needed(of_package(name, pinned[name]), requirement.extras)


def test_no_place_is_named() -> None:
    assert not re.search(r"//|@|--\w*(index|find|host)|\.(com|io|net|org)\b", (ROOT / "constraints.txt").read_text())
