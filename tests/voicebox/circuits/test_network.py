"""Descriptors, vouchers and network files: read back as written, refused with the line where anything differs, and merged without going back."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.networks import NOW, RelayKeys, make_network, make_relay, vouched_network
from voicebox.circuits.descriptor import RelayAddress, Role, VerifiedDescriptor, parse_descriptor, sign_descriptor
from voicebox.circuits.merge import merged
from voicebox.circuits.network import MAX_NETWORK_CHARACTERS, new_network, parse_network
from voicebox.circuits.terms import LINE_START, NetworkTerms, make_terms, network_line, parse_network_line
from voicebox.circuits.voucher import vouch
from voicebox.errors import FileProblem, HandshakeError, UsageError

SMALL = make_network()
TEXT = SMALL.network.text
TERMS = SMALL.network.terms


def problem(text: str) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        parse_network(text, "town")
    return caught.value


def changed(relay: RelayKeys, **differences: object) -> VerifiedDescriptor:
    """Return the relay's descriptor, changed and signed by the relay itself, without vouchers."""
    return sign_descriptor(replace(relay.descriptor, **differences), relay.identity_key)  # type: ignore[arg-type]  # fields by name


def vouched(verified: VerifiedDescriptor, until: dt.datetime = NOW + dt.timedelta(days=90)) -> VerifiedDescriptor:
    return verified.with_vouchers([vouch(SMALL.network.network_id, verified.descriptor.vouched, NOW, until, SMALL.voucher_key)])


# ------------------------------------------------------------------------------------------------------------------------ files


def test_network_file_is_read_back() -> None:
    assert parse_network(TEXT, "town") == SMALL.network


def test_descriptor_is_read_back_with_all_its_addresses() -> None:
    for relay in SMALL.relays:
        assert parse_descriptor(relay.verified.text, "d") == relay.verified
    both = changed(SMALL.relays[0], addresses=(RelayAddress("192.0.2.1", 1), RelayAddress("2001:db8::1", 2)))
    assert parse_descriptor(both.text, "d") == both
    assert [both.descriptor.address(attempt).port for attempt in range(3)] == [1, 2, 1]


def test_lists_with_the_keys_that_relays_had_before_are_read_and_written_as_they_were_signed() -> None:
    older = [vouched(changed(relay, former_key=bytes(range(64)) * 19)) for relay in SMALL.relays]
    network = new_network(TERMS, older)
    assert parse_network(network.text, "town") == network
    assert network.text.count("onion ") == 26 * len(older)
    assert parse_network(TEXT, "town").text == TEXT
    assert "onion" not in TEXT
    with pytest.raises(FileProblem, match="does not verify"):
        parse_descriptor(re.sub("(?m)^onion .*\n", "", older[0].text), "d")


def test_any_one_character_changed_is_refused_with_its_line() -> None:
    rng = Random(2)
    for at in [rng.randrange(len(TEXT)) for _ in range(400)]:
        letter = rng.choice([x for x in "abcXYZ0189 /+=\n" if x != TEXT[at]])
        found = problem(TEXT[:at] + letter + TEXT[at + 1 :])
        assert found.line > 0
        assert str(found).startswith(f"town:{found.line}: ")


def test_cut_file_is_refused() -> None:
    rng = Random(3)
    for at in [0, 1, len(TEXT) - 1, *(rng.randrange(len(TEXT)) for _ in range(100))]:
        problem(TEXT[:at])


def test_something_behind_and_too_much_are_refused() -> None:
    assert "something follows" in str(problem(TEXT + "more 1\n"))
    with pytest.raises(FileProblem, match="something follows"):
        parse_descriptor(SMALL.relays[0].verified.text + "more 1\n", "d")
    assert "too long" in str(problem("x" * (MAX_NETWORK_CHARACTERS + 1)))
    with pytest.raises(FileProblem, match="too long"):
        parse_descriptor("voicebox relay 1\n" * 1_000, "d")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("voicebox network 1", "voicebox network 2", "should be 'voicebox network 1'"),
        ("epoch 3600", "epoch 5", "from 20 to"),
        ("epoch 3600", "epoch 03600", "a number"),
        ("operators distinct", "operators some", "one of"),
        ("threshold 1", "threshold 2", "threshold is"),
        ("threshold 1", "threshold 0", "threshold is"),
        ("role guard", "role exit", "one of"),
        ("bandwidth 10", "bandwidth 0", "from 1 to"),
        ("address 127.0.0.1 4000", "address localhost 4000", "IP address"),
        ("address 127.0.0.1 4000", "address 0.0.0.0 4000", "cannot be reached"),
        ("address 127.0.0.1 4000", "address 127.0.0.1 0", "port"),
        ("address 127.0.0.1 4000", "address 127.0.0.1 4000\naddress 127.0.0.1 4000", "none of them twice"),
        ("from 2026", "from 26", "a time like"),
        ("until 2027", "until 2099", "at most 365 days"),
        ("vouchers 1", "vouchers 2", "voucher"),
        ("vouchers 1", "vouchers 17", "from 0 to 16"),
        ("relays 6", "relays 7", "voicebox"),
        ("relays 6", "relays 20001", "from 0 to 20000"),
    ],
)
def test_wrong_values_are_named(old: str, new: str, words: str) -> None:
    assert words in str(problem(TEXT.replace(old, new, 1)))


