"""Phones at the two boxes of an embedded network, and the rest that both boxes are left in. [io]"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser_phone import NAME as BROWSER
from tests.support.browser_phone import make_browser_phone
from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.support.phones import PhoneDriver, installed, make_phone
from voicebox.demo.network import EmbeddedNetwork

ALICE_HZ, BOB_HZ = 440, 1000
"""What the caller and the callee play."""
URIS = (f"sip:{CALLEE}.privacy", f"sip:anything@{CALLEE}.privacy", f"sip:{CALLEE}@{{box}}", f"sip:{CALLEE.upper()}.PRIVACY")
"""How the callee may be dialled."""


@dataclass(frozen=True)
class Kind:
    """A phone of a test. codec: the only one it offers, or for the built-in phone the first of its two."""

    name: str
    transport: str = "udp"
    codec: str = "pcma"
    ipv6: bool = False
    dtls: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.transport}-{self.codec}{'-ipv6' if self.ipv6 else ''}{'-dtls' if self.dtls else ''}"


PJSUA2 = Kind("pjsua2")


def without_calls(network: EmbeddedNetwork) -> bool:
    return all(status["calls"] == status["sip"]["calls"] == 0 for status in (told(box) for box in network.boxes.values()))


def quiet(network: EmbeddedNetwork) -> bool:
    return without_calls(network) and all(told(box)["phones"] == [] for box in network.boxes.values())


class Calls:
    """Makes the phones of one test, registered, and stops them at its end."""

    def __init__(self, network: EmbeddedNetwork, directory: Path, stack: ExitStack) -> None:
        self.network, self._directory, self._stack = network, directory, stack

    def phone(self, name: str, kind: Kind, ring_s: float | None = None) -> PhoneDriver:
        if kind.ipv6 and not self.network.plan.ipv6:
            pytest.skip("this machine has no IPv6")
        tone_hz = ALICE_HZ if name == CALLER else BOB_HZ
        if not installed(kind.name):
            pytest.skip(f"{kind.name} is not installed")
        made: PhoneDriver
        if kind.name == BROWSER:
            made = make_browser_phone(name, tone_hz, self._directory, self.network.boxes[name].home)
        else:
            login = self.network.login(name, kind.transport, ipv6=kind.ipv6, dtls=kind.dtls)
            made = make_phone(kind.name, name, tone_hz, kind.codec, self._directory, login, ring_s, "::1" if kind.ipv6 else "127.0.0.1")
        phone = self._stack.enter_context(made)
        phone.wait_for("registered")
        return phone

    def pair(self, caller: Kind = PJSUA2, callee: Kind = PJSUA2) -> tuple[PhoneDriver, PhoneDriver]:
        """Return the caller's phone and the callee's, who answers when told to."""
        return self.phone(CALLER, caller), self.phone(CALLEE, callee)

    def stop(self) -> None:
        """Stop the phones, so that their recordings are complete."""
        self._stack.close()


def settled(network: EmbeddedNetwork) -> None:
    """Wait until neither box has a call or a phone, and assert that none of them found a fault in itself or in the other."""
    wait_until(lambda: quiet(network), "rest at both boxes")
    for box in network.boxes.values():
        status = told(box)
        assert status["sip"].get("bugs", 0) == 0
        assert status["sip"].get("calls_broken", 0) == 0
        assert status["engine"]["bad_command"] == status["engine"]["broke_protocol"] == status["engine"]["panics"] == 0
        assert not [counter for counter in status["counters"] if counter.startswith("bug_")]
