"""Benchmarks from the hub: the files are copied as they are and then read like any folder."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from unlearn_core.data.errors import BadFile

FILES = ("*.json", "*.jsonl", "*.csv", "*.parquet", "*.png", "*.jpg", "*.jpeg", "*.webp")
HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def is_hub_id(where: str) -> bool:
    return HUB_ID.fullmatch(where) is not None


def local_copy(hub_id: str, revision: str | None = None) -> Path:
    """A folder with the files of a data set, downloaded unless they are there already.

    Raises:
        BadFile: no such data set, or the hub cannot be reached.
    """
    try:
        return Path(snapshot_download(hub_id, repo_type="dataset", revision=revision, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise BadFile(
            "There is no such file or folder, and no such data set on the hub can be reached. "
            "Please check the name and the network, or download the files and give their folder.",
            hub_id,
        ) from error
