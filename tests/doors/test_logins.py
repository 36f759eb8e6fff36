"""Who may log in: passwords, attempts, tickets, and at which addresses it is asked for."""

from __future__ import annotations

import json
import os
import time
from html import escape
from pathlib import Path

import pytest

from benchmarks.visitor import Visitor
from components.doors.admission import OpenDoors, admitted
from components.doors.doors import PER_ADDRESS, PER_NAME
from components.doors.visits import LASTING, Attempts, Logins
from tests.doors.conftest import PASSWORD, Place, Serve
from unlearn_core import accounts
from unlearn_core.accounts import Accounts, BadAccounts, Role, environment_accounts, read_accounts, write_accounts


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "COST", 2**4)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "studio.example", ""])
def test_other_machines_need_a_login_unless_somebody_says_otherwise(host: str) -> None:
    with pytest.raises(OpenDoors):
        admitted(host, None, False)
    assert admitted(host, None, True) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_this_machine_needs_none(host: str) -> None:
    assert admitted(host, None, False) is None


def test_a_file_of_users_holds_no_password_and_is_private(tmp_path: Path, cheap: None) -> None:
    path = tmp_path / "users.json"
    write_accounts(path, Accounts({}).with_user("vera", Role.VIEWER, PASSWORD))
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text()
    read = read_accounts(path)
    assert read.role("vera", PASSWORD) is Role.VIEWER
    assert [read.role(*wrong) for wrong in (("vera", "no"), ("otto", PASSWORD), ("", ""), ("vera", "\ud800"))] == [
        None
    ] * 4
    os.chmod(path, 0o640)
    with pytest.raises(BadAccounts, match="chmod 600"):
        read_accounts(path)


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"a": 1}', '{"a": {"role": "god", "hash": "x"}}', '{"a": {"role": "viewer", "hash": "plain"}}',
    '{"a": {"role": "viewer", "hash": "scrypt$1073741824$8$1$00$00"}}', '{"<b>": {"role": "viewer", "hash": "scrypt$16$8$1$00$00"}}',
])  # fmt: skip
def test_what_is_no_file_of_users_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(BadAccounts):
        read_accounts(path)


def test_passwords_from_the_environment(cheap: None) -> None:
    given = environment_accounts({"STUDIO_PASSWORD": PASSWORD})
    assert given.role("operator", PASSWORD) is Role.OPERATOR
    for bad in ({}, {"STUDIO_PASSWORD": "short"}):
        with pytest.raises(BadAccounts):
            environment_accounts(bad)


def test_a_hash_costs_what_it_should_and_a_wrong_name_takes_as_long() -> None:
    users = Accounts({}).with_user("vera", Role.VIEWER, PASSWORD)
    assert users.users["vera"].hash.startswith("scrypt$32768$8$3$")
    users.role("otto", "x")  # makes the hash that stands for nobody

    def cpu(name: str) -> float:
        began = time.process_time()
        users.role(name, "wrong")
        return time.process_time() - began

    assert 0.5 < cpu("otto") / cpu("vera") < 2


def test_wrong_passwords_must_wait_and_time_forgives() -> None:
    now = [0.0]
    attempts = Attempts(3, 60, lambda: now[0])
    for second in range(3):
        assert attempts.wait("a") == 0
        now[0] = second
        attempts.note("a")
    assert attempts.wait("a") == 58
    assert attempts.wait("b") == 0
    now[0] = 60
    assert attempts.wait("a") == 0


def test_a_login_ends() -> None:
    now = [0.0]
    logins = Logins(lambda: now[0])
    visitor = logins.begin("vera", Role.VIEWER)
    assert logins.find(visitor.key) == visitor
    now[0] = LASTING
    assert logins.find(visitor.key) is None


def test_guessing_is_stopped_and_the_right_password_waits_too(serve: Serve, cheap: None) -> None:
    place = serve(Accounts({}).with_user("vera", Role.VIEWER, PASSWORD).with_user("otto", Role.OPERATOR, PASSWORD))
    guesser = Visitor(place.url)
    codes = [guesser.log_in("vera", f"guess {i}").status_code for i in range(PER_NAME + 1)]
    assert codes == [401] * PER_NAME + [429]
    assert guesser.log_in("vera", PASSWORD).status_code == 429
    assert int(guesser.log_in("vera", PASSWORD).headers["retry-after"]) > 200
    assert place.visitor("otto").functions, "others may still log in"
    codes = [guesser.log_in(f"name {i}", "x").status_code for i in range(PER_ADDRESS + 1)]
    assert codes[-1] == 429


def test_logging_out_ends_the_session(serve: Serve, cheap: None) -> None:
    place = serve(Accounts({}).with_user("vera", Role.VIEWER, PASSWORD))
    vera = place.visitor("vera")
    cookie = dict(vera.http.cookies)
    assert "Logged in as vera" in vera.http.get("/login").text
    assert vera.http.post("/logout").status_code == 303
    vera.http.cookies.update(cookie)
    assert vera.http.get("/config").status_code == 401
    assert json.loads(vera.log_in("vera", PASSWORD).text) == {"success": True}


def test_a_link_to_a_run_outlives_the_login_and_nothing_else_does(guarded_place: Place) -> None:
    link = "?at=runs&run=20260101-000000-0123abcd"
    nobody = Visitor(guarded_place.url)
    assert nobody.http.get(f"/{link}").headers["location"] == f"login{link}"
    assert f'action="login{escape(link)}"' in nobody.http.get(f"/login{link}").text
    form = {"data": {"username": "vera", "password": PASSWORD}, "headers": {"accept": "text/html"}}
    assert nobody.http.post(f"/login{link}", **form).headers["location"] == f".{link}"
    for other in ('?at=runs"><script>', "?at=runs&next=//elsewhere.example", "?page=x", "?at=RUNS&run=../x"):
        assert Visitor(guarded_place.url).http.get(f"/{other}").headers["location"] == "login"
        assert 'action="login"' in Visitor(guarded_place.url).http.get(f"/login{other}").text
