"""Every endpoint that the page has, called as nobody, as a viewer and as an operator, past all buttons."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest

from benchmarks.visitor import API, Denied, Visitor
from components.doors.blocks import ONLY_OPERATORS
from components.doors.doors import ROUTES
from components.doors.roles import ROLES, name_of, role_of
from tests.doors.conftest import Place
from unlearn_core.accounts import Role

NOT_HERE = "/gradio_api/proxy=http://127.0.0.1/ /gradio_api/file=http://127.0.0.1/ /monitoring /docs /openapi.json /logout".split()
NOT_HERE += (
    "/gradio_api/dev/reload /gradio_api/vibe-code/ /gradio_api/runs /gradio_api/token /gradio_api/deep_link".split()
)
POSTS_NOT_HERE = "vibe-edit component_server process_recording stream/x stream/x/close run-history/connect".split()


def handlers(place: Place) -> dict[int, Any]:
    """Event handlers that run on the server, by their number."""
    return {i: f.fn for i, f in place.page.fns.items() if f.fn is not None}


def refused(visitor: Visitor, index: int, count: int) -> bool:
    """Whether a call is refused for the visitor's role. Whatever else becomes of it does not matter here."""
    visitor.session = f"{visitor.session}-{index}"
    try:
        visitor.call(index, *[None] * count)
    except Denied as denied:
        return denied.sentence == ONLY_OPERATORS
    return False


def test_every_endpoint_has_a_role(open_place: Place) -> None:
    names = {name_of(handler) for handler in handlers(open_place).values()}
    assert names - set(ROLES) == set(), "give each new endpoint a role in components/doors/roles.py"
    assert set(ROLES) - names == set(), "these endpoints are no longer there"


def test_nobody_gets_anything_but_the_login(guarded_place: Place) -> None:
    nobody = Visitor(guarded_place.url)
    assert nobody.http.get("/").headers["location"] == "login"
    assert nobody.http.get("/login").status_code == 200
    for path in (
        "/config",
        "/theme.css",
        "/assets/x.js",
        f"{API}/info",
        f"{API}/queue/data?session_hash=x",
        f"{API}/file=/etc/passwd",
    ):
        assert nobody.http.get(path).status_code == 401, path
    for index in handlers(guarded_place):
        body = {"fn_index": index, "data": [], "session_hash": "x"}
        for route in ("queue/join", "run/predict", "api/predict", f"call/{guarded_place.page.fns[index].api_name}"):
            assert nobody.http.post(f"{API}/{route}", json=body).status_code == 401, route
    assert nobody.http.post(f"{API}/upload", files={"files": b"x"}).status_code == 401
    assert nobody.http.post(f"{API}/cancel", json={}).status_code == 401


def test_viewers_ask_and_operators_do_everything(guarded_place: Place) -> None:
    vera, otto = guarded_place.visitor("vera"), guarded_place.visitor("otto")
    for index, handler in handlers(guarded_place).items():
        count = len(guarded_place.page.fns[index].inputs)
        assert refused(vera, index, count) == (role_of(handler) is Role.OPERATOR), name_of(handler)
        if role_of(handler) is Role.OPERATOR:
            assert not refused(otto, index, count), name_of(handler)


def test_an_endpoint_without_a_role_needs_an_operator() -> None:
    assert role_of(lambda: None) is Role.OPERATOR


def test_routes_that_the_page_does_not_need_are_not_there(open_place: Place) -> None:
    visitor = open_place.visitor()
    for path in NOT_HERE:
        assert visitor.http.get(path).status_code in (403, 404), path
    for path in POSTS_NOT_HERE:
        assert visitor.http.post(f"{API}/{path}", json={}).status_code == 404, path
    assert visitor.http.get(f"{API}/mcp").status_code == 404
    assert visitor.http.post(f"{API}/mcp", json={}).status_code in (404, 405)  # only with --mcp
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert visitor.http.request(method, "/").status_code in (404, 405), method


def test_every_route_that_is_answered_is_one_that_is_meant(guarded_place: Place) -> None:
    """Whatever Gradio has beyond the list is refused even to an operator, also what a later version brings."""
    otto = guarded_place.visitor("otto")
    for route in guarded_place.page.app.routes:
        path = getattr(route, "path", "").replace("{path:path}", "x").replace("{", "").replace("}", "")
        for method in (getattr(route, "methods", None) or set()) & {"GET", "POST"}:
            if not ROUTES[method].fullmatch(path):
                assert otto.http.request(method, path).status_code == 404, path


@pytest.mark.parametrize("headers", [
    {"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
])  # fmt: skip
def test_other_pages_may_send_nothing(open_place: Place, headers: dict[str, str]) -> None:
    visitor = open_place.visitor()
    body = {"fn_index": 0, "data": [], "session_hash": visitor.session}
    assert visitor.http.post(f"{API}/queue/join", json=body, headers=headers).status_code == 403
    assert visitor.http.get("/config", headers=headers).status_code == 403


def test_a_name_bent_to_this_machine_is_refused(open_place: Place) -> None:
    assert httpx.get(open_place.url, headers={"Host": "elsewhere.example"}).status_code == 421


def test_every_answer_has_its_headers_and_cookies_their_flags(open_place: Place, guarded_place: Place) -> None:
    answers = [httpx.get(open_place.url), httpx.get(f"{open_place.url}/nothing"), httpx.get(guarded_place.url)]
    for answer in answers:
        assert "script-src-attr 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
    login = Visitor(guarded_place.url).log_in("vera", "correct horse battery")
    for answer in (answers[0], login):
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
        assert "Secure" not in answer.headers["set-cookie"]
    proxied = httpx.get(open_place.url, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in proxied.headers["set-cookie"].split("; ")