def test_descriptor_signed_by_another_key_is_refused() -> None:
    forged = sign_descriptor(SMALL.relays[0].descriptor, SMALL.relays[1].identity_key)
    with pytest.raises(FileProblem, match="signature does not verify"):
        parse_descriptor(forged.text, "d")


def test_expired_relays_are_not_offered() -> None:
    assert len(SMALL.network.with_role(Role.GUARD, NOW)) == 4
    assert SMALL.network.with_role(Role.GUARD, NOW + dt.timedelta(days=400)) == []
    assert SMALL.network.problem(NOW) == ""
    assert SMALL.network.problem(NOW + dt.timedelta(days=400)) == "it has no guard and no junction that is valid now"


# ----------------------------------------------------------------------------------------------------------------- terms and line


def test_id_binds_every_term() -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    differences: list[dict[str, object]] = [
        {"born_unix_us": 1},
        {"epoch_s": 60},
        {"shared": bytes(32)},
        {"distinct_operators": False},
        {"distinct_prefixes": False},
        {"threshold": 0, "keys": ()},
        {"keys": (other,)},
    ]
    ids = {replace(TERMS, **difference).network_id for difference in differences}  # type: ignore[arg-type]  # fields by name
    assert len(ids | {TERMS.network_id}) == 8


@pytest.mark.parametrize(("threshold", "count"), [(1, 0), (3, 2), (0, 1), (17, 16), (1, 17)])
def test_threshold_that_cannot_be_is_refused(threshold: int, count: int) -> None:
    keys = tuple(number.to_bytes(32, "big") for number in range(count))
    with pytest.raises(UsageError, match="makes no network"):
        make_terms(replace(TERMS, threshold=threshold, keys=keys))


def test_network_line_is_read_back_and_no_character_of_it_may_be_wrong() -> None:
    line = network_line(TERMS.network_id)
    assert len(line) == 73
    assert parse_network_line(f" {line.upper()}\n") == TERMS.network_id
    for at in range(len(line)):
        for letter in "a7z" if at >= len(LINE_START) else "x":
            if letter != line[at]:
                with pytest.raises(UsageError, match="no network line"):
                    parse_network_line(line[:at] + letter + line[at + 1 :])
    for wrong in ("", line[:-1], line + "a", TERMS.network_id.hex()):
        with pytest.raises(UsageError):
            parse_network_line(wrong)


# --------------------------------------------------------------------------------------------------------------------- vouchers

THREE = [Ed25519PrivateKey.generate() for _ in range(3)]
FOUR = [make_relay(Role.GUARD, f"op{number}", 5000 + number) for number in range(4)]


def terms_of(threshold: int) -> NetworkTerms:
    return replace(TERMS, threshold=threshold, keys=tuple(sorted(key.public_key().public_bytes_raw() for key in THREE)))


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_a_relay_needs_as_many_vouchers_as_the_threshold_says(threshold: int) -> None:
    terms = terms_of(threshold)
    for count in range(4):
        vouchers = [vouch(terms.network_id, FOUR[0].descriptor.vouched, NOW, NOW, key) for key in THREE[:count]]
        relay = FOUR[0].verified.with_vouchers(vouchers)
        if count >= threshold:
            assert len(new_network(terms, [relay]).relays) == 1
        else:
            with pytest.raises(HandshakeError, match=f"{threshold} vouchers are needed, and it has {count}"):
                new_network(terms, [relay])


