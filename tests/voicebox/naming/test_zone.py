"""The name server's answers, read by dnslib's own parser: contacts' names, hosts under them, SIP, addresses; nobody's names; and whatever else comes."""

from __future__ import annotations

import ipaddress
import random
import struct

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSError, DNSHeader, DNSLabel, DNSQuestion, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from voicebox.naming.virtual import LOOPBACK, RANGE, Addresses, Place, VirtualAddresses, new_addresses
from voicebox.naming.zone import SipPlace, Zone

NOW = 1_800_000_000.0
ULA = ipaddress.IPv6Network("fd00:102:304::/48")
BOX = SipPlace((ipaddress.ip_address("192.168.1.10"), ipaddress.ip_address("fd99::5")), 5060, 5061)


def zone_of(addresses: VirtualAddresses, *, loopback: bool = False, sip: SipPlace | None = BOX, suffixes: tuple[str, ...] = ("privacy", "privacy.alt")) -> Zone:
    zone = Zone(suffixes, addresses, sip)
    zone.use(frozenset({"bob", "carol"}), loopback=loopback)
    return zone


def fresh() -> VirtualAddresses:
    return new_addresses(bytes(range(5)), random.Random(1).randrange)


def query(name: str, kind: str = "A", **header: int) -> bytes:
    label = DNSLabel(tuple(part.encode() for part in name.split(".") if part))
    return bytes(DNSRecord(DNSHeader(id=7, bitmap=0x0100, **header), q=DNSQuestion(label, getattr(QTYPE, kind))).pack())


def asked(zone: Zone, name: str, kind: str = "A") -> DNSRecord:
    octets = zone.answer(query(name, kind), NOW)
    assert octets is not None
    assert len(octets) <= 512
    answer = DNSRecord.parse(octets)
    assert (answer.header.id, answer.header.qr, answer.header.rd, answer.header.ra, answer.header.tc) == (7, 1, 1, 0, 0)
    return answer


def data(answer: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in answer.rr]


def nothing(answer: DNSRecord, rcode: int, owner: str) -> bool:
    """Return whether an answer says with authority, and with SOA, that there is nothing."""
    soa = answer.auth[0]
    return (answer.header.rcode, answer.header.aa, len(answer.rr), str(soa.rname), soa.rtype) == (rcode, 1, 0, owner, QTYPE.SOA)


@pytest.mark.parametrize("name", ["bob.privacy", "nas.bob.privacy", "carol.privacy.alt", "BoB.PriVacY"])
def test_a_contacts_name_and_hosts_under_it_have_virtual_addresses(name: str) -> None:
    addresses = fresh()
    zone = zone_of(addresses)
    v4, v6 = (asked(zone, name, kind) for kind in ("A", "AAAA"))
    assert ipaddress.ip_address(data(v4)[0]) in RANGE
    assert ipaddress.ip_address(data(v6)[0]) in ULA
    assert (v4.header.rcode, v4.header.aa, v4.rr[0].ttl) == (RCODE.NOERROR, 1, 30)
    place = addresses.place_of(data(v4)[0])
    assert place == addresses.place_of(data(v6)[0])
    assert place is not None
    assert place.petname == name.lower().split(".privacy")[0].split(".")[-1]
    assert data(asked(zone, name, "ANY"))[:2] == [*data(v4), *data(v6)]


def test_without_interception_addresses_are_this_machines_own() -> None:
    zone = zone_of(fresh(), loopback=True)
    assert ipaddress.ip_address(data(asked(zone, "bob.privacy"))[0]) in LOOPBACK
    assert nothing(asked(zone, "bob.privacy", "AAAA"), RCODE.NOERROR, "privacy.")


def test_the_case_of_a_question_comes_back() -> None:
    answer = asked(zone_of(fresh()), "nAs.bOB.PRIvacy")
    assert answer.q.qname.label == (b"nAs", b"bOB", b"PRIvacy")
    assert answer.rr[0].rname.label == (b"nAs", b"bOB", b"PRIvacy")


