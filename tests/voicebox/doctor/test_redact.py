"""What may be shown to strangers of what `voicebox doctor` says."""

from __future__ import annotations

import pytest

from voicebox.doctor.redact import own_words, redact

FOLDER = "/home/Eve Doe/box"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing listens on 192.168.1.10:5060", "nothing listens on [address]"),
        ("[2001:db8::1]:5061 is not this machine's", "[address] is not this machine's"),
        ("fe80::1%eth0 is local", "[address] is local"),
        ("dial sip:bob@house.example;transport=tls now", "dial [address] now"),
        ("the file /srv/box/contacts/bob.contact cannot be read", "the file [path] cannot be read"),
        ('dialplan.yaml:3: 1: ring: "mum": no such phone', "dialplan.yaml:3: 1: ring: [quoted]: no such phone"),
        ("It was 192.168.1.10. Then not.", "It was [address]. Then not."),
        ("udp:192.168.1.10:5060 and udp:fe80::1", "udp:[address] and udp:[address]"),
        ("::ffff:192.168.1.10 is mapped", "[address][address] is mapped"),
        ("Nothing runs in /home/Eve Doe/box. Start it.", "Nothing runs in [path]. Start it."),
        ("/home/Eve Doe/box/box.yaml:12: wrong", "[path]:12: wrong"),
        ("key 00112233445566778899aabbccddeeff", "key [key]"),
        ("card bXlzZWxmIGFuZCBzb21lIG1vcmUgb2N0ZXRz", "card [key]"),
        ("99 of 100 are at most 0.09 ms late", "99 of 100 are at most 0.09 ms late"),
        ("`voicebox phone add` makes accounts", "`voicebox phone add` makes accounts"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    assert redact(text, [FOLDER]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bob is changed, and so is bob", "[word] is changed, and so is [word]"),
        ("rings bob, no-phone", "rings [word], [word]"),
        ("the rings of /srv/bob are changed", "the rings of [path] are changed"),
        ("dialplan.yaml:3: no phone, 2nd.phone", "dialplan.yaml:3: no phone, [word]"),
        ('"bob" is 12', "[quoted] is 12"),
    ],
)
def test_of_errors_only_words_of_errors_stay(text: str, expected: str) -> None:
    words = {"is", "changed", "and", "so", "rings", "no", "phone", "the", "of", "are", "dialplan.yaml"}
    assert redact(text, words=words) == expected


def test_words_of_errors_are_those_of_the_program_and_the_system() -> None:
    words = own_words()
    assert {"the", "file", "cannot", "permission", "denied", "unknown"} <= words
    assert not {"gundula", "hedwig", "kitchen", "desk"} & words
