"""The page of a running box, by plain requests: who comes in, what is refused, and everything without a script. The guards of this box do not answer."""

from __future__ import annotations

import datetime as dt
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.embedded import wait_until
from tests.support.network_commands import join_network, make_network
from tests.support.page import PASSPHRASE, Answer, Visitor, links_of
from voicebox.cli.main import main
from voicebox.cli.page import link_to, page_origin
from voicebox.config.model import with_option
from voicebox.contacts.backup import open_backup
from voicebox.contacts.card import serialise_card
from voicebox.contacts.identity import new_identity
from voicebox.control import ask
from voicebox.errors import UsageError
from voicebox.page.entry import LINK_FILE, MAX_WRONG
from voicebox.page.guard import HEADERS, RATE_HZ
from voicebox.sensitive import Secret

HERE = "127.0.0.1"
OTHERS = "another twelve characters"
SECRETS = (
    "/state",
    "/contacts",
    "/contacts/card",
    "/phones",
    "/phones/of/desk",
    "/phone",
    "/call",
    "/call/live",
    "/cost",
    "/backup",
    "/static/htmx.min.js",
    "/nothing",
)


@dataclass
class Box:
    """A running box. printed: what `voicebox up` said first."""

    home: Path
    process: subprocess.Popen[bytes]
    printed: str

    @property
    def origin(self) -> str:
        return page_origin(self.home)

    def link(self) -> str:
        """Make a link."""
        return link_to(self.home, self.origin)


def voicebox(*arguments: str, home: Path) -> None:
    assert main([*arguments, "--home", str(home)]) == 0


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    place = tmp_path_factory.mktemp("page")
    descriptors = []
    for number, role in enumerate(("guard", "guard", "junction", "junction")):
        relay = place / f"relay-{number}"
        voicebox("relay", "init", "--listen", f"{HERE}:{4300 + number}", "--role", role, "--operator", f"operator {number}", home=relay)
        descriptors.append(relay / "descriptor")
    make_network(place / "network", descriptors)
    home = place / "box"
    voicebox("init", home=home)
    join_network(home, place / "network")
    voicebox("phone", "add", "desk", home=home)
    settings = home / "box.yaml"
    settings.write_text(with_option(settings.read_text(), "realtime", "no"))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "voicebox", "up", "--home", str(home)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until((home / "control.sock").exists, "the box", 60)
        yield Box(home, process, (home / "log").read_text())
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def owner(box: Box) -> Visitor:
    return Visitor(box.origin)


@pytest.fixture
def inside(box: Box, owner: Visitor) -> Visitor:
    """Return somebody who is in, since another test where none threw them out: a passphrase takes its time."""
    if owner.ask("/state").status != 200:
        assert owner.enter(box.link()).status == 303
    return owner


def strict(answer: Answer) -> bool:
    """Return whether an answer has every header that it should."""
    return all(answer.fields.get(name) == value for name, value in HEADERS.items())


