"""The names of contacts, as a name server answers for them: a query's octets in, an answer's octets out. Pure.

    bob.privacy, nas.bob.privacy          A, AAAA: virtual addresses; NAPTR of a contact: SIP, which the next line finds
    _sip._udp.bob.privacy, and its like   SRV: the box's own ports for phones, at _box.privacy
    _box.privacy                          A, AAAA: where phones find the box, from its settings
    7.3.18.198.in-addr.arpa, ip6.arpa     PTR: whose a virtual address is

An answer holds virtual addresses and the box's own and no others, whatever anybody says, so no name leads into the home network (DNS rebinding). A name under the suffix
that is nobody's is answered NXDOMAIN here, and asked of nobody; other names are REFUSED. NOT here: sockets (server.py), which numbers are drawn (virtual.py).
Spec: RFC 1035, RFC 2308 (SOA), RFC 2782 (SRV), RFC 3263 §4 (NAPTR), RFC 6891 (EDNS), RFC 8020 (names below). 0x20: names come back as they were written.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dnslib import AAAA, CLASS, EDNS0, NAPTR, OPCODE, PTR, QTYPE, RCODE, RD, RR, SOA, SRV, A, DNSHeader, DNSLabel, DNSQuestion, DNSRecord

from voicebox.errors import UsageError
from voicebox.naming.question import HEADER_OCTETS, Malformed, Question, parse_question
from voicebox.naming.virtual import HOST, LOOPBACK, RANGE, Address, Place, VirtualAddresses

TTL_S = 30
"""So long a program keeps an answer. Addresses rest for a day, so that longer would do, but petnames change."""
SIZE_OCTETS = 1_232
"""What this server takes in a datagram (RFC 6891 §6.2.5); all answers are far shorter."""
MAX_KEPT, MAX_KEPT_OCTETS = 1_024, 300
"""Answers in memory, and the longest query of one: a name and EDNS."""
BOX = b"_box"
Labels = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SipPlace:
    """Where phones find this box. tls_port: None where there is no TLS."""

    addresses: tuple[Address, ...] = field(repr=False)
    port: int
    tls_port: int | None

    def services(self) -> dict[Labels, int]:
        """Return the names of the services under a contact's name, and their ports."""
        found: dict[Labels, int] = {(b"_sip", b"_udp"): self.port, (b"_sip", b"_tcp"): self.port}
        return found if self.tls_port is None else found | {(b"_sips", b"_tcp"): self.tls_port}


NAPTR_OF = {(b"_sips", b"_tcp"): (10, b"SIPS+D2T"), (b"_sip", b"_tcp"): (20, b"SIP+D2T"), (b"_sip", b"_udp"): (30, b"SIP+D2U")}


@dataclass(slots=True)
class _Found:
    """What is known of a name. records: type and data of each; beside: owner, type and data; exists: the name does, or one below it."""

    exists: bool = True
    records: list[tuple[int, RD]] = field(default_factory=list)
    beside: list[tuple[Labels, int, RD]] = field(default_factory=list)


