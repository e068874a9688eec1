"""The rules for requests of SIP that name a contact, on their way to whoever else's server: they are found by their Request-URI, taken, and fenced. Pure.

    taken     UDP from programs of this host and from devices of the LAN, where the owner lets phones call so: marked, kept here by the route for what is marked, and handed to a socket
    answered  what that socket says leaves from the server's address by itself, and from its port by a rule
    fenced    a table of its own, which no process owns, refuses what is not taken: over TCP too, from other LANs, and after the helper is killed

The kernel reads a request's first line up to the end of its URI, in the bounds below, and nothing behind it. NOT here: what else is intercepted (rules.py), who may call (taken.py).
Sources: RFC 3261 §7.1, §19.1.1, §25.1; nft(8); Documentation/networking/tproxy.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from voicebox.intercept.rules import MARK, MAX_OFFSET, REFUSE, Plan, chain, content_is, handed_over

FENCE_TABLE = "voicebox_fence"
METHODS = ("ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE")
METHOD_OCTETS = 4
"""So many of a method, and the space behind a short one, tell it from the others and from a response."""
FIRST_OFFSET = len("ACK sip:")
"""Of a suffix."""
END_OFFSET = len("SUBSCRIBE sip:")
"""From here on a space ends the URI; before it stands the one in front of the URI."""
BEFORE, AFTER = b".:@", b" :;>?@"
"""What may stand around a suffix. It is sought in the user's part as well, for a phone adds its provider to what was typed: sip:bob.privacy@provider."""


def named(suffixes: Iterable[str], then: str) -> Iterator[str]:
    """Return the rules that do something with a request whose URI names a suffix: those of a chain, for what UDP or TCP carries, in a table that has the sets of around()."""
    words = [word for suffix in suffixes for word in (suffix.encode("ascii"), suffix.encode("ascii") + b".")]
    begins = _one_of(f"{method} ".encode()[:METHOD_OCTETS] for method in METHODS)
    yield f"@ih,0,{8 * METHOD_OCTETS} != {begins} return"
    for offset in range(FIRST_OFFSET, MAX_OFFSET):
        if offset > END_OFFSET:
            yield f"@ih,{8 * (offset - 1)},8 0x20 return"
        for word in words:
            if offset + len(word) <= MAX_OFFSET:
                yield f"@ih,{8 * (offset - 1)},8 @before {content_is(offset, word)} @ih,{8 * (offset + len(word))},8 @after {then}"


def around() -> Iterator[str]:
    """Return the sets that those rules ask, each made once: where each rule has its own, the kernel takes seconds for a table."""
    for name, octets in (("before", BEFORE), ("after", AFTER)):
        yield f"set {name} {{\ntypeof @ih,0,8;\nelements = {_one_of(bytes([octet]) for octet in octets)}\n}}"


def _one_of(values: Iterable[bytes]) -> str:
    return "{ " + ", ".join(f"0x{value.hex()}" for value in sorted(set(values))) + " }"


def taking(plan: Plan, ports: Mapping[int, int]) -> Iterator[str]:
    """Return the sets and chains of the helper's table that take requests. ports: by IP version, where the host's own address takes them."""
    port = plan.sip_port
    incoming, answers = [], []
    if plan.lan:
        incoming.append(f'iifname "{plan.lan}" fib daddr type unicast fib saddr type unicast udp dport {port} jump named')
    for each in plan.ranges:
        incoming.append(f"iifname {plan.served} udp dport {port} meta mark {MARK} {handed_over(each, ports[each.version])}")
        # Whose source is no address of this host is the socket's that may do that, and no other program's at the same port.
        answers.append(f"meta nfproto ipv{each.version} udp sport {ports[each.version]} fib saddr type != local udp sport set {port}")
    incoming.append(
        f"iifname {plan.served} udp dport {port} meta mark {MARK} jump refused"
    )  # while no box has the socket; a program of this host is told nothing then, for the kernel would have to say it in the server's name
    yield from around()
    yield chain("named", rules=named(plan.suffixes, f"meta mark set {MARK} return"))
    yield chain("called", "prerouting", "mangle", incoming)
    yield chain("calling", "output", "mangle", [f'oifname != "lo" fib daddr type unicast udp dport {port} jump named'], kind="route")
    yield chain("replying", "output", "mangle", answers)


def sip_fence(plan: Plan) -> str:
    """Return what puts the table up that refuses what is not taken, in the place of one that a helper left."""
    met = f"meta l4proto {{ tcp, udp }} th dport {plan.sip_port} jump named"
    chains = [
        chain("refused", rules=REFUSE),
        chain("named", rules=named(plan.suffixes, "goto refused")),
        chain("leaving", "output", "filter", [f'oifname != "lo" meta mark != {MARK} {met}']),  # what is taken has its mark, and still its way out here
        chain("passing", "forward", "filter", [met]),
    ]
    return "\n".join([no_sip_fence(), f"table inet {FENCE_TABLE} {{", *around(), *chains, "}", ""])


def no_sip_fence() -> str:
    """Return what takes it down, whether it stands or not."""
    return f"add table inet {FENCE_TABLE}\ndelete table inet {FENCE_TABLE}"
