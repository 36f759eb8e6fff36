"""Turn pip's report of an installation into constraints: versions and hashes, and where nothing came from.

python .ci/pin.py REPORT.json > constraints.txt
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

HEAD = """\
# Written by `make constraints`: all that the program needs, at the versions that the tests ran with.
# Python {python}, {system} on {machine}: one file of each package, whose SHA-256 pip compares (docs/supply-chain.md).
"""


def pinned(item: dict[str, Any]) -> str:
    """One line of the constraints. Raises KeyError for what has no hash."""
    about = item["metadata"]
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{about['name'].lower().replace('_', '-').replace('.', '-')}=={about['version']} --hash=sha256:{digest}"


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    python = report["environment"]["python_version"]
    print(HEAD.format(python=python, system=platform.system(), machine=platform.machine()))
    others = (item for item in report["install"] if "dir_info" not in item["download_info"])  # all but the program
    print("\n".join(sorted(map(pinned, others))))


if __name__ == "__main__":
    main()