def test_vouchers_of_one_key_count_once() -> None:
    terms = terms_of(2)
    days = [dt.timedelta(days=day) for day in range(3)]
    twice = [vouch(terms.network_id, FOUR[0].descriptor.vouched, NOW + days[made], NOW + days[until], THREE[0]) for made, until in ((0, 2), (1, 2), (1, 1))]
    relay = FOUR[0].verified.with_vouchers(twice)
    assert [(voucher.made, voucher.valid_until) for voucher in relay.vouchers] == [(NOW + days[1], NOW + days[1])], "the last one made, of two the shorter"
    with pytest.raises(HandshakeError, match="it has 1"):
        new_network(terms, [relay])


def test_a_relay_is_valid_for_as_long_as_enough_vouchers_are() -> None:
    terms = terms_of(2)
    days = (10, 20, 30)
    vouchers = [vouch(terms.network_id, FOUR[0].descriptor.vouched, NOW, NOW + dt.timedelta(days=day), key) for day, key in zip(days, THREE, strict=True)]
    network = new_network(terms, [FOUR[0].verified.with_vouchers(vouchers)])
    assert [len(network.with_role(Role.GUARD, NOW + dt.timedelta(days=day))) for day in (0, 20, 21)] == [1, 1, 0]
    assert parse_network(network.text, "town") == network


def test_a_relay_is_known_since_enough_holders_vouch_for_it_who_have_not_taken_that_back() -> None:
    terms, relay = terms_of(2), FOUR[0]
    days = [NOW + dt.timedelta(days=day) for day in range(10)]
    vouchers = [vouch(terms.network_id, relay.descriptor.vouched, days[made], days[9], key, NOW) for made, key in ((0, THREE[0]), (3, THREE[1]))]
    late = vouch(terms.network_id, relay.descriptor.vouched, days[5], days[9], THREE[2])
    network = new_network(terms, [relay.verified.with_vouchers([*vouchers, late])])
    assert network.relays[0].since == NOW
    assert parse_network(network.text, "town") == network
    withdrawn = vouch(terms.network_id, relay.descriptor.vouched, days[6], days[5], THREE[1], NOW)
    assert merged(network, [relay.verified.with_vouchers([withdrawn])], days[6])[0].relays[0].since == days[5]
    assert vouched_network(FOUR, [], 0).relays[0].since < NOW


@pytest.mark.parametrize("forgery", ["another relay", "another network", "more bandwidth", "another operator", "longer", "earlier", "a flipped bit"])
def test_forged_vouchers_are_refused(forgery: str) -> None:
    relay, until = SMALL.relays[0], NOW + dt.timedelta(days=9)
    good = vouch(TERMS.network_id, relay.descriptor.vouched, NOW, until, SMALL.voucher_key)
    match forgery:
        case "another relay":
            verified = SMALL.relays[1].verified.with_vouchers([good])
        case "another network":
            verified = relay.verified.with_vouchers([vouch(bytes(32), relay.descriptor.vouched, NOW, until, SMALL.voucher_key)])
        case "more bandwidth":
            verified = changed(relay, mbit_s=9_999).with_vouchers([good])
        case "another operator":
            verified = changed(relay, operator="op99").with_vouchers([good])
        case "longer":
            verified = relay.verified.with_vouchers([replace(good, valid_until=until + dt.timedelta(days=1))])
        case "earlier":
            verified = relay.verified.with_vouchers([replace(good, since=NOW - dt.timedelta(days=9))])
        case _:
            verified = relay.verified.with_vouchers([replace(good, signature=bytes([good.signature[0] ^ 1]) + good.signature[1:])])
    with pytest.raises(HandshakeError, match="does not verify"):
        new_network(TERMS, [verified])


def test_a_relay_may_change_addresses_and_keys_under_its_vouchers() -> None:
    relay = SMALL.relays[0]
    moved = changed(relay, sequence=2, addresses=(RelayAddress("192.0.2.9", 9),), link_pin=bytes(32))
    voucher = vouch(TERMS.network_id, relay.descriptor.vouched, NOW, NOW, SMALL.voucher_key)
    assert len(new_network(TERMS, [moved.with_vouchers([voucher])]).relays) == 1


def test_vouchers_of_strangers_are_left_out_and_in_a_file_refused() -> None:
    stranger = vouch(TERMS.network_id, SMALL.relays[0].descriptor.vouched, NOW, NOW, THREE[0])
    relay = vouched(SMALL.relays[0].verified)
    network = new_network(TERMS, [relay.with_vouchers([stranger])])
    assert network.relays[0].verified == relay
    assert "none of the network's" in str(problem(network.text.replace(relay.text, relay.with_vouchers([stranger]).text)))
    with pytest.raises(HandshakeError):
        new_network(TERMS, [SMALL.relays[0].verified.with_vouchers([stranger])])