@pytest.mark.parametrize(
    "name",
    [
        "dave.privacy",
        "nas.dave.privacy",
        "www.nas.bob.privacy",
        "-nas.bob.privacy",
        "_x.bob.privacy",
        "bob.bob-privacy.privacy",
        "alt.privacy",
        "_box.bob.privacy",
    ],
)
@pytest.mark.parametrize("kind", ["A", "AAAA", "SRV", "MX", "ANY"])
def test_who_is_nobody_does_not_exist(name: str, kind: str) -> None:
    addresses = fresh()
    assert nothing(asked(zone_of(addresses), name, kind), RCODE.NXDOMAIN, "privacy.")
    assert addresses.places() == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bob.privacy", "MX"), ("bob.privacy", "TXT"), ("nas.bob.privacy", "NAPTR"), ("_udp.bob.privacy", "A"), ("_sip._udp.bob.privacy", "A"), ("privacy", "A")],
)
def test_a_name_without_such_a_record_exists(name: str, kind: str) -> None:
    addresses = fresh()
    assert nothing(asked(zone_of(addresses), name, kind), RCODE.NOERROR, "privacy.")
    assert addresses.places() == (), "no address is drawn for a question about something else"


def test_sip_of_a_contact_is_the_box_itself() -> None:
    zone = zone_of(fresh())
    found = [str(record.rdata).split() for record in asked(zone, "bob.privacy", "NAPTR").rr]
    assert [each[3] for each in found] == ['"SIPS+D2T"', '"SIP+D2T"', '"SIP+D2U"']
    for service, port in (("_sips._tcp", 5061), ("_sip._tcp", 5060), ("_sip._udp", 5060)):
        assert any(each[-1] == f"{service}.bob.privacy." for each in found)
        answer = asked(zone, f"{service}.bob.privacy", "SRV")
        assert data(answer) == [f"0 0 {port} _box.privacy."]
        assert [(str(record.rname), str(record.rdata)) for record in answer.ar] == [("_box.privacy.", "192.168.1.10"), ("_box.privacy.", "fd99::5")]
    assert (data(asked(zone, "_box.privacy")), data(asked(zone, "_box.privacy", "AAAA"))) == (["192.168.1.10"], ["fd99::5"])


def test_a_box_that_phones_find_at_no_address_has_no_sip_by_name() -> None:
    zone = zone_of(fresh(), sip=None)
    assert nothing(asked(zone, "bob.privacy", "NAPTR"), RCODE.NOERROR, "privacy.")
    assert nothing(asked(zone, "_sip._udp.bob.privacy", "SRV"), RCODE.NXDOMAIN, "privacy.")
    assert nothing(asked(zone, "_box.privacy"), RCODE.NXDOMAIN, "privacy.")


def test_an_address_leads_back_to_its_name() -> None:
    zone = zone_of(fresh())
    for name in ("bob.privacy", "nas.bob.privacy"):
        for kind in ("A", "AAAA"):
            pointer = ipaddress.ip_address(data(asked(zone, name, kind))[0]).reverse_pointer
            assert data(asked(zone, pointer, "PTR")) == [f"{name}."]
            assert nothing(asked(zone, pointer, "A"), RCODE.NOERROR, ".".join([*pointer.split(".")[-4 if "in-addr" in pointer else -14 :], ""]))
            assert asked(zone, pointer.partition(".")[2], "PTR").header.rcode == RCODE.NOERROR, "what is the beginning of an address"


@pytest.mark.parametrize(
    "name", ["5.0.18.198.in-addr.arpa", "1.2.192.127.in-addr.arpa", "01.0.18.198.in-addr.arpa", "x.18.198.in-addr.arpa", "1.1.0.18.198.in-addr.arpa"]
)
def test_nobodys_address_has_no_name(name: str) -> None:
    assert nothing(asked(zone_of(fresh()), name, "PTR"), RCODE.NXDOMAIN, ".".join([*name.split(".")[-4:], ""]))


