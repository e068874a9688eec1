"""Fingerprints and roles of DTLS-SRTP in SDP. Spec: RFC 8122 §5, RFC 4145 §4."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.scripted import SDP_PCMA
from voicebox.sip.fingerprint import Fingerprint, Setup, parse_fingerprint, parse_setup, serialise_fingerprint
from voicebox.sip.sdp import parse_sdp

RFC_8122 = "sha-256 12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD"
"""The example of §5, in upper case as its grammar asks."""
HALF, LONGER = "sha-384 " + ":".join(["ab"] * 48), "sha-512 " + ":".join(["cd"] * 64)


def test_the_example_of_the_standard_and_back() -> None:
    fingerprint = parse_fingerprint(RFC_8122)
    assert fingerprint is not None
    assert (fingerprint.hash, len(fingerprint.octets), fingerprint.octets[:2]) == ("sha-256", 32, b"\x12\xdf")
    assert serialise_fingerprint(fingerprint) == RFC_8122
    assert parse_fingerprint(RFC_8122.lower()) == fingerprint
    assert parse_fingerprint(" SHA-256  " + RFC_8122.removeprefix("sha-256 ") + " ") == fingerprint


@pytest.mark.parametrize("text", ["sha-1 " + ":".join(["00"] * 20), "md5 " + ":".join(["00"] * 16), "sha-224 " + ":".join(["00"] * 28)])
def test_hashes_that_are_not_spoken_are_passed_over(text: str) -> None:
    assert parse_fingerprint(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha-256",
        "sha-256 ",
        "sha-256 12",
        RFC_8122[:-3],
        RFC_8122 + ":00",
        RFC_8122.replace(":", " "),
        RFC_8122[:-1] + "G",
        "sha-256 " + ":".join(["00"] * 70),
    ],
)
def test_malformed_fingerprints_are_none(text: str) -> None:
    assert parse_fingerprint(text) is None


def test_roles() -> None:
    assert {parse_setup(f" {setup.value.upper()} ") for setup in Setup} == set(Setup)
    assert parse_setup("pasive") is None


def test_the_strongest_of_several_is_kept_and_a_medium_speaks_for_itself() -> None:
    head, media = SDP_PCMA.split("m=audio", 1)
    (medium,) = parse_sdp((head + f"a=fingerprint:{HALF}\r\na=setup:active\r\nm=audio" + media).encode()).media
    assert (medium.fingerprint, medium.setup) == (Fingerprint("sha-384", b"\xab" * 48), Setup.ACTIVE)
    more = f"a=fingerprint:{RFC_8122}\r\na=fingerprint:{LONGER}\r\na=fingerprint:{HALF}\r\na=setup:passive\r\n"
    (medium,) = parse_sdp((head + f"a=fingerprint:{HALF}\r\na=setup:active\r\nm=audio" + media + more).encode()).media
    assert (medium.fingerprint, medium.setup) == (Fingerprint("sha-512", b"\xcd" * 64), Setup.PASSIVE)
