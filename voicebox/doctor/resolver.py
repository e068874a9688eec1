"""How this machine's resolver is pointed at the box, so that programs find contacts by name: what to write, by what resolver there is. Nothing is written here.

resolv.conf can send no suffix elsewhere, and is other programs' file: it is never to be changed for this. NOT here: what becomes of names otherwise (names.py).
Spec: systemd.dns-delegate(5), systemd.network(5), resolved.conf(5), NetworkManager.conf(5), dnsmasq(8), unbound.conf(5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from voicebox.config.model import Endpoint
from voicebox.doctor.findings import Finding, Grade
from voicebox.doctor.reading import files_in, text_of

PRIVILEGED = 1_024
UNPRIVILEGED_START = "proc/sys/net/ipv4/ip_unprivileged_port_start"
STUB = re.compile(r"^nameserver\s+127\.0\.0\.5[34]\b", re.MULTILINE)


def look_at_resolver(root: Path, suffixes: Sequence[str], listen: Endpoint) -> Finding:
    """Return whether a rule of the machine whose files lie under a root leads names of contacts to the box, or how one is made. listen: where the box answers."""
    places = ("etc/dnsmasq.conf", "etc/dnsmasq.d/*", "etc/NetworkManager/dnsmasq.d/*", "etc/unbound/unbound.conf", "etc/unbound/unbound.conf.d/*.conf")
    texts = [
        text_of(path) for pattern in (*places, "etc/systemd/dns-delegate.d/*.dns-delegate", "etc/systemd/network/*.network") for path in files_in(root, pattern)
    ]
    loose = [suffix for suffix in suffixes if not any(_leads(text, suffix, listen) for text in texts)]
    if not loose:
        return Finding("resolver", Grade.GOOD, "a rule of this machine's resolver leads names of contacts to the box")
    said = "the box answers for names of contacts, but no rule of this machine's resolver leads them there"
    return Finding("resolver", Grade.NOTE, said, _advice(root, loose, listen))


def look_at_low_ports(root: Path, ports: Sequence[int], *, privileged: bool) -> Finding | None:
    """Return whether the box may take the ports at which contacts are found by name; None where nothing is in the way. privileged: the box is root's."""
    try:
        start = int(text_of(root / UNPRIVILEGED_START))
    except ValueError:
        start = PRIVILEGED
    low = [port for port in ports if port < start]
    if not low or privileged:
        return None
    said = f"{len(low)} of the ports in names.ports are not for ordinary users, so contacts are not found there by name"
    advice = f"As root: sysctl -w net.ipv4.ip_unprivileged_port_start={min(low)}; or, in a systemd unit, AmbientCapabilities=CAP_NET_BIND_SERVICE."
    return Finding("name ports", Grade.NOTE, said, advice)


def _leads(text: str, suffix: str, listen: Endpoint) -> bool:
    """Return whether a file says that a suffix is asked of the box."""
    name, address, port = re.escape(suffix), re.escape(listen.address), listen.port
    dnsmasq = rf"^\s*server=/(?:[^/\s]*/)*{name}/(?:[^/\s]*/)*{address}{'(?:#53)?' if port == 53 else f'#{port}'}\s*$"
    if re.search(dnsmasq, text, re.MULTILINE | re.IGNORECASE):
        return True
    place = rf"{address}@{port}|{address}:{port}|\[{address}\]:{port}" + (rf"|{address}" if port == 53 else "")
    has_place = re.search(rf"^\s*(?:DNS=|forward-addr:)\s*(?:\S+\s+)*\"?(?:{place})\"?(?:\s|$)", text, re.MULTILINE)
    has_name = re.search(rf"^\s*(?:Domains=(?:.*\s)?~{name}\.?(?:\s|$)|name:\s*\"?{name}\.?\"?\s*$)", text, re.MULTILINE | re.IGNORECASE)
    return has_place is not None and has_name is not None


def _advice(root: Path, suffixes: Sequence[str], listen: Endpoint) -> str:
    """Return what to write, for the resolver that there is."""
    dnsmasq = " and ".join(f"server=/{suffix}/{listen.address}#{listen.port}" for suffix in suffixes)
    domains = " ".join(f"~{suffix}" for suffix in suffixes)
    manager = "\n".join(
        text_of(path) for pattern in ("etc/NetworkManager/NetworkManager.conf", "etc/NetworkManager/conf.d/*.conf") for path in files_in(root, pattern)
    )
    if re.search(r"^\s*dns\s*=\s*dnsmasq\s*$", manager, re.MULTILINE):
        return f"NetworkManager runs dnsmasq: write {dnsmasq} into a file of /etc/NetworkManager/dnsmasq.d, and reload it."
    if STUB.search(text_of(root / "etc/resolv.conf")):
        delegate = f"write [Delegate], DNS={listen} and Domains={domains} into /etc/systemd/dns-delegate.d/voicebox.dns-delegate"
        return (
            f"systemd-resolved, 258 or newer: {delegate}. An older one: give a link of its own, of the kind dummy, to it: in its .network file "
            f"DNS={listen}, Domains={domains}, DNSDefaultRoute=no, DNSSECNegativeTrustAnchors={' '.join(suffixes)}."
        )
    if any(files_in(root, "etc/unbound/unbound.conf")):
        zones = " ".join(f'forward-zone: name: "{suffix}." forward-addr: {listen.address}@{listen.port}; domain-insecure: "{suffix}."' for suffix in suffixes)
        return f"unbound: {zones}, and do-not-query-localhost: no."
    if any(files_in(root, "etc/dnsmasq.conf")):
        return f"dnsmasq: write {dnsmasq} into a file of /etc/dnsmasq.d, and start it anew."
    return (
        f"The system's list of name servers cannot send one suffix elsewhere, and is not to be changed for it. Install dnsmasq, with {dnsmasq}, as this machine's resolver "
        "(resolvconf takes its address over), or let programs use SOCKS."
    )
