"""Read the parts of a dial plan that say what there is: settings, emergency numbers, extensions, groups, speed dials. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from voicebox.dialplan.emergency import is_emergency
from voicebox.dialplan.hours import Hours
from voicebox.dialplan.keys import CALL_LOGS, EMERGENCY, EXTENSION, GROUP, SETTINGS
from voicebox.dialplan.model import ALL_PHONES, DEFAULT_RING_S, MAX_RING_S, Place, Strategy
from voicebox.dialplan.read import NUMBER, PETNAME, PLACE_NAME, SPEED_DIAL, Reading
from voicebox.positions import did_you_mean

MAX_PLACES = 100
MAX_MEMBERS = 32
MAX_SPEED_DIALS = 1000
MAX_EMERGENCY_NUMBERS = 100


def read_settings(reading: Reading, node: yaml.Node | None) -> tuple[Hours | None, bool, bool]:
    """Take the settings; return the quiet hours, whether missed calls are kept, and whether messages are taken."""
    values = reading.mapping(node, "settings", SETTINGS)
    if "tz" in values:
        reading.zone = reading.read_zone(values["tz"], "settings.tz")
    log = reading.source.text(values["call_log"], "settings.call_log") if "call_log" in values else None
    if log is not None and log not in CALL_LOGS:
        reading.not_taken(values["call_log"], "settings.call_log", log, CALL_LOGS)
    quiet = reading.hours(values["quiet"], "settings.quiet") if "quiet" in values else None
    return quiet, log == "missed", "voicemail" in values and reading.switch(values["voicemail"], "settings.voicemail")


def read_emergency(reading: Reading, node: yaml.Node | None) -> frozenset[str]:
    """Return the emergency numbers; there must be some."""
    source, hint = reading.source, 'Write `emergency: { numbers: ["112"], do: refuse }`.'
    values = reading.mapping(node, "emergency", EMERGENCY)
    if "numbers" not in values or (source.text(values["do"], "emergency.do") if "do" in values else "") != "refuse":
        source.problem(node or source.root, "emergency", "must say which numbers are refused", hint)
        return frozenset()
    numbers = set()
    for item in reading.items(values["numbers"], "emergency.numbers", MAX_EMERGENCY_NUMBERS):
        number = source.text(item, "emergency.numbers") or ""
        if NUMBER.match(number) and len(number) > 1:
            numbers.add(number)
        else:
            source.problem(item, "emergency.numbers", "an emergency number has 2 to 8 digits", "Write the digits alone, for example 112.")
    if not numbers and not source.problems:
        source.problem(values["numbers"], "emergency.numbers", "is empty", hint)
    return frozenset(numbers)


def read_speed_dials(reading: Reading, node: yaml.Node | None, emergency: frozenset[str]) -> dict[str, str]:
    """Return number to petname."""
    found = {}
    values = reading.source.mapping(node, "speed_dials")
    if len(values) > MAX_SPEED_DIALS:
        reading.source.problem(node, "speed_dials", f"has more than {MAX_SPEED_DIALS} items", "Make it shorter.")
    for number, value in list(values.items())[:MAX_SPEED_DIALS]:
        path = f"speed_dials.{number}"
        petname = reading.shaped(value, path, PETNAME, "should be the petname of a contact", "`voicebox contact list` prints them.")
        if not SPEED_DIAL.match(number):
            reading.source.problem(value, path, "a speed dial is made of digits, * and #", "Take another number.")
        elif number in emergency:
            reading.source.problem(value, path, "is an emergency number", "Take another number.")
        elif petname is not None:
            found[number] = petname
    return found


@dataclass(slots=True)
class _Group:
    node: yaml.Node
    number: str
    name: str
    strategy: Strategy
    timeout_s: int
    members: list[tuple[str, yaml.Node]] = field(default_factory=list)
    resolved: bool = False


def read_places(reading: Reading, extensions: yaml.Node | None, groups: yaml.Node | None, emergency: frozenset[str]) -> dict[str, Place]:
    """Return extensions and groups, by number and by name."""
    places: dict[str, Place] = {}
    for number, node in _numbered(reading, extensions, "extensions", emergency, places):
        place = _extension(reading, node, number)
        if place is not None:
            _add(reading, places, place, node, f"extensions.{number}")
    written: dict[str, _Group] = {}
    for number, node in _numbered(reading, groups, "groups", emergency, places):
        group = _group(reading, node, number)
        if group.name in places or group.name in written:
            reading.source.problem(node, f"groups.{number}.name", f"`{group.name}` is the name of another already", "Take another name.")
        written |= {number: group, group.name: group}
    for number, group in written.items():
        if number == group.number:
            _resolve(reading, places, written, group, [])
    return places


def _numbered(reading: Reading, node: yaml.Node | None, part: str, emergency: frozenset[str], places: dict[str, Place]) -> list[tuple[str, yaml.Node]]:
    found = []
    for number, value in reading.source.mapping(node, part).items():
        path = f"{part}.{number}"
        if not NUMBER.match(number):
            reading.source.problem(value, path, "should be a number of 1 to 8 digits", 'Write it in quotes, for example "20".')
        elif number in places:
            reading.source.problem(value, path, "is an extension already", "Take another number.")
        elif prefixed := next((other for other in sorted(emergency) if other.startswith(number)), None):
            what = "is an emergency number" if number == prefixed else f"is how the emergency number {prefixed} begins"
            reading.source.problem(value, path, what, "Take another number.")
        elif is_emergency(emergency, number):
            reading.source.problem(value, path, "is an emergency number behind a 0 or 9, or abroad", "Take another number.")
        else:
            found.append((number, value))
    if len(found) > MAX_PLACES:
        reading.source.problem(node, part, f"has more than {MAX_PLACES} numbers", "Make it shorter.")
    return found[:MAX_PLACES]


def _extension(reading: Reading, node: yaml.Node, number: str) -> Place | None:
    path = f"extensions.{number}"
    values = reading.mapping(node, path, EXTENSION)
    has_mailbox = "voicemail" in values and reading.switch(values["voicemail"], f"{path}.voicemail")
    phones = []
    for item in reading.items(values.get("phones"), f"{path}.phones", MAX_MEMBERS):
        phone = reading.source.text(item, f"{path}.phones") or ""
        if reading.phones is not None and phone not in reading.phones:
            near = did_you_mean(phone, reading.phones) if reading.phones else ""
            reading.source.problem(item, f"{path}.phones", f"there is no phone `{phone}`", near or f"`voicebox phone add {phone}` makes it.")
        phones.append(phone)
    if not phones:
        reading.source.problem(node, path, "has no phone", "Write `phones: [NAME]`.")
        return None
    return Place(number, _name(reading, values, path, number), (tuple(dict.fromkeys(phones)),), has_mailbox=has_mailbox)


def _name(reading: Reading, values: dict[str, yaml.Node], path: str, number: str) -> str:
    if "name" not in values:
        return number
    what, hint = "should be a name of small letters, digits and hyphens that begins with a letter", "Write for example kitchen."
    name = reading.shaped(values["name"], f"{path}.name", PLACE_NAME, what, hint)
    if name == ALL_PHONES:
        reading.source.problem(values["name"], f"{path}.name", f"`{ALL_PHONES}` means every phone", "Take another name.")
    return name or number


def _add(reading: Reading, places: dict[str, Place], place: Place, node: yaml.Node, path: str) -> None:
    if place.name in places:
        reading.source.problem(node, f"{path}.name", f"`{place.name}` is the name of another already", "Take another name.")
    places |= {place.number: place, place.name: place}


def _group(reading: Reading, node: yaml.Node, number: str) -> _Group:
    path = f"groups.{number}"
    values = reading.mapping(node, path, GROUP)
    group = _Group(node, number, _name(reading, values, path, number), Strategy.ALL, DEFAULT_RING_S)
    if "strategy" in values:
        known = [strategy.value for strategy in Strategy]
        word = reading.source.text(values["strategy"], f"{path}.strategy") or ""
        if word in known:
            group.strategy = Strategy(word)
        else:
            reading.source.problem(values["strategy"], f"{path}.strategy", f"should be one of {', '.join(known)}", did_you_mean(word, known))
    if "timeout" in values:
        group.timeout_s = reading.timeout(values["timeout"], f"{path}.timeout") or DEFAULT_RING_S
    members = reading.items(values.get("ring"), f"{path}.ring", MAX_MEMBERS)
    group.members = [(text, item) for item in members if (text := reading.source.text(item, f"{path}.ring"))]
    if not members:
        reading.source.problem(node, path, "rings nobody", 'Write `ring: ["20", "21"]`.')
    return group


def _resolve(reading: Reading, places: dict[str, Place], written: dict[str, _Group], group: _Group, above: list[str]) -> Place | None:
    """Return a group as a place, with its members resolved first. A group inside a group is one member of it: all its phones ring together."""
    if group.resolved:
        return places.get(group.number)
    group.resolved = True
    path = f"groups.{group.number}.ring"
    members = []
    for name, node in group.members:
        inner = written.get(name)
        if inner is not None and inner.number in [*above, group.number]:
            chain = ", which rings ".join([*above, group.number, inner.number])
            reading.source.problem(node, path, f"goes round in a circle: {chain}", "Take one of them out.")
            continue
        place = places.get(name) or (_resolve(reading, places, written, inner, [*above, group.number]) if inner is not None else None)
        if place is not None:
            members.append(tuple(dict.fromkeys(phone for member in place.members for phone in member)))
        elif inner is None:
            reading.source.problem(node, path, f"there is no extension or group `{name}`", did_you_mean(name, [*places, *written]))
    place = Place(group.number, group.name, tuple(members), group.strategy, group.timeout_s)
    total_s = group.strategy.total_s(len(members), group.timeout_s)
    if total_s > MAX_RING_S:
        what = f"rings for {total_s} s in all, and a call rings for {MAX_RING_S} s at most"
        reading.source.problem(group.node, f"groups.{group.number}", what, "Make the timeout shorter.")
    if not members:
        return None
    places |= {place.number: place, place.name: place}
    return place
