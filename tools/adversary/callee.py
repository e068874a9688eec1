"""Test (e): what of the caller's phone arrives at the callee's, and whether the callee can tell phones apart.

Phones that differ in everything a phone can choose (headers and their order, SDP, codecs, case, tags) call through two real boxes. Values planted in every field must not
arrive, and what the callee's phone gets must be the same octets for all phones with the same set of codecs (which crosses: PROTOCOL.md §9.3), in whatever order they prefer
them, once the fields that its own box draws afresh are masked. Two attackers learn on the first half of the calls to tell phones apart, by headers and their order or by the
names of headers alone, and say of each call in the second half which phone made it. Control: the same phones through a plain SIP proxy.
"""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from tests.support.canary import CanaryCaller, Planted, spellings
from tools.adversary.phones import Account, Phone
from tools.adversary.result import Result
from tools.adversary.statistics import Control
from voicebox.demo.network import EmbeddedNetwork

NAME, TITLE = "e", "the caller's SIP, SDP and RTP at the callee's phone"
LEAKING_FIELDS = 20
FRESH = (
    (r"branch=[^;\s]+", "branch="), (r"tag=[^;\s]+", "tag="), (r"(?im)^(call-id *:).*$", r"\1"), (r"(?im)^(cseq *:) *\d+", r"\1"),
    (r"(?m)^o=.*$", "o="), (r"(?m)^m=audio \d+", "m=audio"), (r"(?m)^a=rtcp:\d+", "a=rtcp:"), (r"(?im)^(content-length *:).*$", r"\1"),
)  # fmt: skip
"""What a box draws or counts afresh for each call; its length is part of the comparison where it is fixed."""


class RecordingPhone(Phone):
    """A callee that keeps what it gets."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.got: list[str] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep it, then do as a phone does."""
        self.got.append(data.decode("utf-8", "replace"))
        super().datagram_received(data, addr)


class Device(CanaryCaller):
    """The hostile caller, in one of several shapes: which headers it sends and how it spells them."""

    def __init__(self, network: EmbeddedNetwork, shape: int) -> None:
        super().__init__(network.login("alice"), network.plan.phone_sip("alice").address)
        self.shape = shape
        self.first_invite = ""

    def _request(self, method: str, uri: str, extra: list[str], body: str = "") -> str:
        kept = (
            extra
            if self.shape == 0
            else [line for index, line in enumerate(extra) if index % (self.shape + 1) == 0 or line.startswith(("Auth", "Proxy-Auth", "Content-T"))]
        )
        if self.shape == 2:
            kept = [line if line.startswith(("Auth", "Proxy-Auth")) else f"{line.split(':')[0].upper()}:{line.partition(':')[2]}" for line in kept]
        if self.shape == 3:
            kept = kept[::-1]
        text = super()._request(method, uri, [*kept, *(["User-Agent: Device/" + str(self.shape)] if self.shape > 3 else [])], body)
        if method == "INVITE":
            self.first_invite = text
        return text

    def _sdp(self) -> str:
        text = super()._sdp()
        return text.replace("RTP/AVP 8 101", f"RTP/AVP {' '.join(preferred(self.shape))} 101")


SHAPES = 6
PREFERENCES = (("8",), ("0", "8"), ("8", "0"))
"""Payload types of PCMA and PCMU, as phones order them: two sets, one of them in two orders."""


def preferred(shape: int) -> tuple[str, ...]:
    """Return a shape's codecs in its order."""
    return PREFERENCES[shape % len(PREFERENCES)]


def masked(text: str) -> str:
    """Return a message without what is fresh in every call."""
    for pattern, put in FRESH:
        text = re.sub(pattern, put, text)
    return text


def leaks(planted: Planted, got: str) -> list[str]:
    """Return the fields whose planted value arrived in any spelling."""
    octets = got.encode()
    return [where for where, value in planted.values.items() if any(form in octets for form in spellings(value))]


def proxied(invite: str, target: socket.socket) -> str:
    """Return what a plain SIP proxy hands on: the request with a Via of its own on top and one hop less."""
    line, _, rest = invite.partition("\r\n")
    host, port = target.getsockname()
    rest = re.sub(r"(?im)^max-forwards *: *(\d+)", lambda found: f"Max-Forwards: {int(found.group(1)) - 1}", rest)
    return f"{line}\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKproxy\r\n{rest}"


def neighbours(text: str) -> frozenset[str]:
    """Return which line follows which, by their names as they are spelled: the first attacker's fingerprint of a message."""
    names = [line.split(":", 1)[0] if ":" in line else line.split("=", 1)[0] for line in text.splitlines() if line]
    return frozenset(f"{one}>{other}" for one, other in pairwise(names))


