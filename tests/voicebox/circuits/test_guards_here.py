"""The guards of the places where a box is, one for each uplink, on a real disk."""

from __future__ import annotations

from pathlib import Path
from random import Random

from voicebox.circuits.guards_here import GuardsHere
from voicebox.circuits.places import MAX_PLACES
from voicebox.contacts.store import StateDirectory

HOME, PHONE = b"\x02\xfc\0\0\0\x05\xc0\xa8\x01\x01", b"\x02\xfc\0\0\0\x06\xc0\xa8\x02\x01"


def here(folder: Path) -> GuardsHere:
    return GuardsHere(StateDirectory(folder), frozenset(), frozenset())


def files(guards: GuardsHere) -> dict[str | None, str]:
    """Return the file of each uplink's guards: it is written where they change."""
    loaded = guards.load(2, Random(1))
    assert all(each.guards == [] for each in loaded.values())
    return {uplink: f"places/{number}" if number else "guards" for uplink, number in guards._numbers().items()}


def test_each_uplink_has_the_guards_of_its_own_gateway(tmp_path: Path) -> None:
    guards = here(tmp_path)
    assert guards.enter({"eth0": HOME, "wlan0": PHONE})
    assert files(guards) == {"eth0": "guards", "wlan0": "places/1"}
    again = here(tmp_path)
    again.enter({"wlan0": PHONE, "eth0": HOME})
    assert files(again) == {"wlan0": "places/1", "eth0": "guards"}, "whichever is first"
    assert again.enter({None: PHONE})
    assert files(again) == {None: "places/1"}, "and where it is used alone"


def test_two_lines_to_one_gateway_are_at_one_place_and_share_its_guards(tmp_path: Path) -> None:
    guards = here(tmp_path)
    guards.enter({"eth0": HOME, "wlan0": HOME})
    sets = guards.load(2, Random(1))
    assert sets["eth0"] is sets["wlan0"]


def test_a_line_that_is_not_there_is_where_it_was(tmp_path: Path) -> None:
    guards = here(tmp_path)
    guards.enter({"eth0": b"", "wlan0": b""})
    assert files(guards) == {"eth0": "guards", "wlan0": "guards"}, "nothing is known yet: where the box was last"
    guards.enter({"eth0": HOME, "wlan0": PHONE})
    assert not guards.enter({"eth0": HOME, "wlan0": b""})
    assert not guards.enter({"eth0": b"", "wlan0": b""})
    assert files(guards) == {"eth0": "guards", "wlan0": "places/1"}


def test_no_place_where_the_box_is_is_forgotten_for_the_other(tmp_path: Path) -> None:
    guards = here(tmp_path)
    gateways = [bytes([number]) * 10 for number in range(MAX_PLACES)]
    for gateway in gateways:
        guards.enter({None: gateway})
    guards.enter({"eth0": gateways[0], "wlan0": PHONE})
    assert files(guards) == {"eth0": "guards", "wlan0": "places/1"}, "that of longest ago was in use, so the next is forgotten"
