"""Whole calls between phones that others wrote, over the whole system: two boxes, six relays, each a process of its own. [io]

Every test has fresh phones and leaves both boxes without a call, a registration or a fault, which `settled` checks. NOT here: what every phone does with every
other (test_matrix.py), what the wire shows (tests/system), boxes set up by hand (tests/system/test_by_hand.py).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.interop.over_network import ALICE_HZ, BOB_HZ, PJSUA2, URIS, Calls, Kind, settled, without_calls
from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.support.phones import Baresip, BuiltinPhone, Linphonec, PhoneDriver, assert_heard, make_phone
from tests.support.tone import HEARD_SHARE, read_recording, tone_share
from voicebox.demo.network import EmbeddedNetwork

pytestmark = [pytest.mark.interop, pytest.mark.system]

TALK_S = 1.6
HOLD_S = 1.0
BLOCK_S = 0.1
REFUSED_S = 12.0
"""Two junctions, 2 s at each, twice, and time to spare."""

WithDigits = BuiltinPhone | Baresip | Linphonec


@pytest.fixture
def calls(embedded_network: EmbeddedNetwork, tmp_path: Path) -> Iterator[Calls]:
    with ExitStack() as stack:
        yield Calls(embedded_network, tmp_path, stack)
    settled(embedded_network)


def talk(caller: PhoneDriver, callee: PhoneDriver, uri: str = URIS[0]) -> None:
    """Bring one more call about: it rings, is answered, and stands at both."""
    wanted = [(phone, event, phone.events.count(event) + 1) for phone, event in ((callee, "incoming"), (caller, "ringing"))]
    stands = [(phone, "connected", phone.events.count("connected") + 1) for phone in (caller, callee)]
    caller.dial(uri)
    for phone, event, count in wanted:
        phone.wait_for(event, count=count)
    callee.answer()
    for phone, event, count in stands:
        phone.wait_for(event, count=count)


def assert_status(phone: PhoneDriver, status: int) -> None:
    """Assert what the caller's phone was told. Of linphonec only a decline can be seen from outside."""
    if isinstance(phone, Linphonec):
        assert ("(Call declined)" in phone.log_text()) is (status == 603)
    else:
        assert phone.status == status


# ------------------------------------------------------------------------------------------------------ calls as they should be


@pytest.mark.parametrize(
    ("caller_kind", "callee_kind"),
    [
        (Kind("baresip", "tcp", "opus"), Kind("baresip", "udp", "opus")),
        (Kind("baresip", "udp", "opus"), Kind("linphonec", "udp", "opus")),
        (Kind("linphonec", "tls", "opus"), Kind("baresip", "tls", "opus")),
        (Kind("pjsua2", "tls", "pcmu"), Kind("linphonec", "udp", "pcmu")),
        (Kind("baresip", "udp", "g722"), Kind("linphonec", "tcp", "g722")),
    ],
    ids=str,
)
def test_two_phones_with_a_common_codec_hear_each_other_in_it(calls: Calls, caller_kind: Kind, callee_kind: Kind) -> None:
    before = converted(calls.network)
    hear_each_other(calls, caller_kind, callee_kind)
    assert converted(calls.network) == before, "nothing was converted"


@pytest.mark.parametrize(
    ("caller_kind", "callee_kind"),
    [
        (Kind("baresip", "udp", "opus"), Kind("baresip", "udp", "pcmu")),
        (Kind("linphonec", "tcp", "g722"), Kind("baresip", "tls", "opus")),
        (Kind("pjsua2", "tls"), Kind("linphonec", "udp", "g722")),
    ],
    ids=str,
)
def test_two_phones_without_a_common_codec_hear_each_other_and_the_callees_box_says_what_it_does(calls: Calls, caller_kind: Kind, callee_kind: Kind) -> None:
    here, there = converted(calls.network)
    hear_each_other(calls, caller_kind, callee_kind)
    assert converted(calls.network) == (here, there + 1)
    assert f"sound      {there + 1} since the start" in calls.network.voicebox("status", home=calls.network.boxes[CALLEE].home)


def converted(network: EmbeddedNetwork) -> tuple[int, int]:
    """Return of how many calls the caller's and the callee's box have converted the sound."""
    caller, callee = (int(told(network.boxes[name])["transcoding"]["calls"]) for name in (CALLER, CALLEE))
    return caller, callee


