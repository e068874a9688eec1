"""What a plan decides: the first rule that matches, who rings, and what hours and do-not-disturb leave of it."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from voicebox.dialplan.explain import explain_incoming, explain_outgoing
from voicebox.dialplan.hours import parse_at
from voicebox.dialplan.load import DEFAULT_PLAN, load_plan, parse_plan
from voicebox.dialplan.match import incoming, outgoing
from voicebox.dialplan.model import (
    EVERYBODYS,
    CallContact,
    CallTrunk,
    DialPlan,
    EchoTest,
    EmergencyCall,
    FarEcho,
    House,
    IncomingDecision,
    NoAnswer,
    OutgoingDecision,
    RefuseCall,
    RingPhones,
    Strategy,
)

HEAD = 'version: 1\nemergency: { numbers: ["112"], do: refuse }\n'
ANYBODY = 'outgoing:\n  - { dial: "<contact>", do: { call: "{contact}" } }\n'
HOUSE = House(("kitchen", "laptop", "mobile", "Attic"), {"bob", "mum", "carol-2", "eve"}, blocked={"eve"})
PLACES = """
extensions:
  "20": { name: kitchen, phones: [kitchen] }
  "21": { name: alice, phones: [laptop, mobile] }
groups:
  "30": { name: family, ring: ["20", "21"], timeout: 25s }
  "31": { name: turns, ring: [kitchen, alice], strategy: in order, timeout: 20s }
  "32": { name: luck, ring: [family, kitchen], strategy: random, timeout: 40s }
