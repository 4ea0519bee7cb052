"""Who is let in: hosts, origins and the key."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from prospero.serving.guard import Access, Guard

KEY = "0123456789abcdef"


def answered(access: Access, path: str = "/v1/models", method: str = "GET", **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=Guard(PlainTextResponse("in"), access))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
            return await client.request(method, path, headers=named)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200), ("LOCALHOST", 200), ("127.0.0.1:9", 200), ("[::1]:8000", 200), ("192.168.1.7", 200),
        ("lab.example.org:8000", 200), ("evil.example.com", 421), ("localhost.evil.com", 421), ("10.1.nip.io", 421),
        ("", 421), ("evil.com@localhost", 421), ("[::1", 421), ("lab", 421),
    ],
)  # fmt: skip
def test_a_name_that_may_have_been_rebound_is_not_ours(host, status):
    assert answered(Access(hosts=["Lab.example.org"]), Host=host).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8000", 200), ("https://localhost:8000", 200), ("https://chat.example.org", 200),
        ("http://localhost:9000", 403), ("http://evil.com", 403), ("null", 403), ("", 403), ("http://[", 403),
    ],
)  # fmt: skip
def test_pages_of_strangers_may_not_speak(origin, status):
    found = answered(Access(origins=["https://chat.example.org"]), Origin=origin, Host="localhost:8000")
    assert found.status_code == status
    allowed = found.headers.get("access-control-allow-origin")
    assert allowed == ("https://chat.example.org" if "chat" in origin else None)


def test_a_listed_page_is_told_before_it_speaks():
    access = Access(KEY, origins=["https://chat.example.org"])
    asks: dict[str, Any] = {"method": "OPTIONS", "Access_Control_Request_Method": "POST"}
    found = answered(access, Origin="https://chat.example.org", **asks)
    assert found.status_code == 204 and "authorization" in found.headers["access-control-allow-headers"]
    assert answered(access, Origin="http://evil.com", **asks).status_code == 403
    assert answered(access, **asks).status_code == 401


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {KEY}", 200), (f"bearer {KEY}", 200), (KEY, 401), (f"Basic {KEY}", 401), ("Bearer ", 401),
        (f"Bearer {KEY}x", 401), ("Bearer \u00e9", 401), ("", 401),
    ],
)  # fmt: skip
def test_the_key(given, status):
    found = answered(Access(KEY), Authorization=given)
    assert found.status_code == status
    if status == 401:
        assert found.json()["error"]["code"] == "invalid_api_key" and found.headers["www-authenticate"] == "Bearer"


def test_what_tells_nothing_of_a_model_needs_no_key():
    paths = {
        "/": 200,
        "/health": 200,
        "/page/page.js": 200,
        "/metrics": 401,
        "/v1/chat/completions": 401,
        "/pages": 401,
    }
    assert {path: answered(Access(KEY), path).status_code for path in paths} == paths
    assert answered(Access(KEY), "/", method="POST").status_code == 401


def test_every_answer_says_how_it_may_be_read():
    for found in (answered(Access()), answered(Access(), Host="evil.com")):
        assert found.headers["x-content-type-options"] == "nosniff" and found.headers["cache-control"] == "no-store"
