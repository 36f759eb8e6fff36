"""Checkpoints in a folder, on a hub, or in the hub's cache: found, downloaded, checked, and explained where that fails.

The network is asked only here. Whatever is loaded afterwards is loaded from a folder, so nothing else needs the hub.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from httpx2 import HTTPError, TransportError
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from tqdm import tqdm

from unlearn_core.vlm.card import CARD
from unlearn_core.vlm.errors import (
    DownloadFailed,
    HubUnreachable,
    ModelGated,
    ModelNotFound,
    ModelNotLoadable,
    StorageFailed,
)

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
SMALL = (".json", ".jinja", ".txt", ".model")
"""Endings of configurations, templates and vocabularies. The card comes along, too: it names the licence."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a checkpoint on the hub.

    Args:
        size: in bytes.
        digest: SHA-256 for files in large storage, else git's SHA-1 of a blob; both in hexadecimal.
    """

    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, of which perhaps nothing but the configuration is on this machine yet.

    Args:
        name: folder or hub id, as it was asked for.
        folder: where its files lie, or will.
        config: what config.json holds.
        weights: size of all its weights in bytes.
        missing: files that are still to be downloaded.
        commit: what its hub calls this version; None for a plain folder.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    weights: int
    missing: tuple[RemoteFile, ...] = ()
    commit: str | None = None

    @property
    def to_download(self) -> int:
        """Bytes that are not on this machine yet."""
        return sum(file.size for file in self.missing)


@dataclass(frozen=True)
class Downloaded:
    """How far a download is, in bytes of all files together."""

    file: str
    done: int
    total: int


Progress = Callable[[Downloaded], None]
"""Called often while something is downloaded. What it raises ends the download."""


def nothing(_: Downloaded) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Hub:
    """A hub and its cache on this machine.

    Args:
        endpoint: its address; None for what the environment says (HF_ENDPOINT), else the public hub.
        cache: its folder; None for what the environment says (HF_HUB_CACHE, HF_HOME), else the usual one.
    """

    endpoint: str | None = None
    cache: Path | None = None

    def find(self, name: str, revision: str | None = None) -> Checkpoint:
        """Look a checkpoint up, without its weights. A folder by that name comes before the hub.

        Where the hub cannot be reached, what was downloaded before is taken.

        Raises:
            ModelNotFound: no such folder, hub id or revision; ModelGated and HubUnreachable are kinds of it.
            ModelNotLoadable: there are no safetensors weights, or the configuration cannot be read.
        """
        if Path(name).is_dir():
            return in_folder(name)
        if ".." in (revision or ""):
            raise ModelNotFound(f"'{revision}' is no revision. Please give a branch, a tag or a commit.")
        with self._explained(name, revision):
            commit = self._api.resolve_revision(name, revision=revision, cache_dir=self.cache).resolved
            files = self._files(name, commit)
            config = self._fetch(name, CONFIG, commit)
        folder = Path(config).parent
        if files is None:
            return _complete(name, folder, commit)
        weights = sum(file.size for file in files if file.path.endswith(".safetensors"))
        missing = tuple(file for file in files if not (folder / file.path).is_file())
        return Checkpoint(name, folder, read_config(name, folder), weights, missing, commit)

    def download(self, checkpoint: Checkpoint, progress: Progress = nothing) -> Checkpoint:
        """Bring all that is missing, and check each file's size and digest.

        Files come one after another, the smallest first: what breaks off costs one file, and whole ones are kept.

        Raises:
            DownloadFailed: it broke off for good, or what came is not what the hub announced.
            ModelGated, HubUnreachable: as `find`.
            StorageFailed: the disk is full.
        """
        commit, done = checkpoint.commit, 0
        for file in sorted(checkpoint.missing, key=lambda f: (f.size, f.path)):
            assert commit is not None
            bar = _bar(file.path, done, checkpoint.to_download, progress)
            with self._explained(checkpoint.name, commit):
                path = Path(self._fetch(checkpoint.name, file.path, commit, bar))
            if not _as_announced(path, file):
                path.resolve().unlink()
                path.unlink(missing_ok=True)
                raise DownloadFailed(
                    f"What came for '{file.path}' is not what the hub announced, and was deleted. "
                    "Please load the model again; if that does not help, its files on the hub are damaged."
                )
            done += file.size
            progress(Downloaded(file.path, done, checkpoint.to_download))
        return replace(checkpoint, missing=())

    # -- asking the hub -----------------------------------------------------------------------------------------------

    @property
    def _api(self) -> HfApi:
        return HfApi(endpoint=self.endpoint)

    def _fetch(self, name: str, path: str, commit: str, bar: type[tqdm] | None = None) -> str:
        return hf_hub_download(
            name, path, revision=commit, cache_dir=self.cache, endpoint=self.endpoint, tqdm_class=bar or _Silent
        )

    def _files(self, name: str, commit: str) -> tuple[RemoteFile, ...] | None:
        """What must be there to load the checkpoint; None if the hub cannot be asked."""
        try:
            listed = self._api.model_info(name, revision=commit, files_metadata=True).siblings or []
        except (TransportError, OfflineModeIsEnabled):
            return None
        except HfHubHTTPError as error:
            if error.response.status_code < 500:
                raise
            return None
        files = {s.rfilename: s for s in listed}
        wanted = [*_weights(name, files), *(path for path in files if _is_small(path))]
        return tuple(
            RemoteFile(path, s.size or 0, s.lfs.sha256 if s.lfs else s.blob_id or "")
            for path in wanted
            for s in [files[path]]
        )

    @contextmanager
    def _explained(self, name: str, revision: str | None) -> Iterator[None]:
        """Turn what the client raises into what a user can act on."""
        site = (self.endpoint or constants.ENDPOINT).rstrip("/")
        try:
            yield
        except GatedRepoError as error:
            raise ModelGated(
                f"'{name}' is only for people who accepted its terms. Please accept them at {site}/{name}, "
                "make an access token there, and start again with the token in HF_TOKEN."
            ) from error
        except RevisionNotFoundError as error:
            raise ModelNotFound(
                f"'{name}' has no revision '{revision}'. Please give a branch, a tag or a commit, or none."
            ) from error
        except HFValidationError as error:
            raise ModelNotFound(
                f"No model was found at '{name}': there is no such folder on the machine of the studio, and no hub has an id "
                "like that. Please check the spelling."
            ) from error
        except RepositoryNotFoundError as error:
            raise _not_found(name, site) from error
        except (LocalEntryNotFoundError, RevisionResolutionError) as error:
            # The client says both of a hub that is away and of one that answers with an error.
            answer = error.__cause__
            refused = isinstance(answer, HfHubHTTPError)
            raise (_refused(name, site, answer) if refused else _unreachable(name, site)) from error
        except EntryNotFoundError as error:
            raise ModelNotLoadable(
                f"'{name}' holds no model that can be loaded here: {CONFIG} is missing. "
                "Please choose one in Hugging Face format."
            ) from error
        except OfflineModeIsEnabled as error:
            raise _unreachable(name, site) from error
        except HfHubHTTPError as error:
            raise _refused(name, site, error) from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise StorageFailed(
                    "The disk is full. Please make room, or set HF_HOME to a folder on another disk."
                ) from error
            raise _broken_off(name) from error
        except HTTPError as error:
            raise _broken_off(name) from error


def _not_found(name: str, site: str) -> ModelNotFound:
    return ModelNotFound(
        f"No model was found at '{name}': there is no such folder here, and none by that name for you at {site}. "
        "Please check the spelling; for a private model, set HF_TOKEN to an access token."
    )


def _refused(name: str, site: str, error: HfHubHTTPError) -> ModelNotFound:
    """What is said of an answer that is an error, by its status alone."""
    status = error.response.status_code
    if status == 404:
        return _not_found(name, site)
    if status in (401, 403):
        why = "refused to give", "Please set HF_TOKEN to an access token that may read it."
    elif status == 429:
        why = "was asked too often for", "Please wait some minutes; with an access token in HF_TOKEN more is allowed."
    else:
        why = "failed to give", "Please try again later: what came whole is kept."
    return HubUnreachable(f"{site} {why[0]} '{name}' (status {status}). {why[1]}")


def _unreachable(name: str, site: str) -> HubUnreachable:
    return HubUnreachable(
        f"No model was found at '{name}': there is no such folder, it was not downloaded before, "
        f"and {site} cannot be reached. Please give a folder, or a hub id while the network is on."
    )


def _broken_off(name: str) -> DownloadFailed:
    return DownloadFailed(
        f"The download of '{name}' broke off. Please load it again: files that came whole are kept, and it goes on from there."
    )


# -- on this machine ----------------------------------------------------------------------------------------------------


def in_folder(name: str) -> Checkpoint:
    """A checkpoint that lies in a plain folder. Raises ModelNotFound, ModelNotLoadable."""
    folder = Path(name)
    if not (folder / CONFIG).is_file():
        raise ModelNotFound(
            f"No model was found at '{name}': the folder holds no {CONFIG}. "
            "Give a folder with a Hugging Face checkpoint, or a hub id while the network is on."
        )
    return Checkpoint(name, folder, read_config(name, folder), _size(name, folder))


def read_config(name: str, folder: Path) -> dict[str, Any]:
    """Raises ModelNotLoadable."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelNotLoadable(damaged(name)) from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelNotLoadable(damaged(name))
    return config