"""
ZURICH = ZoneInfo("Europe/Zurich")
NOON = parse_at("mon 12:00", ZURICH)
ALICE, FAMILY = ("laptop", "mobile"), ("kitchen", "laptop", "mobile")


def plan_of(text: str) -> DialPlan:
    return parse_plan(HEAD + text, "plan.yaml", HOUSE.phones)


def dialled(rules: str, text: str, house: House = HOUSE) -> OutgoingDecision:
    return outgoing(plan_of(PLACES + "outgoing:\n" + rules), text, house)


def called(rules: str, petname: str, at: str = "mon 12:00", house: House = HOUSE) -> IncomingDecision:
    text = "settings: { tz: Europe/Zurich }\n" + PLACES + ANYBODY + ("incoming:\n" + rules if rules else "")
    return incoming(plan_of(text), petname, house, parse_at(at, ZURICH))


# ------------------------------------------------------------------------------------------------------------- outgoing


def test_default_plan() -> None:
    plan = load_plan(DEFAULT_PLAN, HOUSE.phones)
    for text, decided in {
        "bob": CallContact("bob"),
        "Bob": CallContact("bob"),
        "carol-2.privacy": CallContact("carol-2"),
        "Carol-2.PRIVACY": CallContact("carol-2"),
        "dave": RefuseCall(404),
        "eve": RefuseCall(403),
        "712": RefuseCall(404),
        "*43": EchoTest(),
        "*44": FarEcho(("bob", "carol-2", "mum")),
        "*4412": RefuseCall(404),
        "kitchen": RingPhones((("kitchen",),)),
        "attic": RingPhones((("Attic",),)),
        "all": RingPhones((HOUSE.phones,)),
        "112": EmergencyCall(),
        "+41-112": EmergencyCall(),
        "112.privacy": EmergencyCall(),
        "0041441234567": RefuseCall(404),
        "bob@example.org": RefuseCall(404),
        "": RefuseCall(404),
        "x" * 200: RefuseCall(404),
    }.items():
        assert outgoing(plan, text, HOUSE) == decided, text
    assert incoming(plan, "bob", HOUSE, NOON) == RingPhones((HOUSE.phones,))
    assert incoming(plan, "eve", HOUSE, NOON) == NoAnswer()


def test_first_rule_that_matches_decides() -> None:
    rules = '  - { dial: "2Z", do: { refuse: 486 } }\n  - { dial: "2X", do: local }\n  - { dial: ".", do: { call: bob } }\n'
    assert dialled(rules, "21") == RefuseCall(486)
    assert dialled(rules, "20") == RingPhones((("kitchen",),))
    assert dialled(rules, "22") == RefuseCall(486)
    assert dialled(rules, "anything") == CallContact("bob")


def test_the_echo_of_a_contacts_box_is_that_of_whom_the_rule_names_or_of_any_who_is_not_blocked() -> None:
    speed = HEAD + 'speed_dials: { "12": mum }\noutgoing:\n'
    rules = (
        '  - { dial: "*44<n:XX>", do: { far-echo: "{n}" } }\n  - { dial: "*44<contact>", do: { far-echo: "{contact}" } }\n  - { dial: "*44", do: far-echo }\n'
    )
    tests = 'tests:\n  - { dial: "*4412", expect: { far-echo: mum } }\n  - { dial: "*4412", expect: { far-echo: "12" } }\n'
    plan = parse_plan(speed + rules + tests, "plan.yaml", HOUSE.phones)
    asked = {"*4412": FarEcho(("mum",)), "*4413": RefuseCall(404), "*44bob": FarEcho(("bob",)), "*44eve": RefuseCall(403), "*44dave": RefuseCall(404)}
    for text, decided in asked.items():
        assert outgoing(plan, text, HOUSE) == decided, text
    assert outgoing(plan, "*44", House(contacts={"eve"}, blocked={"eve"})) == RefuseCall(480)
    assert outgoing(plan, "*44", House()) == RefuseCall(480)


def test_the_trunk_takes_numbers_alone_and_no_emergency_however_a_rule_makes_it() -> None:
    rules = '  - { dial: "55<n:.>", do: { trunk: "{n}" } }\n  - { dial: "0<n:.>", do: { trunk: "+41{n}" } }\n  - { dial: "<name>", do: { trunk: "1{name}" } }\n'
    asked = {
        "0441234567": CallTrunk("+41441234567"),
        "55123": CallTrunk("123"),
        "55112": EmergencyCall(),
        "0112": EmergencyCall(),
        "bob": RefuseCall(404),
        "0x": RefuseCall(404),
    }
    for text, decided in asked.items():
        assert dialled(rules, text) == decided, text


def test_what_the_trunk_does_not_take_is_refused_to_a_plans_own_tests_and_in_explanations_too() -> None:
    rules = 'outgoing:\n  - { dial: "55<n:.>", do: { trunk: "{n}" } }\n'
    tests = 'tests:\n  - { dial: "55123", expect: { trunk: "123" } }\n  - { dial: "55112", expect: refuse }\n  - { dial: "55x", expect: refuse }\n'
    plan = plan_of(rules + tests)
    explained = {text: list(explain_outgoing(plan, text, HOUSE)) for text in ("55123", "55112", "55x")}
    assert explained == {"55123": ["line 4: yes, trunk: 123"], "55112": ["line 4: yes, refuse"], "55x": ["line 4: yes, refuse: 404"]}


def test_unknown_contact_falls_through_to_later_rules() -> None:
    rules = '  - { dial: "<contact>", do: { call: "{contact}" } }\n  - { dial: "<name>", do: { refuse: 486 } }\n'
    assert dialled(rules, "bob") == CallContact("bob")
    assert dialled(rules, "dave") == RefuseCall(486)


def test_speed_dials_call_their_contact_while_there_is_one() -> None:
    plan = plan_of('speed_dials: { "12": bob, "14": dave }\noutgoing:\n  - { dial: "7<n:XX>", do: { contact: "{n}" } }\n')
    assert outgoing(plan, "712", HOUSE) == CallContact("bob")
    assert outgoing(plan, "713", HOUSE) == RefuseCall(404)
    assert outgoing(plan, "714", HOUSE) == RefuseCall(404)


def test_yaml_makes_no_numbers_of_what_is_dialled() -> None:
    rules = "  - { dial: 012, do: { refuse: 486 } }\n  - { dial: on, do: { refuse: 487 } }\n  - { dial: 0x1f, do: { refuse: 488 } }\n"
    assert [dialled(rules, text) for text in ("012", "10", "on", "true", "0x1f", "31")] == [RefuseCall(status) for status in (486, 404, 487, 404, 488, 404)]


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("20", RingPhones((("kitchen",),))),
        ("alice", RingPhones((ALICE,))),
        ("mobile", RingPhones((("mobile",),))),
        ("30", RingPhones((("kitchen",), ALICE), timeout_s=25)),
        ("turns", RingPhones((("kitchen",), ALICE), Strategy.IN_ORDER, 20)),
        ("32", RingPhones((FAMILY, ("kitchen",)), Strategy.RANDOM, 40)),
        ("22", RefuseCall(404)),
        ("2x", RefuseCall(404)),
    ],
)
def test_local_calls(text: str, decided: OutgoingDecision) -> None:
    assert dialled('  - { dial: ["2X", "3X"], do: local }\n  - { dial: "<local>", do: local }\n', text) == decided


def test_ring_with_a_time_and_another_place_afterwards() -> None:
    decided = dialled('  - { dial: "5<n:X>", do: { ring: "2{n}", timeout: 10s, then: turns } }\n', "51")
    assert decided == RingPhones((ALICE,), Strategy.ALL, 10, RingPhones((("kitchen",), ALICE), Strategy.IN_ORDER, 20))
    assert decided.total_s == 50
    assert decided.phones == ALICE


def test_phones_that_are_not_to_be_disturbed_do_not_ring() -> None:
    rules = '  - { dial: "0", do: { ring: alice, timeout: 10s, then: kitchen } }\n  - { dial: "<local>", do: local }\n'
    house = replace(HOUSE, dnd=True, dnd_phones=frozenset({"laptop", "kitchen"}))
    assert dialled(rules, "family", house) == RingPhones((("mobile",),), timeout_s=25)
    assert dialled(rules, "kitchen", house) == RefuseCall(480)
    assert dialled(rules, "0", house) == RingPhones((("mobile",),), timeout_s=10)
    assert dialled(rules, "0", replace(house, dnd_phones=frozenset(ALICE))) == RingPhones((("kitchen",),))
    assert dialled(rules, "mobile", house) == RingPhones((("mobile",),)), "do not disturb of the house is for callers from outside"


def test_all_without_a_phone_rings_nobody() -> None:
    assert outgoing(plan_of('outgoing: [{ dial: "0", do: { ring: all } }]\n'), "0", replace(HOUSE, phones=())) == RefuseCall(404)
    assert incoming(plan_of(ANYBODY), "bob", replace(HOUSE, phones=()), NOON) == NoAnswer()


# ------------------------------------------------------------------------------------------------------------- incoming


def test_without_rules_every_phone_rings_for_every_contact() -> None:
    assert called("", "bob") == RingPhones((HOUSE.phones,))
    assert called("", "eve") == NoAnswer()


def test_with_rules_whoever_none_names_gets_no_answer() -> None:
    rules = "  - { from: [mum, carol-2], do: { ring: kitchen } }\n"
    assert called(rules, "mum") == called(rules, "carol-2") == RingPhones((("kitchen",),))
    assert called(rules, "bob") == NoAnswer()


def test_blocked_callers_get_no_answer_whatever_the_rules_say() -> None:
    assert called("  - { from: eve, do: { ring: all, ignore_dnd: true } }\n", "eve") == NoAnswer()


NIGHT = """
  - { from: mum, do: { ring: family, ignore_dnd: true } }
  - { from: contacts, when: { hours: "22:00-07:00" }, do: no-answer }
  - { from: bob, when: { days: [sat, sun] }, do: { ring: turns } }
  - { from: contacts, do: { ring: alice, timeout: 30s, then: kitchen } }
