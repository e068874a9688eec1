"""Ask a dial plan: the first rule that matches decides. Emergency numbers are refused, and blocked callers not answered, before any rule is looked at. Pure.

1. choose_outgoing(), choose_incoming(): the rule, and what it does as it is written.
2. outgoing(), incoming(): that, with phones in the place of extensions and groups, and what do-not-disturb leaves of them.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

from voicebox.dialplan.emergency import is_emergency
from voicebox.dialplan.model import (
    ALL_PHONES,
    EVERYBODYS,
    FORBIDDEN,
    NOBODY_THERE,
    NOT_FOUND,
    Call,
    CallContact,
    Caller,
    Callers,
    CallTrunk,
    DialPlan,
    EchoAt,
    EchoTest,
    EmergencyCall,
    FarEcho,
    House,
    IncomingAct,
    IncomingDecision,
    IncomingRule,
    JoinConference,
    Local,
    NoAnswer,
    OutgoingAct,
    OutgoingDecision,
    OutgoingRule,
    Place,
    RefuseCall,
    Ring,
    RingPhones,
    Silence,
    SpeedDial,
    VoicemailBox,
)
from voicebox.dialplan.pattern import Pattern, without_suffix

MAX_DIALLED = 128
TRUNK_NUMBER = re.compile(r"\+?[0-9*#]{1,24}")
"""What is called over the trunk: never a name."""
EVERY_PHONE = Ring(ALL_PHONES)

# ------------------------------------------------------------------------------------------------------------- outgoing


def outgoing(plan: DialPlan, dialled: str, house: House) -> OutgoingDecision:
    """Return what becomes of a call that a phone begins. dialled: with a suffix or without."""
    act, _ = choose_outgoing(plan, dialled, house)
    match act:
        case Call(petname):
            return _called(house, petname)
        case SpeedDial(number):
            return _called(house, plan.speed_dials.get(number, ""))
        case EchoAt(target):
            return _far_echo(house, plan.speed_dials.get(target, target))
        case Ring():
            ring = _phones(plan, house, act)
            if ring is None:
                return RefuseCall(NOT_FOUND)
            left = _without(ring, house.dnd_phones)
            return left if left is not None else RefuseCall(NOBODY_THERE)
        case Local():
            return RefuseCall(NOT_FOUND)  # no such place: choose_outgoing() has put a Ring where there is one
        case EchoTest() | JoinConference() | CallTrunk() | VoicemailBox() | RefuseCall() | EmergencyCall():
            return act


def _called(house: House, petname: str) -> OutgoingDecision:
    if not petname or not _is_contact(house, petname):
        return RefuseCall(NOT_FOUND)
    return RefuseCall(FORBIDDEN) if petname in house.blocked else CallContact(petname)


def _far_echo(house: House, petname: str) -> OutgoingDecision:
    if petname:
        called = _called(house, petname)
        return FarEcho((called.petname,)) if isinstance(called, CallContact) else called
    everybody = tuple(sorted(petname for petname in house.contacts or () if petname not in house.blocked))
    return FarEcho(everybody) if everybody else RefuseCall(NOBODY_THERE)


def choose_outgoing(plan: DialPlan, dialled: str, house: House) -> tuple[OutgoingAct, int | None]:
    """Return what is to be done about something dialled, and the index of the rule that says so; None where no rule decides."""
    text = without_suffix(dialled.lower(), plan.suffixes)
    if is_emergency(plan.emergency, text):
        return EmergencyCall(), None
    if not text or len(text) > MAX_DIALLED:
        return RefuseCall(NOT_FOUND), None
    for index, rule in enumerate(plan.outgoing):
        for pattern in rule.patterns:
            words = _words(plan, pattern, text, house)
            if words is not None:
                return _filled(plan, house, rule, text, words), index
    return RefuseCall(NOT_FOUND), None


def misfit(plan: DialPlan, pattern: Pattern, dialled: str) -> str:
    """Say why a pattern does not fit something dialled. Contract: it does not."""
    text = without_suffix(dialled.lower(), plan.suffixes)
    found = pattern.expression.fullmatch(text)
    if found is None:
        return pattern.misfit(text)
    return "no contact has that petname" if pattern.label == "contact" else "no extension, group or phone has that number or name"


def _words(plan: DialPlan, pattern: Pattern, text: str, house: House) -> dict[str, str] | None:
    found = pattern.expression.fullmatch(text)
    if found is None:
        return None
    words = found.groupdict()
    there = _is_contact(house, words.get("contact")) and ("local" not in words or place_of(plan, words["local"], house) is not None)
    return words if there else None


def _is_contact(house: House, petname: str | None) -> bool:
    return petname is None or house.contacts is None or petname in house.contacts


def _filled(plan: DialPlan, house: House, rule: OutgoingRule, dialled: str, words: dict[str, str]) -> OutgoingAct:
    """Return what a rule does, with the words caught in it."""

    def fill(text: str) -> str:
        for word, value in words.items():
            text = text.replace(f"{{{word}}}", value)
        return text

    act = rule.do
    match act:
        case Call(petname):
            return Call(fill(petname))
        case SpeedDial(number):
            return SpeedDial(fill(number))
        case EchoAt(target):
            return EchoAt(fill(target))
        case CallTrunk(number):
            number = fill(number)
            if is_emergency(plan.emergency, number):
                return EmergencyCall()
            return CallTrunk(number) if TRUNK_NUMBER.fullmatch(number) else RefuseCall(NOT_FOUND)
        case Ring(place):
            return replace(act, place=fill(place))
        case Local():
            place = words.get("local", dialled)
            return Ring(place) if place_of(plan, place, house) is not None else act
        case EchoTest() | JoinConference() | VoicemailBox() | RefuseCall() | EmergencyCall():
            return act


# ------------------------------------------------------------------------------------------------------------- incoming


def incoming(plan: DialPlan, caller: Caller, house: House, at: dt.datetime) -> IncomingDecision:
    """Return who rings for a contact's call. at: now, with its zone.

    Whoever gets no answer gets it after as long as the phones would have rung for him otherwise, and leaves his message where he would have left it then.
    """
    act, chosen = choose_incoming(plan, caller, house, at)
    ring = _ringing(plan, house, act) if isinstance(act, Ring) else None
    left = _without(ring, house.dnd_phones) if ring is not None else None
    return replace(left, mailbox=ring.mailbox) if ring is not None and left is not None else _no_answer(plan, caller, house, chosen)


def choose_incoming(plan: DialPlan, caller: Caller, house: House, at: dt.datetime) -> tuple[IncomingAct, int | None]:
    """Return what is to be done about a caller, and the index of the rule that says so; None where no rule decides."""
    if shut_out(house, caller):
        return Silence(), None
    act: IncomingAct = EVERY_PHONE if plan.incoming is None else Silence()
    chosen = None
    for index, rule in enumerate(plan.incoming or ()):
        if named(rule, caller) and (rule.hours is None or rule.hours.hold(at)):
            act, chosen = rule.do, index
            break
    open_door = not house.dnd and (plan.quiet is None or not plan.quiet.hold(at))
    return act if open_door or (isinstance(act, Ring) and act.ignore_dnd) else Silence(), chosen


def shut_out(house: House, caller: Caller) -> bool:
    """Return whether somebody is dropped before any rule."""
    return caller in {Callers.BLOCKED, Callers.UNKNOWN} or caller in house.blocked


def named(rule: IncomingRule, caller: Caller) -> bool:
    """Return whether a rule is about a caller."""
    return caller in rule.callers or (isinstance(caller, str) and Callers.CONTACTS in rule.callers)


def _no_answer(plan: DialPlan, caller: Caller, house: House, chosen: int | None) -> NoAnswer:
    """Return how a caller gets no answer: as if those had rung whom the rule that was chosen rings; where it rings nobody, whom the first rule rings that would at another hour."""
    if shut_out(house, caller):
        return NoAnswer()
    rules = plan.incoming or ()
    acts = [rules[chosen].do] if chosen is not None else []
    acts += [rule.do for rule in rules if named(rule, caller)]
    act = EVERY_PHONE if plan.incoming is None else next((act for act in acts if isinstance(act, Ring)), None)
    ring = _ringing(plan, house, act) if act is not None else None
    return NoAnswer(ring.total_s, ring.mailbox) if ring is not None else NoAnswer(mailbox=EVERYBODYS if plan.takes_messages else None)


# --------------------------------------------------------------------------------------------------------------- phones


def place_of(plan: DialPlan, name: str, house: House) -> Place | None:
    """Return what can be rung under a number or name: an extension, a group, else a phone."""
    if name == ALL_PHONES:
        return Place(ALL_PHONES, ALL_PHONES, (house.phones,)) if house.phones else None
    phone = next((phone for phone in house.phones if phone.lower() == name.lower()), None)
    return plan.places.get(name) or (Place(phone, phone, ((phone,),)) if phone is not None else None)


def _phones(plan: DialPlan, house: House, ring: Ring) -> RingPhones | None:
    """Return the phones of a place; None where there is no such place, or no phone in it."""
    place = place_of(plan, ring.place, house)
    then = _phones(plan, house, Ring(ring.then)) if ring.then is not None else None
    if place is None:
        return then
    return RingPhones(place.members, place.strategy, ring.timeout_s or place.timeout_s, then)


def _ringing(plan: DialPlan, house: House, ring: Ring) -> RingPhones | None:
    """Return what rings for a contact, and where a message of his goes: to the extension that is rung, or whose phones all those are that ring first; else to everybody."""
    found, place = _phones(plan, house, ring), place_of(plan, ring.place, house)
    if found is None:
        return None
    extensions = [each for each in plan.places.values() if each.has_mailbox and place is not None and place.phones <= each.phones]
    own = place if place in extensions else next(iter(extensions), None)
    return replace(found, mailbox=own.number if own is not None else EVERYBODYS if plan.takes_messages else None)


def _without(ring: RingPhones, phones: frozenset[str]) -> RingPhones | None:
    """Return what is left without some phones; None where nothing is."""
    then = _without(ring.then, phones) if ring.then is not None else None
    members = tuple(left for member in ring.members if (left := tuple(phone for phone in member if phone not in phones)))
    return replace(ring, members=members, then=then) if members else then
