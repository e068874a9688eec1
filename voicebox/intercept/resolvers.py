"""Known public resolvers of DNS over HTTPS, and which programs of this machine speak with one. The two readers of /proc and of the list are [io], the rest is pure.

The list has addresses, because that is all that the kernel sees of such a question: to a resolver under an address that is not on it they go on. Sources: proc(5) /proc/net/tcp, /proc/PID/fd.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from voicebox.intercept.rules import SECURE_WEB_PORT, Address, Network

LIST = Path(__file__).with_name("resolvers.txt")
PROC = Path("/proc")
SOCKETS = ("tcp", "tcp6", "udp", "udp6")
MAX_NAME = 15


def parse_list(text: str) -> tuple[Network, ...]:
    """Read a list: an address or network a line, what begins with # is a comment. Raises ValueError."""
    return tuple(ipaddress.ip_network(line.strip()) for line in text.splitlines() if line.strip() and not line.startswith("#"))


def known_resolvers() -> tuple[Network, ...]:
    """Return those of the list that comes with the box."""
    return parse_list(LIST.read_text("ascii"))


def parse_sockets(text: str) -> Iterator[tuple[Address, int, int]]:
    """Read one of the kernel's lists of sockets: remote address and port of each, and its inode. What is no socket is passed over."""
    for line in text.splitlines():
        words = line.split()
        try:
            address, port = words[2].split(":")
            # The kernel writes an address as words of 32 bits, in the order of the machine's octets.
            octets = b"".join(int(address[place : place + 8], 16).to_bytes(4, sys.byteorder) for place in range(0, len(address), 8))
            remote = ipaddress.ip_address(octets)
            yield getattr(remote, "ipv4_mapped", None) or remote, int(port, 16), int(words[9])
        except (IndexError, ValueError, OverflowError):
            continue


def speaking_with(sockets: Iterable[tuple[Address, int, int]], resolvers: tuple[Network, ...]) -> frozenset[int]:
    """Return the inodes of sockets that are connected with one of the resolvers, at the port of HTTPS."""
    return frozenset(
        inode
        for address, port, inode in sockets
        if port == SECURE_WEB_PORT and inode and any(address.version == each.version and address in each for each in resolvers)
    )


def escaping(resolvers: tuple[Network, ...], proc: Path = PROC) -> tuple[str, ...]:
    """Return the names of programs of this machine that speak with one of the resolvers now, as far as this user may see whose each socket is."""
    sockets = [each for name in SOCKETS for each in parse_sockets(_text(proc / "net" / name))]
    wanted = {f"socket:[{inode}]" for inode in speaking_with(sockets, resolvers)}
    found = set[str]()
    for process in proc.glob("[0-9]*") if wanted else ():
        with contextlib.suppress(OSError):  # it ended, or is another user's
            if any(_target(each) in wanted for each in (process / "fd").iterdir()):
                name = _text(process / "comm").strip()[:MAX_NAME]
                found.add(name if name.isprintable() else "a program with an unprintable name")
    return tuple(sorted(found))


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
