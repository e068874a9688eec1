"""How this machine stands in its network: by which address it reaches the relays, whether that is behind a router, whether phones find their ports. [io]

Nothing is sent: the kernel says which address it would send from, and a port is tried by taking it for a moment.
NOT here: whether links stand (running.py), files (files.py), names (names.py).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection, Iterable, Sequence

from voicebox.circuits.descriptor import RelayAddress
from voicebox.config.model import Endpoint
from voicebox.doctor.findings import Finding, Grade
from voicebox.sip.transport import local_address_towards

SHARED = ipaddress.ip_network("100.64.0.0/10")
"""Of providers that let many customers share an address (RFC 6598)."""
PRIVILEGED = 1024

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def source_address(targets: Iterable[RelayAddress]) -> Address | None:
    """Return the address from which this machine would send to the first of some relays that it has a way to; None where there is none."""
    for target in targets:
        try:
            return ipaddress.ip_address(local_address_towards(target.host).partition("%")[0])
        except OSError:
            continue
    return None


def look_at_address(own: Address | None, *, relay: bool) -> Finding:
    """Return what it means to reach the relays from an address."""
    if own is None:
        return Finding("nat", Grade.PROBLEM, "this machine has no way to any relay of the network file", "Look whether it is online.")
    if own.is_loopback:
        return Finding("nat", Grade.GOOD, "the relays are on this machine")
    behind = "its provider's router, which many share" if own.version == 4 and own in SHARED else "a router" if not own.is_global else ""
    if not behind:
        return Finding("nat", Grade.GOOD, "this machine has a public address")
    if relay:
        return Finding("nat", Grade.NOTE, f"this machine is behind {behind}", "Let the router hand the relay's UDP port on, or nobody reaches it.")
    return Finding("nat", Grade.GOOD, f"this machine is behind {behind}: nothing has to be opened there, and links stay open by their own cells")


def look_at_uplinks(chosen: Collection[str], there: Collection[str], dropping: int) -> Finding | None:
    """Return whether a second line is there and not used, or one of those chosen is not there; None where there is one line, and nothing to say.

    chosen: interfaces, by the box's settings; there: those that lead to relays; dropping: over how many of these answers are dropped (rp_filter).
    """
    used, more = len(set(chosen) & set(there)), len(set(there) - set(chosen))
    if not chosen:
        if more < 2:
            return None
        said = f"{more} lines of this machine lead to the relays, and links use the one that the system prefers"
        return Finding("uplinks", Grade.NOTE, said, "`voicebox uplinks use` lets a call go over two at once; it first says what that shows.")
    if not used:
        advice = "Look whether they are plugged in; `voicebox uplinks off` lets links leave as the system sends."
        return Finding("uplinks", Grade.PROBLEM, f"none of the {len(chosen)} chosen leads to the relays, so no link leaves", advice)
    if dropping and len(there) > 1:
        advice = "As root: sysctl -w net.ipv4.conf.all.rp_filter=2, and the same in /etc/sysctl.d."
        return Finding("uplinks", Grade.PROBLEM, "this system drops what comes over a line that it does not prefer itself (rp_filter 1)", advice)
    if used < len(chosen):
        return Finding("uplinks", Grade.NOTE, f"{used} of the {len(chosen)} chosen leads to the relays now, and carries everything")
    return Finding("uplinks", Grade.GOOD, f"each of the {len(chosen)} chosen leads to the relays")


def look_at_ports(endpoints: Sequence[Endpoint], tls: Sequence[Endpoint], *, runs: bool) -> list[Finding]:
    """Return whether the ports for phones can be had, and who reaches them. runs: the box does, so it is the one that has them."""
    wanted = [(each, kind) for each in endpoints for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)] + [(each, socket.SOCK_STREAM) for each in tls]
    codes = [_taking(endpoint, kind) for endpoint, kind in wanted]
    taken, denied = codes.count(errno.EADDRINUSE), sum(code not in {0, errno.EADDRINUSE} for code in codes)
    if runs and taken < len(wanted):
        ports = Finding(
            "ports", Grade.PROBLEM, f"the box runs, but {len(wanted) - taken} of its {len(wanted)} ports for phones are not taken", "Start it anew."
        )
    elif taken and not runs:
        ports = Finding(
            "ports", Grade.PROBLEM, f"{taken} of {len(wanted)} ports for phones are taken by another program", "End that one, or change sip.listen."
        )
    elif denied:
        advice = f"Name addresses of this machine in sip.listen, and ports from {PRIVILEGED} on; 5060 is the usual one."
        ports = Finding("ports", Grade.PROBLEM, f"{denied} of {len(wanted)} ports for phones are not this user's or not this machine's to take", advice)
    else:
        ports = Finding("ports", Grade.GOOD, f"the {len(wanted)} ports for phones are {'taken by the box' if runs else 'free'}")
    return [ports, _reachable(endpoints)]


def _taking(endpoint: Endpoint, kind: socket.SocketKind) -> int:
    """Return the error of taking a port; 0 for none."""
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    with socket.socket(family, kind) as trial:
        if kind is socket.SOCK_STREAM:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that just ended is in nobody's way
        try:
            trial.bind((endpoint.address, endpoint.port))
        except OSError as error:
            return error.errno or errno.EIO
        return 0


def _reachable(endpoints: Sequence[Endpoint]) -> Finding:
    everywhere = sum(_is_everywhere(ipaddress.ip_address(endpoint.address)) for endpoint in endpoints)
    if not everywhere:
        return Finding("reachable", Grade.GOOD, "phones are waited for at addresses of the home network alone")
    said = f"{everywhere} of the addresses in sip.listen can be reached from anywhere, if no firewall is in the way: passwords are tried there, and a box shows that it is one"
    return Finding("reachable", Grade.NOTE, said, "Name the address of the home network in sip.listen.")


def _is_everywhere(address: Address) -> bool:
    return address.is_unspecified or address.is_global
