"""What becomes of a private name that a program of this machine looks up, by the files that say whom it asks. Nothing is looked up: that would be what is warned of.

Phones that are registered look up nothing: they send the name to the box. NOT here: who answers for such names.
Spec: resolv.conf(5), resolved.conf(5), systemd.dns-delegate(5), dnsmasq(8), unbound.conf(5).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from voicebox.doctor.findings import Finding, Grade
from voicebox.doctor.reading import files_in, text_of

PLACES = (
    "etc/systemd/resolved.conf",
    "etc/systemd/resolved.conf.d/*.conf",
    "etc/systemd/dns-delegate.d/*.dns-delegate",
    "etc/systemd/network/*.network",
    "etc/dnsmasq.conf",
    "etc/dnsmasq.d/*",
    "etc/NetworkManager/dnsmasq.d/*",
    "etc/unbound/unbound.conf",
    "etc/unbound/unbound.conf.d/*.conf",
)
RULES = (r"^\s*Domains=(?:.*\s)?~{}\.?(?:\s|$)", r"^\s*(?:server|local|address)=/(?:[^/]*/)*{}/", r'^\s*(?:name|local-zone):\s*"?{}\.?"?(?:\s|$)')
"""How systemd-resolved, dnsmasq and unbound are told that a suffix goes elsewhere."""


def look_at_names(root: Path, suffixes: Sequence[str]) -> Finding:
    """Return whether private names stay on the machine whose files lie under a root."""
    texts = _texts(root, PLACES)
    loose = [suffix for suffix in suffixes if not _has_rule(texts, suffix)]
    servers = _servers(root)
    if not loose:
        return Finding("names", Grade.GOOD, "a rule of this machine's resolver keeps private names from other name servers")
    if not servers:
        return Finding("names", Grade.GOOD, "this machine asks no name server, so no private name reaches one")
    where = "a resolver of its own, which asks others" if all(server.is_loopback for server in servers) else "a name server"
    said = f"a program of this machine that looks a private name up asks {where}, and whoever runs that reads it; registered phones look nothing up"
    rule = " and ".join(f"server=/{suffix}/" for suffix in loose)
    return Finding("names", Grade.NOTE, said, f"For programs besides phones tell the resolver to keep such names, dnsmasq for instance with {rule}")


def _has_rule(texts: Iterable[str], suffix: str) -> bool:
    rules = [re.compile(rule.format(re.escape(suffix)), re.MULTILINE | re.IGNORECASE) for rule in RULES]
    return any(rule.search(text) for text in texts for rule in rules)


def _servers(root: Path) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the name servers that programs ask; what is no address is passed over."""
    found = []
    for line in "\n".join(_texts(root, ("etc/resolv.conf",))).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append(ipaddress.ip_address(words[1].partition("%")[0]))
            except ValueError:
                continue
    return found


def _texts(root: Path, patterns: Iterable[str]) -> list[str]:
    return [text_of(path) for pattern in patterns for path in files_in(root, pattern)]
