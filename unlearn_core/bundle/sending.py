"""Send a bundle to a repository on the hub. Nothing here is called unless a person asked for it."""

from __future__ import annotations

from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from unlearn_core.bundle.archive import MAX_BYTES, README, opened, unpacked
from unlearn_core.data.readers.hub import is_hub_id
from unlearn_core.vlm.errors import BadOption, HubUnreachable

DENIED = (401, 403)


def upload(
    path: Path, repository: str, *, private: bool = True, token: str | None = None, hub: str | None = None
) -> str:
    """Send a bundle with its card, in one commit; gives the address of that commit.

    The bundle is read through first. Whoever can see the repository can read its manifest.

    Args:
        path: a bundle.
        repository: such as owner/name. It is made if it is not there, and stays as it is otherwise.
        private: whether a repository that is made is.
        token: None for HF_TOKEN, or the one of the hub's own login.
        hub: its address; None for what HF_ENDPOINT says, else the public hub.

    Raises:
        BundleDamaged: it is no whole bundle.
        BadOption: no such name, or one that the token must not write to.
        HubUnreachable: the hub cannot be reached, or fails.
    """
    if not is_hub_id(repository):
        raise BadOption(f"'{repository}' is no name of a repository. {_ADVICE}")
    with opened(path) as file, unpacked(file, MAX_BYTES) as (manifest, folder):
        api = HfApi(endpoint=hub, token=token)
        sent = [CommitOperationAdd(path.name, path), CommitOperationAdd(README, (folder / README).read_bytes())]
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            done = api.create_commit(repository, sent, commit_message=f"A {manifest.kind} bundle for {manifest.base}")
        except HfHubHTTPError as error:
            if error.response.status_code in DENIED:
                raise BadOption(f"The hub does not let this token write to '{repository}'. {_ADVICE}") from error
            raise HubUnreachable(
                f"The hub refused the bundle (status {error.response.status_code}). {_LATER}"
            ) from error
        except (
            HTTPError,
            OSError,
            RuntimeError,
        ) as error:  # the last is the client's for a file that did not get through
            raise HubUnreachable(f"The hub cannot be reached, or the bundle did not get through. {_LATER}") from error
    return done.commit_url


_ADVICE = "Please give owner/name, and a token with the right to write, as HF_TOKEN."
_LATER = "The bundle is kept where it is; please try again later."
