"""Virtual addresses: one of each kind for a name, the same after a restart, nobody's for a day when the name is gone, and bounded."""

from __future__ import annotations

import ipaddress
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.errors import FileProblem, UsageError
from voicebox.naming.virtual import LOOPBACK, MAX_HOSTS, MAX_RESTING, RANGE, REST_S, Place, VirtualAddresses, new_addresses, parse_names

NOW = 1_800_000_000.0
BOB, NAS = Place("bob"), Place("bob", "nas")


def fresh(seed: int = 1) -> VirtualAddresses:
    return new_addresses(bytes(range(5)), random.Random(seed).randrange)


def again(addresses: VirtualAddresses) -> VirtualAddresses:
    return parse_names(addresses.serialise(), "names", random.Random(2).randrange)


def test_a_name_has_addresses_in_each_range_and_they_are_its_own() -> None:
    addresses = fresh()
    bob, nas = addresses.addresses(BOB, NOW), addresses.addresses(NAS, NOW)
    assert bob.v4 in RANGE
    assert bob.loopback in LOOPBACK
    assert bob.v6 in ipaddress.IPv6Network("fd00:102:304::/48")
    assert bob.loopback.is_loopback
    for place, its in ((BOB, bob), (NAS, nas)):
        assert {addresses.place_of(each) for each in (its.v4, its.v6, its.loopback, str(its.v4), str(its.v6))} == {place}
    assert len({bob.v4, nas.v4}) == 2
    assert addresses.addresses(BOB, NOW + 1e6) == bob


@pytest.mark.parametrize(
    "address", ["198.18.0.0", "198.19.255.255", "198.20.0.1", "127.0.0.1", "127.192.0.0", "fd00:102:304::", "::1", "fd00::1", "", "bob", "1.2.3"]
)
def test_other_addresses_are_nobodys(address: str) -> None:
    addresses = fresh()
    addresses.addresses(BOB, NOW)
    assert addresses.place_of(address) is None


def test_a_name_has_the_same_addresses_after_a_restart() -> None:
    addresses = fresh()
    before = [addresses.addresses(place, NOW) for place in (BOB, NAS, Place("carol"))]
    restarted = again(addresses)
    assert [restarted.addresses(place, NOW) for place in (BOB, NAS, Place("carol"))] == before
    assert restarted.changes == 3  # those that were read
    assert set(restarted.places()) == {BOB, NAS, Place("carol")}


def test_a_number_rests_for_a_day_also_over_a_restart() -> None:
    numbers = iter([5, 5, 6, 5, 6, 7, 5])
    addresses = new_addresses(bytes(5), lambda _count: next(numbers))
    first = addresses.addresses(BOB, NOW)
    addresses.contact_changed("bob", None, NOW)
    assert addresses.place_of(first.v4) is None
    assert addresses.addresses(BOB, NOW + REST_S - 1).v4 == RANGE[6]
    addresses = parse_names(addresses.serialise(), "names", lambda _count: next(numbers))
    assert addresses.addresses(Place("carol"), NOW + REST_S - 1).v4 == RANGE[7]
    assert addresses.addresses(Place("dave"), NOW + REST_S + 1).v4 == RANGE[5]


def test_a_petname_that_is_changed_takes_its_addresses_along() -> None:
    addresses = fresh()
    bob, nas = addresses.addresses(BOB, NOW), addresses.addresses(NAS, NOW)
    addresses.contact_changed("bob", "robert", NOW)
    assert (addresses.place_of(bob.v4), addresses.place_of(nas.v6)) == (Place("robert"), Place("robert", "nas"))
    assert addresses.addresses(Place("robert"), NOW) == bob


def test_who_is_no_contact_any_more_has_none() -> None:
    addresses = fresh()
    bob, carol = addresses.addresses(BOB, NOW), addresses.addresses(Place("carol"), NOW)
    addresses.keep_only(frozenset({"carol"}), NOW)
    assert (addresses.place_of(bob.v4), addresses.place_of(carol.v4)) == (None, Place("carol"))


def test_hosts_of_a_contact_are_bounded_and_the_contact_itself_stays() -> None:
    addresses = fresh()
    bob = addresses.addresses(BOB, NOW)
    first = [addresses.addresses(Place("bob", f"h{number}"), NOW) for number in range(MAX_HOSTS)]
    addresses.addresses(Place("bob", "h0"), NOW)  # asked for again, so h1 goes
    addresses.addresses(Place("bob", "one-more"), NOW)
    assert addresses.place_of(first[0].v4) == Place("bob", "h0")
    assert addresses.place_of(first[1].v4) is None
    assert addresses.addresses(BOB, NOW) == bob
    assert len(addresses.places()) == MAX_HOSTS + 1


def test_numbers_that_rest_are_bounded_and_a_day_later_they_are_there_again() -> None:
    numbers = itertools.count(1)
    addresses = new_addresses(bytes(5), lambda _count: next(numbers))
    for number in range(MAX_HOSTS):
        addresses.addresses(Place("bob", f"h{number}"), NOW)
    for number in range(MAX_RESTING):
        addresses.take_line(f"rests {100_000 + number} {int(NOW) + REST_S}")
    with pytest.raises(UsageError):
        addresses.addresses(Place("bob", "one-more"), NOW)
    assert len(addresses.places()) == MAX_HOSTS, "and no host went for the sake of one that got nothing"
    assert addresses.addresses(Place("bob", "one-more"), NOW + REST_S + 1).v4 in RANGE


def test_no_address_ends_in_0_or_255() -> None:
    numbers = iter([0, 255, 256, 511, 131_071, 513])
    assert new_addresses(bytes(5), lambda _count: next(numbers)).addresses(BOB, NOW).v4 == RANGE[513]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("prefix 2001:db8::\n", 1),
        ("prefix fd00::1\n", 1),
        ("prefix\n", 1),
        ("place 5 bob\n", 1),
        ("prefix fd00::\nplace 5 bob\nplace 5 carol\n", 3),
        ("prefix fd00::\nplace 5 bob\nplace 6 bob\n", 3),
        ("prefix fd00::\nplace 5 bob\nrests 5 1\n", 3),
        ("prefix fd00::\nplace 131072 bob\n", 2),
        ("prefix fd00::\nplace 5 Bob!\n", 2),
        ("prefix fd00::\nplace 5 bob -nas\n", 2),
        ("prefix fd00::\nplace 5 bob nas x\n", 2),
        ("prefix fd00::\nrests 5 soon\n", 2),
        ("prefix fd00::\n\n", 2),
    ],
)
def test_a_damaged_file_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(FileProblem) as problem:
        parse_names(text, "names", random.Random(1).randrange)
    assert problem.value.line == line


@given(st.lists(st.tuples(st.sampled_from(["bob", "carol"]), st.sampled_from(["", "nas", "tv"]), st.booleans()), max_size=30))
def test_the_file_holds_all_of_it(steps: list[tuple[str, str, bool]]) -> None:
    addresses = fresh()
    for petname, host, goes in steps:
        if goes:
            addresses.contact_changed(petname, None, NOW)
        else:
            addresses.addresses(Place(petname, host), NOW)
    assert again(addresses).serialise() == addresses.serialise()