"""
BY_DAY = RingPhones((ALICE,), timeout_s=30, then=RingPhones((("kitchen",),)))


@pytest.mark.parametrize(
    ("petname", "at", "decided"),
    [
        ("bob", "mon 21:59", BY_DAY),
        ("bob", "mon 22:00", NoAnswer(40)),
        ("bob", "sun 06:59", NoAnswer(40)),
        ("bob", "sun 07:00", RingPhones((("kitchen",), ALICE), Strategy.IN_ORDER, 20)),
        ("carol-2", "mon 23:00", NoAnswer(90)),
        ("mum", "mon 03:00", RingPhones((("kitchen",), ALICE), timeout_s=25)),
    ],
)
def test_hours_and_how_long_nobody_answers(petname: str, at: str, decided: IncomingDecision) -> None:
    """Whoever gets no answer waits as long as the phones would have rung for him at another hour."""
    assert called(NIGHT, petname, at) == decided


def test_do_not_disturb_and_quiet_hours_spare_those_who_may() -> None:
    disturbing = RingPhones((("kitchen",), ALICE), timeout_s=25)
    for house in (HOUSE, replace(HOUSE, dnd=True)):
        quiet = 'settings: { quiet: { hours: "22:00-07:00", tz: Europe/Zurich } }\n'
        plan = plan_of(quiet + PLACES + ANYBODY + "incoming:" + NIGHT)
        for at in ("mon 12:00", "mon 23:30"):
            moment = parse_at(at, ZURICH)
            assert incoming(plan, "mum", house, moment) == disturbing
            loud = at == "mon 12:00" and not house.dnd
            assert incoming(plan, "carol-2", house, moment) == (BY_DAY if loud else NoAnswer(90))


def test_a_phone_that_is_not_to_be_disturbed_is_left_out() -> None:
    house = replace(HOUSE, dnd_phones=frozenset({"laptop"}))
    assert called(NIGHT, "carol-2", house=house) == replace(BY_DAY, members=(("mobile",),))
    assert called(NIGHT, "mum", house=house) == RingPhones((("kitchen",), ("mobile",)), timeout_s=25)
    house = replace(HOUSE, dnd_phones=frozenset(FAMILY))
    assert called(NIGHT, "carol-2", house=house) == NoAnswer(90)
    assert called(NIGHT, "mum", house=house) == NoAnswer(25)


MAILBOXES = PLACES.replace("[laptop, mobile]", "[laptop, mobile], voicemail: true").replace("[kitchen] }", "[kitchen, mobile], voicemail: true }")
VOICEMAIL = """
  - { from: mum, do: { ring: alice, timeout: 20s, then: kitchen } }
  - { from: carol-2, when: { days: [sat, sun] }, do: { ring: kitchen } }
  - { from: carol-2, do: { ring: laptop, timeout: 20s } }
  - { from: contacts, when: { hours: "09:00-12:00" }, do: no-answer }
  - { from: contacts, do: { ring: family } }
