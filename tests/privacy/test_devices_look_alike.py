"""The callee's phone is sent the same octets whoever's phone calls: only what is drawn afresh for each call differs, and it is listed here.

Seven devices call one after the other, and what the callee's box sends its phone is compared octet for octet after the fresh fields are masked. Which of the four codecs
a caller's phone has is an event of the call (PROTOCOL.md §9.3), so a device with others is compared with those lines masked too.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import pytest

from tests.support.canary import CanaryCaller
from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.support.phones import PhoneDriver, make_phone
from tests.support.plain_callee import PlainCallee
from tests.support.sipp import Sipp
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.interop

TALK_S = 1.2
FRESH = {
    "Via branch": (rb"branch=z9hG4bK[A-Za-z0-9.\-_]+", b"branch="),
    "tag": (rb";tag=(?!plaincallee)[A-Za-z0-9.\-_]+", b";tag="),
    "Call-ID": (rb"(?im)^call-id: *\S+", b"Call-ID:"),
    "number of the description": (rb"o=- [0-9]+ ", b"o=- "),
    "media port": (rb"m=audio [0-9]+ ", b"m=audio "),
}
"""What is drawn for each call: name, how it looks, what stands in its place."""
CODEC_LINES = ((rb"(RTP/AVP)[0-9 ]+\r\n", rb"\1\r\n"), (rb"a=(rtpmap|fmtp):[^\r]*\r\n", b""), (rb"Content-Length: *[0-9]+", b"Content-Length:"))
PHONES = {
    "baresip": ("baresip", "g711"),
    "linphonec": ("linphonec", "g711"),
    "pjsua2": ("pjsua2", "pcma"),
    "sipp": ("sipp", "pcma"),
    "another sipp": ("sipp", "pcma"),
    "twinkle": ("twinkle", "g711"),
    "baresip with Opus": ("baresip", "opus"),
    "linphonec with G.722": ("linphonec", "g722"),
}
"""Devices: the phone, and what it is told to offer; pjsua2 and the scenarios of sipp always offer both forms of G.711."""
G711 = (*list(PHONES)[:6], "script")
"""Those with both forms of G.711; one is a script that plants something in every field."""
Heard = dict[str, tuple[list[bytes], list[bytes]]]


class AnotherSipp(Sipp):
    """Another device: other name, other fields in another order."""

    agent = "DeskPhone 9.1\nX-Serialnumber: 00-11-22-33-44-55\nSubject: something\nAlert-Info: <http://192.0.2.7/ring.wav>"


def masked(message: bytes) -> bytes:
    """Return a message without what is drawn for its call. Its Content-Length, which is right, becomes that of what is left: the numbers have not all as many digits."""
    head, _, body = message.partition(b"\r\n\r\n")
    assert re.search(rb"(?im)^content-length: *%d\r?$" % len(body), head), "it says how long it is"
    for pattern, place in FRESH.values():
        head, body = re.sub(pattern, place, head), re.sub(pattern, place, body)
    return re.sub(rb"(?im)^(content-length: *)[0-9]+", rb"\g<1>%d" % len(body), head) + b"\r\n\r\n" + body


def without_codecs(message: bytes) -> bytes:
    for pattern, place in CODEC_LINES:
        message = re.sub(pattern, place, message)
    return message


def call_of_a_phone(phone: PhoneDriver, callee: PlainCallee) -> None:
    if isinstance(phone, Sipp):
        phone.prepare("bye")
    with phone:
        phone.wait_for("registered")
        phone.dial(f"sip:{CALLEE}.privacy")
        phone.wait_for("connected")
        time.sleep(TALK_S)
        phone.hang_up()
        phone.wait_for("ended")
        wait_until(lambda: "BYE" in callee.methods(), "the end of the call at the callee")


def call_of_a_script(caller: CanaryCaller, callee: PlainCallee) -> None:
    with contextlib.closing(caller):
        caller.register()
        caller.call(f"sip:{CALLEE}.privacy")
        caller.talk(TALK_S)
        caller.hang_up()
        wait_until(lambda: "BYE" in callee.methods(), "the end of the call at the callee")


@pytest.fixture(scope="module")
def heard(embedded_network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Let each device call; yield the SIP and the sound that the callee was sent, by device."""
    network = embedded_network
    address = network.plan.phone_sip(CALLEE).address
    callee = PlainCallee(network.login(CALLEE), address)
    found: Heard = {}
    callee.start()
    for name in (*PHONES, "script"):
        callee.begin()
        if name == "script":
            call_of_a_script(CanaryCaller(network.login(CALLER), address), callee)
        else:
            kind, codec = PHONES[name]
            directory = tmp_path_factory.mktemp("device")
            phone = make_phone(kind, CALLER, 440, codec, directory, network.login(CALLER))
            call_of_a_phone(AnotherSipp(phone.setup, directory / "another") if name == "another sipp" else phone, callee)
        wait_until(lambda: all(told(box)["calls"] == 0 for box in network.boxes.values()), "rest at both boxes")
        found[name] = list(dict.fromkeys(callee.messages)), callee.sound
    callee.stop()
    yield found
    wait_until(lambda: all(not told(box)["phones"] for box in network.boxes.values()), "boxes without phones")


def test_messages_are_equal_octet_for_octet_whatever_device_calls(heard: Heard) -> None:
    messages = {name: [masked(message) for message in heard[name][0]] for name in G711}
    assert len(messages) == 7
    assert [message.split(b" ")[0] for message in messages["pjsua2"]] == [b"INVITE", b"ACK", b"BYE"]
    for name in G711:
        assert messages[name] == messages["pjsua2"], name


def test_what_is_masked_is_drawn_for_each_call(heard: Heard) -> None:
    """The control: each fresh field is there, and no two calls have one in common."""
    for field, (pattern, _) in FRESH.items():
        drawn = [found[0] for name in G711 if (found := re.search(pattern, heard[name][0][0])) is not None]
        assert len(drawn) == len(G711), field
        assert len(set(drawn)) == len(drawn) or field == "media port", field
    assert masked(heard["pjsua2"][0][0]) != heard["pjsua2"][0][0]


def test_devices_with_other_codecs_differ_in_the_lines_of_codecs_alone(heard: Heard) -> None:
    """And are asked twice, because this callee has none of theirs."""
    expected = without_codecs(masked(heard["pjsua2"][0][0]))
    both = [heard["baresip with Opus"][0], heard["linphonec with G.722"][0]]
    assert b"opus/48000" in both[0][0]
    assert b"G722/8000" in both[1][0]
    for messages in both:
        assert [message.split(b" ")[0] for message in messages] == [b"INVITE", b"ACK", b"INVITE", b"ACK", b"BYE"]
        assert without_codecs(masked(messages[0])) == expected
    assert [without_codecs(masked(message)) for message in both[0]] == [without_codecs(masked(message)) for message in both[1]]


def test_sound_has_one_form_whatever_device_calls(heard: Heard) -> None:
    forms = {name: {(packet[0], packet[1] & 0x7F, len(packet)) for packet in heard[name][1]} for name in G711}
    assert all(len(heard[name][1]) >= TALK_S / 0.02 / 2 for name in G711)
    assert all(form == {(0x80, 8, 172)} for form in forms.values()), forms
    sources = [{packet[8:12] for packet in heard[name][1]} for name in G711]
    assert all(len(each) == 1 for each in sources)
    assert len(set.union(*sources)) == len(G711)
