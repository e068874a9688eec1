"""The places of a box: which guards are whose, and what is forgotten."""

from __future__ import annotations

import pytest

from voicebox.circuits.places import MAX_PLACES, Places, guards_file
from voicebox.errors import FileProblem

KEY = bytes(range(32))
HOME, HOTEL = b"\x02\xfc\0\0\0\x05\xc0\xa8\x01\x01", b"\x02\xfc\0\0\0\x06\xc0\xa8\x01\x01"
"""Two routers of one address."""


def kept(places: Places) -> Places:
    return Places(places.text(), "places/list", b"another key")


def test_each_place_has_guards_of_its_own_and_the_first_those_that_there_were() -> None:
    places = Places("", "places/list", KEY)
    assert guards_file(places.present) == "guards", "also before any is known"
    for gateway, file in ((HOME, "guards"), (HOTEL, "places/1"), (HOME, "guards"), (HOTEL, "places/1")):
        assert not places.enter(gateway)
        assert guards_file(places.present) == file
        places = kept(places)
        assert guards_file(places.present) == file, "where it was last"


def test_the_file_does_not_say_which_gateway() -> None:
    """The control: under the same key it is the same."""
    places, other = Places("", "places/list", KEY), Places("", "places/list", bytes(32))
    for each in (places, other):
        each.enter(HOME)
    assert HOME.hex() not in places.text()
    assert places.text().splitlines()[2] != other.text().splitlines()[2]
    again = Places("", "places/list", KEY)
    again.enter(HOME)
    assert again.text() == places.text()


def test_the_place_of_longest_ago_is_forgotten_with_its_guards() -> None:
    places = Places("", "places/list", KEY)
    gateways = [bytes([number]) * 10 for number in range(MAX_PLACES + 1)]
    assert not any(places.enter(gateway) for gateway in gateways[:MAX_PLACES])
    assert not places.enter(gateways[0])
    assert places.enter(gateways[MAX_PLACES]), "the guards under its number were another's"
    assert places.present == 1
    assert len(kept(places).text().splitlines()) == 2 + MAX_PLACES
    assert places.enter(gateways[1]), "it is a new place now"
    assert places.present == 2


@pytest.mark.parametrize(
    "line",
    ["place", "place 00 1", f"place {'0' * 16} 8", f"place {'0' * 16} -1", f"place {'0' * 16} 01", f"place {'A' * 16} 1", f"place {'0' * 16} 0", "other 1"],
)
def test_a_file_that_is_not_as_written_is_refused(line: str) -> None:
    places = Places("", "places/list", KEY)
    places.enter(HOME)
    with pytest.raises(FileProblem):
        Places(places.text() + line + "\n", "places/list", KEY)
