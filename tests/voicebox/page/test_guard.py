"""What stands before every page: names, origins, amounts, headers."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from voicebox.config.model import Endpoint
from voicebox.page.guard import BURST, HEADERS, MAX_BODY_OCTETS, RATE_HZ, Guard, hosts_of

HERE = Endpoint("127.0.0.1", 5080)
OURS = {"host": "127.0.0.1:5080", "origin": "http://127.0.0.1:5080", "sec-fetch-site": "same-origin", "content-length": "10"}


def guard() -> Guard:
    return Guard(hosts_of(HERE, loopback=True), "http")


def asked(method: str = "POST", /, **changed: str | None) -> HTTPStatus | None:
    """Return what comes of a request of our own page of which some header fields are changed, or left out."""
    headers = {name: value for name, value in (OURS | {name.replace("_", "-"): value for name, value in changed.items()}).items() if value is not None}
    return guard().check(method, headers, 1.0)


def test_the_page_itself_may_ask_and_change() -> None:
    assert asked() is None
    assert asked("GET", origin=None) is None
    assert asked("GET", origin=None, sec_fetch_site="none") is None, "somebody typed the address"
    assert asked(sec_fetch_site=None) is None, "an older browser says the origin alone"
    assert asked(origin="null") is None, "a form of a page that says no referrer"
    assert asked(host="localhost:5080", origin="http://localhost:5080") is None


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:5080.evil.example", "", "localhost", "[::1]:5081", "192.168.1.10:5080"]
)
def test_unknown_names_are_refused(host: str) -> None:
    assert asked("GET", host=host, origin=None) is HTTPStatus.MISDIRECTED_REQUEST
    assert asked(host=host, origin=f"http://{host}") is HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://evil.example", "sec_fetch_site": None},
        {"origin": "https://127.0.0.1:5080"},
        {"origin": "http://127.0.0.1:8000", "sec_fetch_site": "same-site"},
        {"origin": "http://localhost:5080"},
        {"origin": "null", "sec_fetch_site": None},
        {"origin": "null", "sec_fetch_site": "cross-site"},
        {"origin": None, "sec_fetch_site": "none"},
        {"origin": None, "sec_fetch_site": None},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_changes_of_others_are_refused(changed: dict[str, str | None]) -> None:
    assert asked(**changed) is HTTPStatus.FORBIDDEN


def test_another_site_may_lead_here_and_embed_nothing() -> None:
    assert asked("GET", origin=None, sec_fetch_site="cross-site", sec_fetch_mode="navigate") is None
    assert asked("GET", origin=None, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") is HTTPStatus.FORBIDDEN


def test_a_socket_is_a_change() -> None:
    headers = {"host": "127.0.0.1:5080", "origin": "http://evil.example"}
    assert guard().check("GET", headers, 1.0, socket=True) is HTTPStatus.FORBIDDEN
    assert guard().check("GET", headers | {"origin": OURS["origin"]}, 1.0, socket=True) is None


def test_what_is_too_much_or_unknown_is_refused() -> None:
    assert asked("PUT") is HTTPStatus.METHOD_NOT_ALLOWED
    assert asked(content_length=None) is HTTPStatus.LENGTH_REQUIRED
    assert asked(content_length=str(MAX_BODY_OCTETS + 1)) is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert asked(content_length="9" * 30) is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert asked(content_length="-1") is HTTPStatus.BAD_REQUEST
    assert asked(content_length=str(MAX_BODY_OCTETS)) is None


def test_ten_thousand_requests_in_ten_seconds() -> None:
    standing = guard()
    found = [standing.check("GET", {"host": "127.0.0.1:5080"}, 1 + number / 1000) for number in range(10_000)]
    passed = found.count(None)
    assert BURST <= passed <= BURST + 10 * RATE_HZ + 1
    assert standing.refused == 10_000 - passed
    assert standing.check("GET", {"host": "127.0.0.1:5080"}, 20.0) is None, "and afterwards it is as before"


def test_without_the_loopback_there_is_one_name() -> None:
    assert hosts_of(Endpoint("192.168.1.10", 5443), loopback=False) == {"192.168.1.10:5443"}


def test_nothing_is_loaded_from_elsewhere_and_nothing_inline() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in HEADERS["content-security-policy"]
    assert all(place in {"'none'", "'self'", "data:", "blob:"} for places in policy.values() for place in places.split())