def hear_each_other(calls: Calls, caller_kind: Kind, callee_kind: Kind) -> None:
    """Let two phones talk, and assert that each heard the other."""
    caller, callee = calls.pair(caller_kind, callee_kind)
    talk(caller, callee)
    time.sleep(TALK_S)
    caller.hang_up()
    caller.wait_for("ended")
    callee.wait_for("ended")
    calls.stop()
    assert caller.status == callee.status == 0
    assert_heard(caller, BOB_HZ, ALICE_HZ, TALK_S - 0.8)
    assert_heard(callee, ALICE_HZ, BOB_HZ, TALK_S - 0.8)


@pytest.mark.parametrize("kind", ["linphonec", "pjsua2"])
def test_a_phone_that_was_given_another_authority_speaks_to_nobody(calls: Calls, tmp_path: Path, kind: str) -> None:
    """baresip 1.0.0 is not here: it does not look at certificates."""
    right, other = calls.network.login(CALLER, "tls"), calls.network.login(CALLEE, "tls")
    before = told(calls.network.boxes[CALLER])["sip"]
    with make_phone(kind, CALLER, ALICE_HZ, "pcma", tmp_path, replace(right, authority=other.authority)) as phone:
        wait_until(
            lambda: phone.events.count("unregistered") + told(calls.network.boxes[CALLER])["sip"].get("tls_failed", 0) > before.get("tls_failed", 0),
            "a refusal",
        )
        assert "registered" not in phone.events
    assert told(calls.network.boxes[CALLER])["sip"].get("requests_register", 0) == before.get("requests_register", 0)


@pytest.mark.parametrize(("kind", "clear"), [(Kind("baresip"), True), (Kind("linphonec", "tcp"), True), (Kind("baresip", "tls"), False)], ids=str)
def test_status_names_the_phones_that_speak_in_the_clear(calls: Calls, kind: Kind, *, clear: bool) -> None:
    calls.phone(CALLER, kind)
    printed = calls.network.voicebox("status", home=calls.network.boxes[CALLER].home)
    assert f"desk ({kind.transport})" in printed
    assert ("desk speaks in the clear" in printed) is clear


# --------------------------------------------------------------------------------------------------- calls that do not come about


@pytest.mark.parametrize("caller_kind", [PJSUA2, Kind("baresip", "tcp"), Kind("linphonec")], ids=str)
def test_what_the_callee_says_reaches_the_caller(calls: Calls, caller_kind: Kind) -> None:
    """A refusal, as one of a closed list: another status of a phone tells nothing about the person."""
    caller, callee = calls.pair(caller_kind)
    assert isinstance(callee, BuiltinPhone)
    for count, (given, got) in enumerate(((486, 486), (404, 480), (603, 603)), 1):
        caller.dial(URIS[1])
        callee.wait_for("incoming", count=count)
        caller.wait_for("ringing", count=count)
        callee.decline(given)
        caller.wait_for("ended", count=count)
        callee.wait_for("ended", count=count)
        assert_status(caller, got)
    assert "connected" not in caller.events


@pytest.mark.parametrize("caller_kind", [PJSUA2, Kind("baresip", "tcp"), Kind("linphonec")], ids=str)
def test_an_unknown_name_is_not_found(calls: Calls, caller_kind: Kind) -> None:
    caller = calls.phone(CALLER, caller_kind)
    for count, uri in enumerate(("sip:nobody@nobody.privacy", "sip:bob@elsewhere.example"), 1):
        caller.dial(uri)
        caller.wait_for("ended", count=count)
        assert_status(caller, 404)
    assert "connected" not in caller.events


def test_a_contact_without_a_phone_seems_not_to_pick_up(calls: Calls) -> None:
    caller = calls.phone(CALLER, PJSUA2)
    caller.dial(URIS[0])
    caller.wait_for("ringing", REFUSED_S)
    time.sleep(TALK_S)
    assert "ended" not in caller.events
    caller.hang_up()
    caller.wait_for("ended")


# ------------------------------------------------------------------------------------------------------------ within a call


def heard_in_turn(phone: PhoneDriver, tone_hz: int) -> list[tuple[bool, float]]:
    """Return stretches of tone and of none, with their lengths in seconds, of a stopped phone's recording. Hiccups of 0.2 s count with what is around them."""
    recording = phone.heard()
    assert recording is not None
    rate_hz, samples = read_recording(recording)
    block = int(rate_hz * BLOCK_S)
    begins = range(0, len(samples) - block + 1, block)
    sounds = [tone_share(samples[begin : begin + block], rate_hz, tone_hz) > HEARD_SHARE for begin in begins]
    stretches: list[tuple[bool, float]] = []
    for sound, blocks in ((sound, len(list(blocks))) for sound, blocks in itertools.groupby(sounds)):
        if stretches and (blocks <= 2 or stretches[-1][0] is sound):
            stretches[-1] = (stretches[-1][0], stretches[-1][1] + blocks * BLOCK_S)
        else:
            stretches.append((sound, blocks * BLOCK_S))
    return stretches


