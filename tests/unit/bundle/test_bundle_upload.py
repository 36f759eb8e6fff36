"""A bundle on its way to a hub: the real client against a small hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub_server import COMMIT, TOKEN, HubServer
from unlearn_core import bundle
from unlearn_core.vlm.errors import BadOption, BundleDamaged, HubUnreachable


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage speaks to machines of its own
    server = HubServer(tmp_path)
    yield server
    server.close()


@pytest.mark.parametrize("private", [True, False])
def test_the_bundle_and_its_card_arrive_whole(server: HubServer, made: Path, private: bool) -> None:
    address = bundle.upload(made, "owner/name", private=private, token=TOKEN, hub=server.url)
    assert address == f"{server.url}/owner/name/commit/{COMMIT}"
    assert server.made == {"owner/name": private}
    assert server.received.keys() == {made.name, "README.md"}
    assert server.received[made.name] == made.read_bytes()
    assert server.received["README.md"].startswith(b"# Forget one")


def test_what_is_no_bundle_is_not_sent(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no bundle")
    with pytest.raises(BundleDamaged):
        bundle.upload(tmp_path / "a.zip", "owner/name", token=TOKEN, hub=server.url)
    assert server.asked == []


def test_what_a_hub_refuses_is_said(server: HubServer, made: Path) -> None:
    with pytest.raises(BadOption, match="does not let this token write"):
        bundle.upload(made, "owner/name", token="somebody else's", hub=server.url)
    with pytest.raises(BadOption, match="no name of a repository"):
        bundle.upload(made, "../name/other", token=TOKEN, hub=server.url)
    server.broken = 507
    with pytest.raises(HubUnreachable, match="status 507"):
        bundle.upload(made, "owner/name", token=TOKEN, hub=server.url)
    server.close()
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        bundle.upload(made, "owner/name", token=TOKEN, hub=server.url)