def damaged(name: str) -> str:
    """What is said of a checkpoint that cannot be loaded."""
    return (
        f"The model at '{name}' could not be loaded: a file is missing or damaged. Only safetensors weights are read."
    )


def _complete(name: str, folder: Path, commit: str) -> Checkpoint:
    """What is in the cache, while the hub cannot say what else belongs to it."""
    try:
        return Checkpoint(name, folder, read_config(name, folder), _size(name, folder), (), commit)
    except ModelNotLoadable as error:
        raise HubUnreachable(
            f"'{name}' was downloaded in part only, and the hub cannot be reached. "
            "Please load it again while the network is on: it goes on from there."
        ) from error


def _size(name: str, folder: Path) -> int:
    """Bytes of all weights, none of which may be missing."""
    try:
        names = [WEIGHTS]
        if not (folder / WEIGHTS).is_file():
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        return sum(os.path.getsize(folder / path) for path in names)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelNotLoadable(damaged(name)) from error


# -- small pieces -------------------------------------------------------------------------------------------------------


def _weights(name: str, files: Sequence[str] | dict[str, Any]) -> list[str]:
    """Which files hold the weights, as transformers chooses them."""
    shards = [WEIGHTS] if WEIGHTS in files else sorted(path for path in files if SHARD.fullmatch(path))
    if not shards:
        raise ModelNotLoadable(
            f"'{name}' has no weights in safetensors format, and no other format is read. "
            "Please choose a model that has them."
        )
    return shards


def _is_small(path: str) -> bool:
    return "/" not in path and (path.endswith(SMALL) or path == CARD)


def _as_announced(path: Path, file: RemoteFile) -> bool:
    """Whether a file has the digest that the hub gave for it. What it gave no digest for cannot be checked."""
    with path.open("rb") as content:
        if len(file.digest) == 64:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.digest
        blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        blob.update(content.read())
    return not file.digest or blob.hexdigest() == file.digest


class _Silent(tqdm):
    """The client draws bars of its own if it is given none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"disable": True})


def _bar(file: str, before: int, total: int, progress: Progress) -> type[tqdm]:
    """A bar that draws nothing and tells `progress`; the client wants the class of one."""

    class Bar(_Silent):
        done = before

        def update(self, n: float | None = 1) -> None:
            self.done += int(n or 0)
            progress(Downloaded(file, self.done, total))

    return Bar
