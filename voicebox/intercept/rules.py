"""The rules of interception as text: one nftables table, the addresses and routes of one interface, and one fence. Pure.

    table inet voicebox     owned by the helper's netlink socket: the kernel removes it with the helper, however that ends (`flags owner`)
    interface voicebox0     a TUN device held by the helper's descriptor: with it go its addresses and its routes, which make the ranges local (AnyIP)
    the fence               an `unreachable` route for each range, of the worst metric: it stays when the helper is killed, so that nothing for the range leaves then either

    chains taken, answering  empty while no box has the helper's sockets of datagrams, so that programs are refused then, and not left without an answer

What the kernel does not find in a range, or in the suffix, never reaches a process: other packets meet a few comparisons of addresses and ports. There is no address translation, and so no tracking
of connections: tproxy hands a connection over as it is. NOT here: who runs this (helper.py), whose address is whose.
Sources: nft(8), Documentation/networking/tproxy.rst, RFC 1035 §3.1 and §4.1 (names in questions), RFC 2544 (198.18.0.0/15).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from voicebox.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

TABLE = "voicebox"
INTERFACE = "voicebox0"
TAKEN, ANSWERING = "taken", "answering"
"""Chains."""
PROTOCOL = "198"
"""By which the fence is known among routes (rtnetlink: above 4 and no registered one)."""
MARK, MARKED_TABLE = "0x564f4943", "19818"
"""Of questions of a LAN to resolvers, and of calls to SIP servers, elsewhere; and the routing table by which they stay here."""
WORST_METRIC = 4_000_000_000
BROADEST_BITS = 8
"""A route with fewer bits is a way to everywhere, as VPNs have it, and no use of the range. The box sees it so too (naming/routes.py), and would not take the sockets."""
MAX_OCTETS = 16
"""Of one comparison with a packet's content."""
MAX_OFFSET = 255
"""Where it may begin at most, in octets (the kernel keeps it in one)."""
NAME_OCTETS = 255
HEADER_OCTETS = 12
LOOKUP_PORTS = "{ 53, 5353, 5355 }"
"""DNS, and what is asked of neighbours in the same form: mDNS, LLMNR."""
LOOKUP_PORT, SECRET_LOOKUP_PORT = 53, 853
"""DNS; and DNS over TLS, DTLS or QUIC, which devices of a LAN do without, since then they ask as the others do."""
SECURE_WEB_PORT = 443
"""Of HTTPS, and so of DNS over it, TCP and QUIC."""
RESOLVERS, LAN_RESOLVED, RESOLVED = "resolvers", "lan_resolved", "resolved"
"""Sets of addresses, behind them the version; counters of what was refused to devices, and to programs of this host."""
REFUSE = ("meta l4proto tcp reject with tcp reset", "reject")
CANARY = "use-application-dns.net"
"""A browser that is told that this name does not exist looks names up as the system does (Mozilla's canary domain)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is intercepted.

    ranges: of virtual addresses, one of each IP version at most; suffixes: of contacts' names; lan: the interface of devices that are served too, None for this host alone;
    resolvers: of DNS over HTTPS that devices are refused, by address; resolvers_here: that programs of this host are refused too; sip_port: of SIP servers elsewhere;
    takes_calls: whether phones that are registered there may call contacts.
    """

    ranges: tuple[Network, ...]
    suffixes: tuple[str, ...]
    lan: str | None = None
    resolvers: tuple[Network, ...] = ()
    resolvers_here: bool = False
    sip_port: int = 5060
    takes_calls: bool = False

    def __post_init__(self) -> None:
        if self.lan is not None and (self.lan == "lo" or not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", self.lan)):
            raise UsageError("An interface of a LAN has a name like eth0; `ip link` prints them.")

    @property
    def served(self) -> str:
        """Return the interfaces whose programs and devices are served, as the kernel's tool takes them."""
        return f'{{ "lo", "{self.lan}" }}' if self.lan else '"lo"'

    def told(self) -> dict[str, object]:
        """Return it in words of JSON."""
        told = {name: [str(each) for each in getattr(self, name)] for name in ("ranges", "suffixes", "resolvers")}
        return {**told, "lan": self.lan, "resolvers_here": self.resolvers_here, "sip_port": self.sip_port, "takes_calls": self.takes_calls}


def plan_of(told: Mapping[str, Any]) -> Plan:
    """Read what Plan.told() gave. Raises KeyError, ValueError and UsageError for anything else."""
    ranges, resolvers = (tuple(ipaddress.ip_network(each) for each in told[name]) for name in ("ranges", "resolvers"))
    return Plan(ranges, tuple(told["suffixes"]), told["lan"], resolvers, bool(told["resolvers_here"]), int(told["sip_port"]), bool(told["takes_calls"]))


def own_address(network: Network) -> Address:
    """Return the address of a range that is the host's own there. It ends in 255, and no contact's does (naming/virtual.py)."""
    return network[255]


def overlapping(ranges: Iterable[Network], routes: Iterable[Mapping[str, object]]) -> bool:
    """Return whether one of the routes of `ip -json route show table all` uses a part of the ranges; neither a default route nor the fence does."""
    for route in routes:
        try:
            used = ipaddress.ip_network(str(route.get("dst")), strict=False)
        except ValueError:
            continue  # default
        if str(route.get("protocol")) == PROTOCOL or used.prefixlen < BROADEST_BITS:
            continue
        if any(used.version == each.version and used.overlaps(each) for each in ranges):
            return True
    return False


def fence(ranges: Iterable[Network]) -> list[str]:
    """Return the commands for `ip -batch` that put the fence up."""
    return [f"-{each.version} route replace unreachable {each} proto {PROTOCOL} metric {WORST_METRIC}" for each in ranges]


def fenced(routes: Iterable[Mapping[str, object]]) -> list[Network]:
    """Return for which ranges a fence stands among the routes of `ip -json route show table all`."""
    return [ipaddress.ip_network(str(route["dst"])) for route in routes if str(route.get("protocol")) == PROTOCOL and route.get("type") == "unreachable"]


def no_fence(ranges: Iterable[Network]) -> list[str]:
    """Return the commands that take it down."""
    return [f"-{each.version} route del unreachable {each} proto {PROTOCOL} metric {WORST_METRIC}" for each in ranges]


def interface(plan: Plan) -> list[str]:
    """Return the commands that let the interface make the ranges local, and what the rules mark: questions of a LAN to whatever resolver, and calls to whatever server."""
    lines = [f"-4 link set {INTERFACE} up"]
    marked = [*([plan.lan] if plan.lan else []), *(["lo"] if plan.takes_calls else [])]
    for each in plan.ranges:
        own, bits = own_address(each), each.max_prefixlen
        lines.append(f"-{each.version} address add {own}/{bits} dev {INTERFACE}{' nodad' if each.version == 6 else ''}")
        lines.append(f"-{each.version} route add local {each} dev {INTERFACE} table local src {own}")
        if marked:
            lines.append(f"-{each.version} route add local default dev {INTERFACE} table {MARKED_TABLE}")
            lines += [f"-{each.version} rule add {_marked(iif)}" for iif in marked]
    return lines


def _marked(iif: str) -> str:
    return f"iif {iif} fwmark {MARK} lookup {MARKED_TABLE} protocol {PROTOCOL}"


def no_rules(rules: Iterable[Mapping[str, object]], version: int) -> list[str]:
    """Return the commands that take away the rule for what is marked, found in `ip -json rule`. A helper that is killed leaves it, and it leads nowhere then."""
    return [f"-{version} rule del {_marked(str(rule['iif']))}" for rule in rules if str(rule.get("protocol")) == PROTOCOL and "iif" in rule]


def table(plan: Plan, ports: Mapping[int, int], more: Iterable[str] = ()) -> str:
    """Return the table. ports: by IP version, where the host's own address takes TCP of the range; more: further chains. What serving() adds takes the rest."""
    chains = [
        chain("incoming", "prerouting", "mangle", _incoming(plan, ports)),
        chain("leaving", "postrouting", "mangle", _leaving(plan)),
        *(
            chain(name, hook, "mangle", [*(f'oifname != "lo" {proto} dport {LOOKUP_PORTS} jump asked_{proto}' for proto in ("udp", "tcp")), *refused])
            for name, hook, refused in (  # of this host, and of others that it routes for
                ("asking", "output", _resolving(plan, RESOLVED) if plan.resolvers_here else ()),
                ("passing", "forward", ()),
            )
        ),
    ]
    asked = [
        chain("refused", rules=REFUSE),
        chain(TAKEN),
        *(chain(f"asked_{proto}", rules=_asked(plan, proto, "refused")) for proto in ("udp", "tcp")),
    ]
    if plan.lan:
        asked += [
            chain(ANSWERING),
            chain("answered", rules=[f"jump {ANSWERING}", "jump refused"]),
            chain("lan_asked", rules=[f"{content_is(HEADER_OCTETS, wire_name(CANARY))} goto answered", *_asked(plan, "udp", "answered")]),
        ]
    return "\n".join([f"table inet {TABLE} {{", "flags owner;", *_resolvers(plan), *asked, *chains, *more, "}", ""])


def serving(plan: Plan, ports: Mapping[int, int]) -> str:
    """Return the commands that hand datagrams over, once a box has the sockets. ports: by IP version, where the host's own address takes datagrams of the range.

    Questions of a LAN are taken at LOOKUP_PORT of that address. A datagram of an association has a connected socket, which tproxy finds before the one that is named here
    if that is transparent; where it is no more, the packet is refused (associations.py).
    """
    lines = [f"add rule inet {TABLE} {TAKEN} {handed_over(each, ports[each.version])}" for each in plan.ranges]
    lines += [f"add rule inet {TABLE} {ANSWERING} {handed_over(each, LOOKUP_PORT, f'meta mark set {MARK} ')}" for each in plan.ranges if plan.lan]
    return "\n".join(lines)


def not_serving(plan: Plan) -> str:
    """Return the commands that refuse datagrams again."""
    return "\n".join(f"flush chain inet {TABLE} {name}" for name in (TAKEN, *([ANSWERING] if plan.lan else [])))


def handed_over(network: Network, port: int, marked: str = "") -> str:
    """Return what hands a datagram of the range's IP version to the socket at this port of the host's own address there. marked: what is done with it before."""
    return f"meta nfproto {_nfproto(network)} meta l4proto udp {marked}tproxy {_ip(network)} to {_bracketed(own_address(network))}:{port} accept"


def _resolvers(plan: Plan) -> Iterator[str]:
    """Declare what _resolving() names. Networks in one another are put together by the kernel's tool."""
    for version, ip in ((4, "ipv4"), (6, "ipv6")):
        if members := ", ".join(str(each) for each in plan.resolvers if each.version == version):
            yield f"set {RESOLVERS}{version} {{ type {ip}_addr; flags interval; auto-merge; elements = {{ {members} }}; }}"
    yield from (f"counter {name} {{ }}" for name in (LAN_RESOLVED, RESOLVED) if plan.resolvers)


def _resolving(plan: Plan, counter: str, whose: str = "") -> Iterator[str]:
    """Refuse DNS over HTTPS with the known resolvers, so that browsers ask as the system does."""
    for version in sorted({each.version for each in plan.resolvers}):
        to = f"{'ip' if version == 4 else 'ip6'} daddr @{RESOLVERS}{version}"
        yield f"{whose}{to} meta l4proto {{ tcp, udp }} th dport {SECURE_WEB_PORT} counter name {counter} jump refused"


def chain(name: str, hook: str | None = None, priority: str = "", rules: Iterable[str] = (), kind: str = "filter") -> str:
    """Return a chain. kind: of one at a hook; a new mark on a packet of this host chooses another route for it in a `route` chain alone."""
    head = [f"type {kind} hook {hook} priority {priority}; policy accept;"] if hook else []
    return "\n".join([f"chain {name} {{", *head, *rules, "}"])


def _ip(network: Network) -> str:
    return "ip" if network.version == 4 else "ip6"


def _nfproto(network: Network) -> str:
    return "ipv4" if network.version == 4 else "ipv6"


def _incoming(plan: Plan, ports: Mapping[int, int]) -> Iterator[str]:
    """Take what is for the range from programs and devices that are served, and nothing from elsewhere or under a forged address."""
    for each in plan.ranges:
        ip, own = _ip(each), own_address(each)
        yield f'iifname != "lo" {ip} saddr {each} drop'
        yield f"iifname != {plan.served} {ip} daddr {each} drop"
        yield f'iifname "lo" {ip} daddr {own} accept'
        yield f"{ip} daddr {each} meta l4proto tcp tproxy {ip} to {_bracketed(own)}:{ports[each.version]} accept"
        yield f"{ip} daddr {each} meta l4proto udp jump {TAKEN}"
        yield f"{ip} daddr {each} jump refused"
    if plan.lan:
        yield f'iifname "{plan.lan}" udp dport {LOOKUP_PORT} jump lan_asked'
        yield from (f'iifname "{plan.lan}" {proto} dport {LOOKUP_PORTS} jump asked_{proto}' for proto in ("udp", "tcp"))
        yield from _complaints(plan.lan)
        yield f'iifname "{plan.lan}" meta l4proto {{ tcp, udp }} th dport {SECRET_LOOKUP_PORT} jump refused'
        yield from _resolving(plan, LAN_RESOLVED, f'iifname "{plan.lan}" ')


def _complaints(lan: str) -> Iterator[str]:
    """Keep what a device says to a resolver that it wants an answer no more: it holds the answer, with the name, and the resolver never gave it. What is compared is the port that the answer came from."""
    for icmp, header in (("icmp", 20), ("icmpv6", 40)):
        yield f'iifname "{lan}" {icmp} type destination-unreachable {icmp} code port-unreachable @th,{8 * (8 + header)},16 {LOOKUP_PORT} drop'


def _leaving(plan: Plan) -> Iterator[str]:
    """Let nothing with an address of the range leave this host, but to devices that are served."""
    for each in plan.ranges:
        yield f'oifname != "lo" {_ip(each)} daddr {each} drop'
        yield f"oifname != {plan.served} {_ip(each)} saddr {each} drop"


def _bracketed(address: Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


# ------------------------------------------------------------------------------------------------------ names in questions


def _asked(plan: Plan, proto: str, then: str) -> Iterator[str]:
    """Find the names of contacts, and those of their addresses, as the end of the first question's name, wherever it begins and however its letters are written."""
    header = HEADER_OCTETS + (2 if proto == "tcp" else 0)
    for suffix, most in [*((suffix, NAME_OCTETS) for suffix in plan.suffixes), *(zone for each in plan.ranges for zone in reverse_zones(each))]:
        wire = wire_name(suffix)
        for before in range(min(most, NAME_OCTETS - len(wire)) + 1):
            yield f"{content_is(header + before, wire)} goto {then}"


def reverse_zones(network: Network) -> Iterator[tuple[str, int]]:
    """Return the zones of a range's addresses, and how many octets of a question's name may stand before each at most (RFC 1035 §3.5, RFC 3596 §2.5)."""
    step = 8 if network.version == 4 else 4
    whole = -(-network.prefixlen // step) * step
    for each in network.subnets(new_prefix=whole):
        labels = each.network_address.reverse_pointer.split(".")
        more = (each.max_prefixlen - whole) // step
        yield ".".join(labels[more:]), more * (4 if network.version == 4 else 2)


def wire_name(name: str) -> bytes:
    """Return a name as it stands in a question. Raises UsageError where it does not fit."""
    labels = name.encode("ascii").split(b".")
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(wire) > NAME_OCTETS or not all(0 < len(label) < 64 for label in labels):
        raise UsageError("should be a suffix of names, for example privacy")
    return wire


def content_is(offset: int, octets: bytes) -> str:
    """Return the match for octets at an offset in what a UDP or TCP packet carries, letters of either case alike; none where the packet is shorter."""
    parts = []
    while octets:
        start = min(offset, MAX_OFFSET)
        skipped = offset - start
        part, octets = octets[: MAX_OCTETS - skipped], octets[MAX_OCTETS - skipped :]
        mask = bytes(skipped) + bytes(0xDF if chr(octet).isalpha() else 0xFF for octet in part)
        value = bytes(skipped) + part.upper()
        parts.append(f"@ih,{8 * start},{8 * len(mask)} & 0x{mask.hex()} == 0x{value.hex()}")
        offset += len(part)
    return " ".join(parts)