def test_nothing_but_the_token_page_answers_until_the_link_was_used_which_is_good_once(box: Box) -> None:
    """First of all, with the link that `voicebox up` printed; where another test came first, with another box's worth of state taken away."""
    (box.home / "page" / "passphrase").unlink(missing_ok=True)
    visitor = Visitor(box.origin)
    for path in ("/", *SECRETS, "/login"):
        found = visitor.ask(path)
        assert (found.status, found.fields.get("location"), found.text) == (303, "/enter", ""), path
        assert strict(found), path
    assert visitor.ask("/phones/add", {"user": "mine"}).status == 403
    assert visitor.ask("/enter").status == 200
    link = re.search(r"http://\S+/enter#\S+", box.printed)
    assert link is not None, "`voicebox up` prints one"
    assert link[0].partition("#")[0] == f"{box.origin}/enter"
    fresh = box.link()
    assert visitor.enter(link[0]).status == 403, "a newer link takes its place"
    assert visitor.enter(fresh, "short").status == 403
    came = visitor.enter(fresh)
    assert (came.status, came.fields["location"]) == (303, "/")
    cookie = came.fields["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert visitor.ask("/state").status == 200
    again = Visitor(box.origin)
    assert again.enter(fresh).status == 403, "its second use"
    assert again.ask("/state").fields["location"] == "/login"
    assert visitor.ask("/state").status == 200, "who is in stays in"


def test_two_who_have_one_link_are_not_both_in(box: Box) -> None:
    link, two = box.link(), [Visitor(box.origin), Visitor(box.origin)]
    with ThreadPoolExecutor(2) as pool:
        statuses = [answer.status for answer in pool.map(lambda visitor: visitor.enter(link), two)]
    assert sorted(statuses) == [303, 403]
    assert not (box.home / LINK_FILE).exists()


def test_the_passphrase_comes_in_and_guesses_do_not(box: Box, inside: Visitor) -> None:
    other = Visitor(box.origin)
    assert other.ask("/login", {"passphrase": PASSPHRASE}).status == 303
    assert other.ask("/state").status == 200
    assert other.ask("/logout", {}).status == 303
    assert other.ask("/state").status == 303
    guesses = [Visitor(box.origin).ask("/login", {"passphrase": f"guess {number}"}) for number in range(MAX_WRONG)]
    assert [guess.status for guess in guesses] == MAX_WRONG * [403]
    assert "too often" in other.ask("/login", {"passphrase": PASSPHRASE}).text, "the right one is not tried either"
    assert inside.ask("/state").status == 200, "who is in is not held up"
    assert Visitor(box.origin).enter(box.link()).status == 303, "nor is a link"
    assert inside.ask("/state").status == 303, "and whoever was in before it is out"


def test_every_page_is_strict_and_has_nothing_inline_and_nothing_from_elsewhere(inside: Visitor) -> None:
    seen: set[str] = set()
    waiting = {"/state"}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        found = inside.ask(path)
        assert strict(found), path
        if not found.fields.get("content-type", "").startswith("text/html"):
            continue
        assert found.status == 200, path
        assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", found.text) == [], path
        assert re.findall(r"<script(?![^>]*\ssrc=\"/static/[a-z.]+\")", found.text) == [], path
        assert [place for place in re.findall(r'(?:src|href|action)="([^"]*)"', found.text) if not place.startswith(("/", "#", "data:,"))] == [], path
        labelled = set(re.findall(r'<label[^>]* for="([^"]+)"', found.text))
        fields = re.findall(r"<(?:input|select|textarea)\b[^>]*>", found.text)
        named = [each for each in fields if "hidden" not in each and 'type="checkbox"' not in each]
        assert [each for each in named if not set(re.findall(r' id="([^"]+)"', each)) <= labelled or " id=" not in each] == [], path
        waiting |= links_of(found.text) - seen
    assert {
        "/state",
        "/contacts",
        "/phone",
        "/phones",
        "/phones/of/desk",
        "/call",
        "/cost",
        "/backup",
        "/state/machine",
        "/contacts/card",
        "/phones/authority",
    } <= seen


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:5080"}, 421),
        ({"origin": "http://evil.example", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "null", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": None, "sec_fetch_site": None}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
    ],
)
def test_forged_names_and_posts_of_other_sites_change_nothing(inside: Visitor, changed: dict[str, str | None], status: int) -> None:
    found = inside.ask("/phones/add", {"user": "evil", "transport": "udp", "keying": "sdes"}, **changed)
    assert found.status == status
    assert strict(found)
    assert "evil" not in inside.ask("/phones").text


def test_a_phone_and_a_contact_without_a_script(box: Box, inside: Visitor) -> None:
    added = inside.ask("/phones/add", {"user": "kitchen", "transport": "tls", "keying": "sdes"})
    assert (added.status, added.fields["location"]) == (303, "/phones/of/kitchen")
    account = inside.ask("/phones/of/kitchen").text
    password = (box.home / "phones" / "kitchen.yaml").read_text().split("password: ")[1].split("\n")[0]
    assert password in account
    assert "protected" in inside.ask("/phones").text, inside.ask("/phones").text
    assert inside.ask("/phones/quiet", {"user": "kitchen", "on": "yes"}).status == 303
    assert ask(box.home, "status")["status"]["dnd"]["phones"] == ["kitchen"]
    assert inside.ask("/phones/of/kitchen/revoke", {}).status == 303
    assert not (box.home / "phones" / "kitchen.yaml").exists()
    assert password not in inside.ask("/phones/of/kitchen").text

    friend = new_identity("Friend", dt.datetime.now(dt.UTC))
    assert inside.ask("/contacts/add", {"petname": "friend", "card": serialise_card(friend).replace("\n", "\r\n")}).status == 303
    assert "Friend" in inside.ask("/contacts/of/friend").text
    assert inside.ask("/contacts/of/friend/rename", {"to": "Buddy"}).fields["location"] == "/contacts/of/buddy"
    assert inside.ask("/contacts/of/buddy/block", {}).status == 303
    assert ask(box.home, "contacts")["contacts"][0]["blocked"] is True
    assert inside.ask("/contacts/of/buddy/unblock", {}).status == 303
    assert "in no call" in inside.ask("/contacts/of/buddy/compare", {}).text
    assert inside.ask("/contacts/of/buddy/verify", {"id": friend.contact_id.hex()}).status == 303
    assert ask(box.home, "contacts")["contacts"][0]["state"] == "verified"
    assert inside.ask("/contacts/of/buddy/remove", {}).status == 303
    assert ask(box.home, "contacts")["contacts"] == []


def test_another_phone_that_has_the_name_of_the_pages_own_is_said(box: Box) -> None:
    """Before, the page's phone was given its account, with the port of TLS, and waited for the box without end."""
    for transport, keying in (("tls", "sdes"), ("tcp", "dtls")):
        ask(box.home, "phone_add", user="browser", transport=transport, keying=keying)
        with pytest.raises(UsageError, match="another name"):
            ask(box.home, "browser_phone")
        ask(box.home, "phone_remove", user="browser")
    assert ask(box.home, "browser_phone")["user"] == "browser"
    ask(box.home, "phone_remove", user="browser")


def test_an_invitation_is_shown_once_and_taken_back(box: Box, inside: Visitor) -> None:
    page = inside.ask("/contacts/invite", {"petname": "carol"}).text
    words = re.search(r"\d{6}-[a-z]+-[a-z]+-[a-z]+", page)
    assert words is not None
    assert "<svg" in page
    there = inside.ask("/contacts").text
    assert "carol" in there
    assert words[0] not in there
    place = ask(box.home, "invited")["invitations"][-1]["place"]
    assert inside.ask(f"/contacts/invitations/{place}", {"what": "withdraw"}).status == 303
    assert ask(box.home, "invited")["invitations"] == []
    refused = inside.ask("/contacts/accept", {"petname": "dave", "words": "no such words"})
    assert refused.status == 400


def test_a_backup_can_be_opened(inside: Visitor) -> None:
    assert inside.ask("/backup", {"passphrase": OTHERS, "again": PASSPHRASE}).status == 400
    found = inside.ask("/backup", {"passphrase": OTHERS, "again": OTHERS})
    assert found.fields["content-disposition"].startswith("attachment")
    files = open_backup(found.octets, Secret(OTHERS.encode()), "backup")
    assert {"box.yaml", "identity/box.key"} <= set(files)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{}", "application/json"),
        (b"\xff\xfe=1", "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(99)), "application/x-www-form-urlencoded"),
    ],
)
def test_broken_forms_are_refused(inside: Visitor, body: bytes, content_type: str) -> None:
    assert inside.ask("/phones/add", None, "", body, content_type=content_type).status == 400