def header_names(text: str) -> frozenset[str]:
    """Return the names of the headers, in no order and case: the second attacker's."""
    return frozenset(line.split(":", 1)[0].strip().lower() for line in text.split("\r\n\r\n", 1)[0].splitlines() if ":" in line)


def told_apart(train: Sequence[tuple[int, str]], examined: Sequence[tuple[int, str]], fingerprint: Callable[[str], frozenset[str]]) -> float:
    """Return the share of messages whose phone is named, each the one with the most alike fingerprint (Jaccard); of several as likely, one is drawn."""
    known = [(shape, fingerprint(text)) for shape, text in train]
    right = 0.0
    for shape, text in examined:
        seen = fingerprint(text)
        alike: dict[int, float] = {}
        for other, marks in known:
            alike[other] = max(alike.get(other, 0.0), len(seen & marks) / max(1, len(seen | marks)))
        best = [other for other, how in alike.items() if how == max(alike.values())]
        right += (shape in best) / len(best)
    return right / len(examined)


async def _calls(network: EmbeddedNetwork, rounds: int) -> tuple[list[tuple[int, list[str], Planted]], list[tuple[int, str, Planted]]]:
    """Let every shape call so often; return what the callee's phone got, and what it would have got through a proxy."""
    login, own = network.login("bob"), network.plan.phone_sip("bob")
    account = Account("bob", (login.host, login.port), login.user, login.password.reveal().decode(), (own.address, own.port))
    callee = RecordingPhone(account)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: callee, local_addr=account.own)
    assert await callee.register(), "the callee's phone could not register"
    through, passed = [], []
    for index in range(rounds * SHAPES):
        device = Device(network, index % SHAPES)
        callee.got.clear()
        await asyncio.to_thread(device.call, "sip:bob.privacy")
        await asyncio.to_thread(device.talk, 0.3)
        await asyncio.to_thread(device.hang_up)
        await asyncio.sleep(0.7)
        through.append((device.shape, [text for text in callee.got if not text.startswith("SIP/2.0 ")], device.planted))
        passed.append((device.shape, proxied(device.first_invite, callee.media), device.planted))
        device.close()
    transport.close()
    return through, passed


def test(seed: int, *, strict: bool) -> Result:
    """Run test (e)."""
    with tempfile.TemporaryDirectory(prefix="voicebox-lab-") as folder:
        network = EmbeddedNetwork(Path(folder))
        try:
            network.set_up()
            network.start()
            network.wait_ready()
            through, passed = asyncio.run(_calls(network, 20 if strict else 2))
        finally:
            network.stop()
    arrived = sorted({where for _, texts, planted in through for where in leaks(planted, "\r\n\r\n".join(texts))})
    # ACK and BYE may come in another order or twice; which messages there are is part of the comparison, how often they came is not.
    sets = {frozenset(preference) for preference in PREFERENCES}
    forms = [{frozenset(masked(text) for text in texts) for shape, texts, _ in through if frozenset(preferred(shape)) == codecs} for codecs in sets]
    leaking = min(len(leaks(planted, text)) for _, text, planted in passed)
    arrivals = [(shape, masked("\r\n".join(texts))) for shape, texts, _ in through]
    half = len(passed) // 2
    by_proxy = [(shape, text) for shape, text, _ in passed]
    named = {
        who: (told_apart(by_proxy[:half], by_proxy[half:], how), told_apart(arrivals[:half], arrivals[half:], how))
        for who, how in (("", neighbours), (", second attacker", header_names))
    }
    also = {
        "no planted value arrived": not arrived,
        "what arrived is the same for all phones of one set of codecs": all(len(each) == 1 for each in forms),
        "phones are told apart by their sets of codecs at most": all(through_boxes <= len(sets) / SHAPES + 1e-9 for _, through_boxes in named.values()),
        "every call reached the callee": all(any(text.startswith("INVITE") for text in texts) for _, texts, _ in through),
    }
    more = {
        "calls": len(through),
        "planted": min(len(planted.values) for *_, planted in through),
        "arrived": arrived,
        "sets of codecs that the callee can tell apart": len({form for each in forms for form in each}),
        "leaking through a proxy": leaking,
    }
    controls = [
        Control(f"a plain proxy leaks at least {LEAKING_FIELDS} fields", float(leaking >= LEAKING_FIELDS), 1.0),
        *(Control(f"phones named through a plain proxy{who}", proxy, 0.95) for who, (proxy, _) in named.items()),
    ]
    return Result(NAME, TITLE, seed, 0.0, controls=controls, also=also, more=more)
