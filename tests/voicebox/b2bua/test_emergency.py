"""An emergency number, from any phone and however it is written, is refused, and nothing reaches the code of circuits. The plan is as careless as can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.voicebox.b2bua.scripted import BOX, REALM, Box, Phone
from voicebox.dialplan.load import load_plan, parse_plan
from voicebox.dialplan.match import outgoing
from voicebox.dialplan.model import DialPlan, House
from voicebox.sip.flow import Transport
from voicebox.sip.message import SipResponse

PLANS = sorted((Path(__file__).parents[3] / "dialplans").glob("*.yaml"))
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
            last = phone.invite(uri)[-1]
            assert isinstance(last, SipResponse)
            assert last.status >= 400, uri
    assert (box.offers, box.far.legs, box.network.legs) == ([], [], [])
    assert box.media.ports == [], "not even a port for sound was opened"
    assert box.board.calls == 0


def test_this_plan_does_call_for_any_other_number() -> None:
    box = box_with(careless(frozenset({"112"})))
    phone = Phone(box, "alice")
    for count, number in enumerate(("113", "1122", "+49301122334"), 1):
        phone.call_id = f"call-{number}"
        phone.invite(f"sip:{number}@{REALM}")
        assert len(box.offers) == count