def test_an_open_network_takes_every_relay() -> None:
    network = vouched_network(FOUR, [], 0)
    assert len(network.relays) == 4
    assert parse_network(network.text, "town") == network


# ------------------------------------------------------------------------------------------------------------------------ merging


def test_a_newer_descriptor_takes_the_place_and_an_older_one_never_does() -> None:
    first, relay_id = vouched(SMALL.relays[0].verified), SMALL.relays[0].descriptor.relay_id
    newer = vouched(changed(SMALL.relays[0], sequence=7, addresses=(RelayAddress("192.0.2.7", 7),)))
    network, changes = merged(SMALL.network, [newer], NOW)
    assert str(changes) == "1 changed"
    assert network.by_id[relay_id].verified.descriptor == newer.descriptor
    rolled_back, changes = merged(network, [first], NOW)
    assert rolled_back == network
    assert "older descriptor" in str(changes)


def test_a_replayed_list_changes_nothing_and_a_shorter_one_loses_nothing() -> None:
    for found in ([relay.verified for relay in SMALL.network.relays], [SMALL.network.relays[0].verified], []):
        network, changes = merged(SMALL.network, found, NOW)
        assert network == SMALL.network
        assert str(changes) == "nothing new"


def test_two_descriptors_of_one_number_are_a_contradiction_and_the_first_stays() -> None:
    other = vouched(changed(SMALL.relays[0], link_pin=bytes(32)))
    network, changes = merged(SMALL.network, [other], NOW)
    assert network == SMALL.network
    assert "the same number" in str(changes)


def test_newer_descriptor_with_too_few_vouchers_is_no_way_down() -> None:
    with pytest.raises(HandshakeError, match="1 vouchers are needed, and it has 0"):
        merged(SMALL.network, [changed(SMALL.relays[0], sequence=9, operator="op99")], NOW)
    with pytest.raises(HandshakeError):
        merged(SMALL.network, [make_relay(Role.GUARD, "stranger", 6000).verified], NOW)


def test_vouchers_of_one_claim_are_put_together() -> None:
    terms = terms_of(2)
    one, two, three = (vouch(terms.network_id, FOUR[0].descriptor.vouched, NOW, NOW + dt.timedelta(days=3), key) for key in THREE)
    network = new_network(terms, [FOUR[0].verified.with_vouchers([one, two])])
    network, _ = merged(network, [FOUR[0].verified.with_vouchers([three])], NOW)
    assert len(network.relays[0].verified.vouchers) == 3
    moved = changed(FOUR[0], sequence=2, link_pin=bytes(32))
    network, _ = merged(network, [moved], NOW)
    assert (network.relays[0].descriptor.link_pin, len(network.relays[0].verified.vouchers)) == (bytes(32), 3)


def test_a_relay_that_is_vouched_for_no_more_is_out_and_no_older_file_brings_it_back() -> None:
    relay = SMALL.relays[0]
    now = NOW + dt.timedelta(days=1)
    withdrawn = vouch(TERMS.network_id, relay.descriptor.vouched, now, now - dt.timedelta(seconds=1), SMALL.voucher_key)
    network, changes = merged(SMALL.network, [relay.verified.with_vouchers([withdrawn])], now)
    assert str(changes) == "1 changed"
    assert len(network.valid(now)) == 5
    assert relay.descriptor.relay_id not in {each.relay_id for each in network.valid(now)}
    again, changes = merged(network, [each.verified for each in SMALL.network.relays], now)
    assert again == network
    renewed = changed(relay, sequence=9).with_vouchers(SMALL.network.by_id[relay.descriptor.relay_id].verified.vouchers)
    again, _ = merged(network, [renewed], now)
    assert len(again.valid(now)) == 5, "nor does the relay itself, with the voucher that it had"
    anew = vouch(TERMS.network_id, relay.descriptor.vouched, now + dt.timedelta(seconds=1), now + dt.timedelta(days=9), SMALL.voucher_key)
    again, _ = merged(network, [relay.verified.with_vouchers([anew])], now)
    assert len(again.valid(now)) == 6


def test_expired_relays_are_left_out() -> None:
    network, changes = merged(SMALL.network, [], NOW + dt.timedelta(days=400))
    assert network.relays == ()
    assert str(changes) == "6 expired and left out"


def test_two_people_see_by_the_digest_whether_they_have_the_same_list() -> None:
    other, _ = merged(SMALL.network, [vouched(changed(SMALL.relays[0], sequence=2))], NOW)
    assert len({SMALL.network.digest, parse_network(TEXT, "town").digest}) == 1
    assert other.digest != SMALL.network.digest