"""


@pytest.mark.parametrize("everybodys", [EVERYBODYS, None], ids=["everybody's too", "none else"])
@pytest.mark.parametrize("dnd", [False, True])
@pytest.mark.parametrize(
    ("petname", "at", "mailbox"),
    [
        ("mum", "mon 12:00", "21"),
        ("carol-2", "mon 12:00", "21"),
        ("carol-2", "sat 12:00", "20"),
        ("bob", "mon 13:00", EVERYBODYS),
        ("bob", "mon 11:00", EVERYBODYS),
    ],
)
def test_a_message_is_for_the_extension_that_is_rung_or_whose_phones_are_and_else_for_everybody(
    petname: str, at: str, mailbox: str, *, dnd: bool, everybodys: str | None
) -> None:
    """And do-not-disturb changes nothing in it, so that nobody learns of that by a machine."""
    plan = plan_of(
        (f"settings: {{ tz: Europe/Zurich, voicemail: {'false' if everybodys is None else 'true'} }}\n") + MAILBOXES + ANYBODY + "incoming:" + VOICEMAIL
    )
    for phones in (frozenset[str](), frozenset({"laptop", "mobile"}), frozenset(FAMILY)):
        assert incoming(plan, petname, replace(HOUSE, dnd=dnd, dnd_phones=phones), parse_at(at, ZURICH)).mailbox == (mailbox or everybodys)
    assert incoming(plan, "eve", replace(HOUSE, dnd=dnd), parse_at(at, ZURICH)).mailbox is None, "who is blocked leaves none"


def test_a_phone_has_the_mailboxes_of_its_extensions_and_everybodys() -> None:
    mine = plan_of(MAILBOXES + ANYBODY)
    assert {phone: mine.mailboxes_of(phone) for phone in HOUSE.phones} == {"kitchen": {"20"}, "laptop": {"21"}, "mobile": {"20", "21"}, "Attic": set()}
    ours = plan_of("settings: { voicemail: true }\n" + MAILBOXES + ANYBODY)
    assert {phone: ours.mailboxes_of(phone) for phone in ("laptop", "Attic")} == {"laptop": {EVERYBODYS, "21"}, "Attic": {EVERYBODYS}}
    assert plan_of(PLACES + ANYBODY).mailboxes == frozenset()


def test_an_explanation_says_for_whom_a_message_would_be() -> None:
    plan = plan_of("settings: { tz: Europe/Zurich }\n" + MAILBOXES + ANYBODY + "incoming:" + VOICEMAIL)
    said = {petname: list(explain_incoming(plan, petname, HOUSE, NOON))[-1].rpartition(" for ")[2] for petname in ("mum", "bob")}
    assert said == {"mum": "extension 21", "bob": "nobody"}


# ------------------------------------------------------------------------------------------------------------- anything


def test_any_dialled_text_is_decided_and_rings_only_what_there_is() -> None:
    """Seeded. Whatever is dialled, whoever calls, at any time: contacts that there are, phones that there are, at most 90 s."""
    plan = plan_of(
        "settings: { tz: Europe/Zurich }\n" + PLACES + 'outgoing:\n  - { dial: "2!", do: local }\n  - { dial: "<name>", do: { call: "{name}" } }\n'
        '  - { dial: "*<n:.>", do: { ring: "{n}", timeout: 15s, then: all } }\nincoming:' + NIGHT
    )
    rng = random.Random(8)
    kinds = set()
    for _ in range(5000):
        text = "".join(rng.choices("0123*#+.-bomu٣ é;\0\n", k=rng.randint(0, 6))) + rng.choice(["", "", "bob", "20", "112", ".privacy", "*30"])
        house = replace(HOUSE, dnd=rng.random() < 0.5, dnd_phones=frozenset(rng.sample(HOUSE.phones, rng.randint(0, 4))))
        at = dt.datetime.fromtimestamp(rng.randrange(1 << 32), dt.UTC)
        decided = outgoing(plan, text, house)
        for decision in (decided, incoming(plan, rng.choice(["bob", "mum", "eve", "carol-2"]), house, at)):
            kinds.add(type(decision))
            if isinstance(decision, RingPhones):
                every = (*decision.phones, *(decision.then.phones if decision.then is not None else ()))
                assert set(every) <= set(HOUSE.phones) - house.dnd_phones
                assert all(decision.members)
                assert 0 < decision.total_s <= 90
            elif isinstance(decision, CallContact):
                assert decision.petname in {"bob", "mum", "carol-2"}
    assert kinds == {RingPhones, CallContact, RefuseCall, EmergencyCall, NoAnswer}