@pytest.mark.parametrize(
    "name", ["example.org", "privacy.example.org", "bobprivacy", "alt", "", "arpa", "1.1.168.192.in-addr.arpa", "20.198.in-addr.arpa", "privacy."]
)
def test_other_names_are_refused(name: str) -> None:
    answer = asked(zone_of(fresh(), suffixes=("other",)), name)
    assert (answer.header.rcode, answer.header.aa, answer.rr, answer.auth) == (RCODE.REFUSED, 0, [], [])


def test_edns_is_answered_and_another_version_of_it_is_told() -> None:
    zone = zone_of(fresh())
    for version, rcode in ((0, RCODE.NOERROR), (1, 16)):
        asking = DNSRecord.parse(query("bob.privacy"))
        asking.add_ar(EDNS0(udp_len=4096, version=version, flags="do"))
        octets = zone.answer(bytes(asking.pack()), NOW)
        assert octets is not None
        answer = DNSRecord.parse(octets)
        opt = answer.ar[-1]
        assert (opt.rtype, opt.rclass, (opt.ttl >> 24) << 4 | answer.header.rcode) == (QTYPE.OPT, 1_232, rcode)
        assert len(answer.rr) == (0 if version else 1)


def test_an_answer_from_memory_is_the_answer_and_is_forgotten_when_something_changes() -> None:
    addresses = fresh()
    zone = zone_of(addresses)
    first = zone.answer(query("bob.privacy"), NOW)
    assert first is not None
    assert zone.answer(b"\x12\x34" + query("bob.privacy")[2:], NOW) == b"\x12\x34" + first[2:]
    addresses.contact_changed("bob", None, NOW)
    assert zone.answer(query("bob.privacy"), NOW) != first
    zone.use(frozenset({"carol"}), loopback=False)
    assert nothing(asked(zone, "bob.privacy"), RCODE.NXDOMAIN, "privacy.")


class _Counting(VirtualAddresses):
    """Counts how often a place's addresses are looked up."""

    lookups = 0

    def addresses(self, place: Place, now: float) -> Addresses:
        self.lookups += 1
        return super().addresses(place, now)


def test_long_queries_do_not_stay_in_memory() -> None:
    opt = struct.pack("!BHHIH", 0, QTYPE.OPT, 4_096, 0, 400) + bytes(400)
    short = query("bob.privacy")
    for octets, more in ((short, 0), (short[:10] + b"\x00\x01" + short[12:] + opt, 5)):
        addresses = _Counting(ULA, random.Random(1).randrange)
        zone = zone_of(addresses)
        zone.answer(octets, NOW)
        zone.answer(octets, NOW)  # the first one changed what is known
        before = addresses.lookups
        answers = {zone.answer(octets, NOW) for _ in range(5)}
        assert (len(answers), addresses.lookups - before) == (1, more)


def test_where_no_number_is_free_the_server_fails_and_says_so_again_only_as_long() -> None:
    numbers = iter([0])
    addresses = new_addresses(bytes(5), lambda _count: next(numbers, 300))
    zone = zone_of(addresses)
    for number in range(8_192):
        addresses.take_line(f"rests {1_000 + number} {int(NOW) + 10}")
    assert asked(zone, "bob.privacy").header.rcode == RCODE.SERVFAIL
    later = zone.answer(query("bob.privacy"), NOW + 11)
    assert later is not None
    assert data(DNSRecord.parse(later)) == [str(RANGE[300])]