class Zone:
    """All names that this box answers for.

    suffixes: of contacts' names; sip: None where phones find the box at no address.
    Contract: use() whenever a petname or the range changes.
    """

    def __init__(self, suffixes: Sequence[str], addresses: VirtualAddresses, sip: SipPlace | None) -> None:
        self._addresses, self._sip = addresses, sip
        self._services = sip.services() if sip is not None else {}
        self.on_place: Callable[[], None] = lambda: None
        """Called when a place has got its first address, before that is told."""
        self.on_asked: Callable[[str], None] = lambda _petname: None
        """Called when an address of a contact's is told that is not in memory."""
        self._petnames: frozenset[str] = frozenset()
        self._loopback = True
        zones = [tuple(suffix.encode().split(b".")) for suffix in suffixes]
        self._suffixes, self._shown = frozenset(zones), zones[0]
        reverse = [_reverse(network) for network in [*RANGE.subnets(new_prefix=16), *LOOPBACK.subnets(new_prefix=16)]]
        self._zones = sorted([*zones, *reverse, _reverse(addresses.prefix)], key=len, reverse=True)
        self._kept: dict[bytes, bytes] = {}
        self._changes = addresses.changes

    def use(self, petnames: frozenset[str], *, loopback: bool) -> None:
        """Answer for these contacts from now on. loopback: by addresses of this machine's own, which have no IPv6, for want of interception."""
        self._petnames, self._loopback = petnames, loopback
        self._kept.clear()

    def answer(self, query: bytes, now: float) -> bytes | None:
        """Return the answer to a query, of at most 512 octets; None for what is none. now: seconds of Unix time."""
        if len(query) < HEADER_OCTETS or query[2] & 0x80:
            return None
        if self._changes != self._addresses.changes or len(self._kept) >= MAX_KEPT:
            self._changes = self._addresses.changes
            self._kept.clear()
        kept = self._kept.get(query[2:])
        if kept is None:
            kept = self._answered(query, now)[2:]
            if len(query) <= MAX_KEPT_OCTETS and kept[1] & 0xF != RCODE.SERVFAIL:
                self._kept[query[2:]] = kept
        return query[:2] + kept

    def _answered(self, query: bytes, now: float) -> bytes:
        head = DNSHeader(id=0, bitmap=int.from_bytes(query[2:4]) & 0x7910, aa=0)  # opcode, RD, CD stay
        head.qr = 1
        if head.opcode != OPCODE.QUERY:
            head.rcode = RCODE.NOTIMP
            return bytes(DNSRecord(head).pack())
        try:
            question = parse_question(query)
        except Malformed:
            head.rcode = RCODE.FORMERR
            return bytes(DNSRecord(head).pack())
        reply = DNSRecord(head, q=DNSQuestion(DNSLabel(question.labels), question.kind, question.of_class))
        if question.edns is not None:
            reply.add_ar(EDNS0(udp_len=SIZE_OCTETS, ext_rcode=1 if question.edns else 0))  # 16: a version that nobody has
        if not question.edns:
            self._fill(reply, question, now)
        return bytes(reply.pack())

    def _fill(self, reply: DNSRecord, question: Question, now: float) -> None:
        labels = tuple(label.lower() for label in question.labels)
        zone = next((zone for zone in self._zones if labels[-len(zone) :] == zone), None)
        if zone is None or question.of_class != CLASS.IN:
            reply.header.rcode = RCODE.REFUSED
            return
        try:
            found = self._find(labels[: -len(zone)], zone, question.kind, now)
        except UsageError:
            reply.header.rcode = RCODE.SERVFAIL
            return
        reply.header.aa = 1
        wanted = [(kind, data) for kind, data in found.records if question.kind in {kind, QTYPE.ANY}]
        owner = DNSLabel(question.labels)
        for kind, data in wanted:
            reply.add_answer(RR(owner, kind, ttl=TTL_S, rdata=data))
        for name, kind, data in found.beside if wanted else []:
            reply.add_ar(RR(DNSLabel(name), kind, ttl=TTL_S, rdata=data))
        if not wanted:
            reply.add_auth(RR(DNSLabel(zone), QTYPE.SOA, ttl=TTL_S, rdata=_soa(zone)))
            reply.header.rcode = RCODE.NOERROR if found.exists else RCODE.NXDOMAIN

    def _find(self, labels: Labels, zone: Labels, kind: int, now: float) -> _Found:
        """Return what is known of a name within a zone; its own name has no labels."""
        if not labels:
            return _Found(records=[(QTYPE.SOA, _soa(zone))])
        if zone not in self._suffixes:
            return self._find_address(labels, zone)
        if labels == (BOX,) and self._sip is not None:
            return _Found(records=_records(self._sip.addresses))
        petname = labels[-1].decode("ascii", "replace")
        if petname not in self._petnames:
            return _Found(exists=False)
        if self._sip is not None and labels[:-1] in {*self._services, (b"_udp",), (b"_tcp",)}:
            port = self._services.get(labels[:-1])
            box = (BOX, *zone)
            beside = [(box, kind, data) for kind, data in _records(self._sip.addresses)]
            return _Found() if port is None else _Found(records=[(QTYPE.SRV, SRV(0, 0, port, DNSLabel(box)))], beside=beside)
        host = labels[0].decode("ascii", "replace") if len(labels) == 2 else ""
        if len(labels) > 2 or (host and not HOST.match(host)):
            return _Found(exists=False)
        records = self._place_records(Place(petname, host), now) if kind in {QTYPE.A, QTYPE.AAAA, QTYPE.ANY} else []
        if not host and kind in {QTYPE.NAPTR, QTYPE.ANY}:
            records += self._naptr(labels, zone)
        return _Found(records=records)

    def _place_records(self, place: Place, now: float) -> list[tuple[int, RD]]:
        before = self._addresses.changes
        its = self._addresses.addresses(place, now)
        if self._addresses.changes != before:
            self.on_place()
        self.on_asked(place.petname)
        return _records([its.loopback] if self._loopback else [its.v4, its.v6])

    def _naptr(self, labels: Labels, zone: Labels) -> list[tuple[int, RD]]:
        return [
            (QTYPE.NAPTR, NAPTR(order, 50, b"s", service, b"", DNSLabel((*name, *labels, *zone))))
            for name, (order, service) in NAPTR_OF.items()
            if name in self._services
        ]

    def _find_address(self, labels: Labels, zone: Labels) -> _Found:
        """Return whose an address is. Names that are the beginning of some address exist, and hold nothing (RFC 8020)."""
        is_v6 = zone[-2] == b"ip6"
        digits = [label.decode("ascii", "replace") for label in reversed((*labels, *zone[:-2]))]
        if not all(_is_digit(digit, is_v6=is_v6) for digit in digits) or len(digits) > (32 if is_v6 else 4):
            return _Found(exists=False)
        if len(digits) < (32 if is_v6 else 4):
            return _Found()
        text = ":".join("".join(digits[at : at + 4]) for at in range(0, 32, 4)) if is_v6 else ".".join(digits)
        place = self._addresses.place_of(text)
        if place is None:
            return _Found(exists=False)
        name = tuple(label.encode() for label in (place.host, place.petname) if label)
        return _Found(records=[(QTYPE.PTR, PTR(DNSLabel((*name, *self._shown))))])


def _reverse(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Labels:
    """Return the zone of a network's addresses: of /16, or /48 of IPv6 (RFC 1035 §3.5, RFC 3596 §2.5)."""
    octets = network.network_address.packed
    if network.version == 4:
        return (b"%d" % octets[1], b"%d" % octets[0], b"in-addr", b"arpa")
    return (*(bytes([digit]) for digit in reversed(octets[:6].hex().encode())), b"ip6", b"arpa")


def _is_digit(text: str, *, is_v6: bool) -> bool:
    """Return whether a label is a digit of an address as names of addresses have them."""
    if is_v6:
        return len(text) == 1 and text in "0123456789abcdef"
    return len(text) <= 3 and text.isascii() and text.isdecimal() and str(int(text)) == text and int(text) < 256


def _records(addresses: Sequence[Address]) -> list[tuple[int, RD]]:
    return [(QTYPE.A, A(tuple(each.packed))) if each.version == 4 else (QTYPE.AAAA, AAAA(tuple(each.packed))) for each in addresses]


def _soa(zone: Labels) -> SOA:
    return SOA(DNSLabel(zone), DNSLabel((b"nobody", *zone)), (1, 3_600, 600, 86_400, TTL_S))