def test_what_is_too_long_or_of_no_use_is_refused(inside: Visitor) -> None:
    assert inside.ask("/contacts/add", {"petname": "x", "card": "y" * 70_000}).status == 413
    assert inside.ask("/state", None, "DELETE").status == 405
    assert inside.ask("/phones/add", {"user": "../identity/box", "transport": "udp", "keying": "sdes"}).status == 400
    assert inside.ask("/phones/add", {"user": "x", "transport": "pigeon", "keying": "sdes"}).status == 400
    assert inside.ask("/contacts/of/nobody").status == 400
    assert inside.ask("/contacts/of/nobody/burn", {}).status == 400
    assert inside.ask("/static/../app.py").status == 404
    assert inside.ask("/static/%2e%2e/app.py").status == 404


def test_a_flood_is_held_back_and_costs_the_box_nothing(box: Box, inside: Visitor) -> None:
    place = box.origin.removeprefix("http://")
    request = f"GET /state HTTP/1.1\r\nHost: {place}\r\nCookie: {inside.cookie}\r\n\r\n".encode()
    address, _, port = place.rpartition(":")
    refused = 0
    with socket.create_connection((address, int(port)), timeout=30) as flood:
        begun = time.monotonic()
        flood.sendall(request * 1_000)
        flood.shutdown(socket.SHUT_WR)
        got = b""
        while piece := flood.recv(1 << 16):
            got += piece
        refused = got.count(b"429 Too Many Requests")
    assert refused > 300, f"{refused} of 1000 in {time.monotonic() - begun:.1f} s"
    assert ask(box.home, "status")["status"]["kind"] == "box"
    wait_until(lambda: inside.ask("/cost").status == 200, "the page afterwards", 20)
    time.sleep(100 / RATE_HZ)  # so that other tests are not held back


def test_the_page_is_ready_soon(inside: Visitor) -> None:
    times = []
    for _ in range(5):
        begun = time.monotonic()
        assert inside.ask("/contacts").status == 200
        times.append(time.monotonic() - begun)
    assert min(times) < 0.3, "on an idle machine all are; `make bench PART=page` measures"


def test_what_a_call_needs_is_loaded_with_a_call(tmp_path: Path) -> None:
    script = "import sys, voicebox.page.app; print(sorted({'aiortc', 'av', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path).stdout == "[]\n"