@pytest.mark.parametrize(
    ("octets", "rcode"),
    [
        (query("bob.privacy")[:11], None),
        (query("bob.privacy", qr=1), None),
        (query("bob.privacy", opcode=4), RCODE.NOTIMP),
        (query("bob.privacy")[:12], RCODE.FORMERR),
        (query("bob.privacy")[:-1], RCODE.FORMERR),
        (query("bob.privacy") + b"x", RCODE.FORMERR),
        (query("bob.privacy")[:4] + b"\x00\x02" + query("bob.privacy")[6:] + query("bob.privacy")[12:], RCODE.FORMERR),
        (query("bob.privacy")[:12] + b"\xc0\x0c" + bytes(4), RCODE.FORMERR),  # a name that points to itself
        (query("bob.privacy")[:12] + b"\x03bob\xc0\x0c\x00\x01\x00\x01", RCODE.FORMERR),
        (query("bob.privacy")[:12] + b"\x40" + bytes(70), RCODE.FORMERR),
        (query("bob.privacy")[:12] + (b"\x3f" + b"a" * 63) * 4 + bytes(5), RCODE.FORMERR),
        (query("bob.privacy")[:10] + b"\x00\x01" + query("bob.privacy")[12:] + b"\x03bob", RCODE.FORMERR),
        (query("bob.privacy")[:10] + b"\x00\x01" + query("bob.privacy")[12:] + b"\x00" + struct.pack("!HHIH", 41, 512, 0, 9), RCODE.FORMERR),
    ],
)
def test_what_is_no_question_is_told_so_or_nothing_at_all(octets: bytes, rcode: int | None) -> None:
    answer = zone_of(fresh()).answer(octets, NOW)
    assert (None if answer is None else DNSRecord.parse(answer).header.rcode) == rcode


def valid(octets: bytes) -> bool:
    """Return whether an answer holds nobody's addresses but virtual ones and the box's own."""
    known = (RANGE, ULA)
    try:
        answer = DNSRecord.parse(octets)
    except DNSError:  # it knows no names but those in UTF-8
        return octets[6:8] == bytes(2)
    for record in answer.rr + answer.ar:
        if record.rtype in {QTYPE.A, QTYPE.AAAA}:
            address = ipaddress.ip_address(str(record.rdata))
            if address not in BOX.addresses and not any(address.version == network.version and address in network for network in known):
                return False
    return True


LABELS = st.lists(
    st.sampled_from(["bob", "carol", "dave", "nas", "privacy", "alt", "_sip", "_udp", "_box", "arpa", "in-addr", "198", "18", "1", "Bob", "\x00", "a" * 63]),
    max_size=6,
).filter(lambda labels: len(".".join(labels)) <= 253)  # RFC 1035 §2.3.4: a longer one cannot be asked


@given(LABELS, st.integers(0, 65_535), st.integers(0, 3), st.binary(max_size=20), st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=3))
def test_any_query_is_answered_within_512_octets_or_dropped(labels: list[str], kind: int, of_class: int, behind: bytes, flips: list[tuple[int, int]]) -> None:
    octets = bytearray(query(".".join(labels))[:-4] + struct.pack("!HH", kind, of_class) + behind)
    for place, octet in flips:
        octets[place % len(octets)] = octet
    answer = zone_of(fresh()).answer(bytes(octets), NOW)
    if answer is not None:
        assert answer[:2] == octets[:2]
        assert len(answer) <= 512
        assert valid(answer)


@given(st.binary(max_size=80))
def test_any_octets_are_answered_or_dropped(octets: bytes) -> None:
    answer = zone_of(fresh()).answer(octets, NOW)
    assert (answer is None) == (len(octets) < 12 or octets[2] >= 128)


def test_places_are_told_before_their_addresses() -> None:
    told: list[tuple[Place, ...]] = []
    addresses = fresh()
    zone = Zone(("privacy",), addresses, None)
    zone.on_place = lambda: told.append(addresses.places())
    zone.use(frozenset({"bob"}), loopback=True)
    for _ in range(2):
        zone.answer(query("bob.privacy"), NOW)
    assert told == [(Place("bob"),)]
