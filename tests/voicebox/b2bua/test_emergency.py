"""An emergency number, from any phone and however it is written, is refused, once the phone has been told so, and nothing reaches the code of circuits.

The plan is as careless as can be.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.voicebox.b2bua.scripted import BOX, REALM, SDP_OPUS, SDP_PCMA, Box, Phone, final, statuses
from voicebox.b2bua.announcement import no_emergency
from voicebox.b2bua.events import Codec
from voicebox.dialplan.load import load_plan, parse_plan
from voicebox.dialplan.match import outgoing
from voicebox.dialplan.model import DialPlan, House
from voicebox.sip.flow import Transport

PLANS = sorted((Path(__file__).parents[3] / "dialplans").glob("*.yaml"))
SPOKEN_S = no_emergency().seconds + 1
USERS = ("alice", "carol", "sha")
WAYS = (
    *("sip:{n}@" + REALM, "sip:{n}@" + BOX, "sip:{n}@localhost;user=phone", "sip:{n}.privacy", "sip:{n}@{n}.privacy", "sip:{n}.privacy@" + REALM),
    *("sip:+{n}@" + REALM, "sip:+41{n}@" + REALM, "sip:0041{n}@" + REALM, "sip:0{n}@" + REALM, "sip:9{n}@" + REALM, "sip:{n}%23@" + REALM),
    *("sip:*31%23{n}@" + REALM, "sip:%2331%23{n}@" + REALM, "sip:{n};phone-context=example@" + REALM, "sip:0,{n}@" + REALM),
    *("tel:{n}", "tel:+{n}", "sips:{n}@" + REALM, "urn:service:sos", "sip:{n}@example.org", "sip:{n}"),
)


def dialled(number: str) -> list[str]:
    """Return the Request-URIs by which a number is dialled, as people and phones write it."""
    spelt = ["-".join(number), ".".join(number), f"({number[0]}){number[1:]}", "%20".join(number), "".join(f"%{ord(digit):x}" for digit in number)]
    return [*(way.format(n=number) for way in WAYS), *(f"sip:{written}@{REALM}" for written in spelt)]


def careless(numbers: frozenset[str]) -> DialPlan:
    """Return a plan that calls a contact for all that is not refused before its rules."""
    listed = ", ".join(f'"{number}"' for number in sorted(numbers))
    text = f'version: 1\nemergency: {{ numbers: [{listed}], do: refuse }}\noutgoing: [{{ dial: "!", do: {{ call: bob }} }}]\n'
    return parse_plan(text, "plan.yaml")


def box_with(plan: DialPlan) -> Box:
    box = Box()
    box.board._resolve = lambda dialled: outgoing(plan, dialled, House(("alice", "carol", "sha"), {"bob"}))
    return box


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_emergency_numbers_never_reach_circuits(path: Path, transport: Transport) -> None:
    numbers = load_plan(path).emergency
    box = box_with(careless(numbers))
    for place, user in enumerate(USERS, 1):
        phone = Phone(box, user, place, transport)
        for uri in [uri for number in sorted(numbers) for uri in dialled(number)]:
            phone.call_id = f"{user}-{uri}".encode().hex()
            phone.invite(uri)
            box.advance(SPOKEN_S)
            assert final(phone.inbox).status >= 400, uri
    assert (box.offers, box.far.legs, box.network.legs) == ([], [], [])
    assert box.media.open_ports() == box.board.calls == 0
    assert all(port.joined is None and not port.from_phone for port in box.media.ports), "nobody heard the phone"
    assert any(port.announced for port in box.media.ports)


def test_the_phone_is_told_before_the_call_is_refused() -> None:
    box = box_with(careless(frozenset({"112"})))
    phone = Phone(box, "alice")
    phone.invite(f"sip:112@{REALM}")
    assert statuses(phone.inbox)[-2:] == [100, 183], "early media: nothing is answered"
    port = box.media.ports[0]
    assert port.announced is not None
    codec, frames = port.announced
    assert (codec, port.to_phone, port.from_phone) == (Codec.PCMA, True, False)
    assert 4 <= frames * 0.02 <= 10
    box.advance(frames * 0.02)
    assert statuses(phone.inbox)[-1] == 183, "it is said to the end"
    box.advance(0.5)
    assert statuses(phone.inbox)[-1] == 503
    assert port.closed
    box.advance(40)
    assert box.board.totals()["transactions"] == 0


@pytest.mark.parametrize(
    ("body", "codec"), [(SDP_OPUS, Codec.PCMA), (SDP_OPUS.replace("111 8", "111"), Codec.OPUS), (SDP_PCMA.replace(" 8 0 ", " 0 "), Codec.PCMU)]
)
def test_each_phone_hears_it_in_a_codec_that_it_has(body: str, codec: Codec) -> None:
    box = box_with(careless(frozenset({"112"})))
    Phone(box, "alice").invite(f"sip:112@{REALM}", body)
    assert box.media.ports[0].announced == (codec, round(no_emergency().seconds * 50))


def test_who_hangs_up_meanwhile_leaves_nothing() -> None:
    box = box_with(careless(frozenset({"112"})))
    phone = Phone(box, "alice")
    phone.invite(f"sip:112@{REALM}")
    phone.send(phone.text("CANCEL", f"sip:112@{REALM}", cseq=phone.cseq, branch=f"z9hG4bKplantedalice1x{phone.branches}"))
    assert 487 in statuses(phone.inbox)
    assert (box.board.calls, box.media.open_ports()) == (0, 0)
    box.advance(SPOKEN_S)
    assert 503 not in statuses(phone.inbox)


def test_a_phone_that_has_not_said_what_it_hears_is_refused_at_once() -> None:
    box = box_with(careless(frozenset({"112"})))
    phone = Phone(box, "alice")
    phone.invite(f"sip:112@{REALM}", "")
    assert statuses(phone.inbox)[-1] == 503
    assert 180 not in statuses(phone.inbox), "it does not seem to ring"
    assert box.media.open_ports() == 0


def test_the_recording_has_whole_frames_of_one_length_in_each_codec() -> None:
    frames = {codec: len(octets) / (60 if codec is Codec.OPUS else 160) for codec, octets in no_emergency().frames.items()}
    assert set(frames) == {Codec.OPUS, Codec.PCMA, Codec.PCMU}, "every phone has one of them"
    assert all(count == int(count) for count in frames.values())
    assert len(set(frames.values())) == 1


def test_this_plan_does_call_for_any_other_number() -> None:
    box = box_with(careless(frozenset({"112"})))
    phone = Phone(box, "alice")
    for count, number in enumerate(("113", "1122", "+49301122334"), 1):
        phone.call_id = f"call-{number}"
        phone.invite(f"sip:{number}@{REALM}")
        assert len(box.offers) == count