def test_hold_silences_the_call_and_resume_brings_it_back_under_the_same_keys(calls: Calls) -> None:
    """Over TLS the sound is SRTP."""
    holder, other = calls.pair(Kind("pjsua2", "tls"), Kind("pjsua2", "tls"))
    assert isinstance(holder, BuiltinPhone)
    talk(holder, other)
    for phone in (holder, other):
        phone.wait_for("media")
    time.sleep(HOLD_S)
    holder.hold()
    holder.wait_for("held")
    time.sleep(HOLD_S)
    holder.resume()
    holder.wait_for("media", count=2)
    time.sleep(HOLD_S)
    other.hang_up()
    holder.wait_for("ended")
    calls.stop()
    # The one that held hears both halves; its recorder stands still between them. The other one's goes on.
    (before, _), (between, silent_s), (after, _) = heard_in_turn(other, ALICE_HZ)[-3:]
    assert (before, between, after) == (True, False, True)
    assert silent_s > HOLD_S - 0.5
    assert sum(length_s for stretch, length_s in heard_in_turn(holder, BOB_HZ) if stretch) > 2 * (HOLD_S - 0.5)


def test_digits_cross_from_the_clock_of_every_phone_to_that_of_opus(calls: Calls) -> None:
    """Events on 8 000 Hz at the one phone, on the clock of Opus at the other."""
    caller, callee = calls.pair(Kind("baresip", "udp", "opus"), Kind("linphonec", "tcp", "opus"))
    assert isinstance(caller, WithDigits)
    assert isinstance(callee, WithDigits)
    talk(caller, callee, URIS[1])
    caller.press("15*#")
    callee.wait_until(lambda: len(callee.digits) >= 4, "four digits")
    callee.press("70")
    caller.wait_until(lambda: len(caller.digits) >= 2, "two digits")
    assert (callee.digits, caller.digits) == ("15*#", "70")
    caller.hang_up()
    callee.wait_for("ended")


def test_a_second_call_beside_the_first_and_no_third(calls: Calls) -> None:
    """A box of two circuits has two calls; whoever dials once more is told so, and the first call goes on."""
    caller, callee = calls.pair()
    assert isinstance(callee, BuiltinPhone)
    talk(caller, callee)
    caller.dial(URIS[0])
    callee.wait_for("incoming", count=2)
    callee.decline(486)
    caller.wait_for("ended")
    assert caller.status == 486
    talk(caller, callee)
    caller.dial(URIS[0])
    caller.wait_for("ended", REFUSED_S, count=2)
    assert caller.status == 480
    assert callee.events.count("incoming") == 3
    time.sleep(TALK_S)
    caller.hang_up()
    callee.wait_for("ended", count=2)
    caller.wait_for("ended", count=3)
    assert callee.events.count("ended") == 2
    caller.hang_up()
    callee.wait_for("ended", count=3)
    calls.stop()
    assert_heard(caller, BOB_HZ, ALICE_HZ, TALK_S - 0.8)
    assert_heard(callee, ALICE_HZ, BOB_HZ, TALK_S - 0.8)


# -------------------------------------------------------------------------------------------------------------------- races


def test_hanging_up_at_any_moment_leaves_nothing(calls: Calls) -> None:
    caller, callee = calls.pair()
    for count, after_s in enumerate((0.0, 0.05, 0.15, 0.4), 1):
        caller.dial(URIS[0])
        time.sleep(after_s)
        caller.hang_up()
        caller.wait_for("ended", count=count)
        wait_until(lambda: without_calls(calls.network), "the end of what rang")
        callee.wait_until(lambda: callee.events.count("incoming") == callee.events.count("ended"), "the end of what rang")
    assert "connected" not in caller.events + callee.events
    talk(caller, callee)
    callee.hang_up()
    caller.wait_for("ended", count=5)


def test_both_do_something_at_once(calls: Calls) -> None:
    caller, callee = calls.pair()
    for count, race in enumerate(("answered and given up", "declined and given up", "hung up by both"), 1):
        if race == "hung up by both":
            talk(caller, callee)
        else:
            caller.dial(URIS[0])
            callee.wait_for("incoming", count=count)
            caller.wait_for("ringing", count=count)
        if race == "answered and given up":
            callee.answer()
        else:
            callee.hang_up()
        caller.hang_up()
        caller.wait_for("ended", count=count)
        callee.wait_for("ended", count=count)
    talk(caller, callee)
    caller.hang_up()
    callee.wait_for("ended", count=4)
