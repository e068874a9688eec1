"""What `voicebox doctor` says of pointing a machine's resolver at the box."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.config.model import Endpoint
from voicebox.doctor.findings import Grade
from voicebox.doctor.resolver import look_at_low_ports, look_at_resolver

LISTEN = Endpoint("127.0.0.1", 5354)
SUFFIX = ("privacy",)


def write(root: Path, place: str, text: str = "") -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(text)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("etc/systemd/dns-delegate.d/voicebox.dns-delegate", "[Delegate]\nDNS=127.0.0.1:5354\nDomains=~privacy\n"),
        ("etc/systemd/network/voicebox.network", "[Network]\nDNS=127.0.0.1:5354\nDomains=~privacy\nDNSDefaultRoute=no\n"),
        ("etc/dnsmasq.d/voicebox", "server=/privacy/127.0.0.1#5354\n"),
        ("etc/NetworkManager/dnsmasq.d/voicebox.conf", "server=/lan/privacy/127.0.0.1#5354\n"),
        ("etc/unbound/unbound.conf.d/voicebox.conf", 'forward-zone:\n  name: "privacy."\n  forward-addr: 127.0.0.1@5354\n'),
    ],
)
def test_a_rule_that_leads_to_the_box_is_found_and_one_that_leads_elsewhere_is_not(tmp_path: Path, place: str, text: str) -> None:
    write(tmp_path, place, text)
    assert look_at_resolver(tmp_path, SUFFIX, LISTEN).grade is Grade.GOOD
    for other in (Endpoint("127.0.0.1", 5355), Endpoint("127.0.0.2", 5354), Endpoint("127.0.0.1", 53)):
        assert look_at_resolver(tmp_path, SUFFIX, other).grade is Grade.NOTE
    assert look_at_resolver(tmp_path, ("privacy", "privacy.alt"), LISTEN).grade is Grade.NOTE


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"etc/NetworkManager/conf.d/dns.conf": "[main]\ndns=dnsmasq\n", "etc/resolv.conf": "nameserver 127.0.0.53\n"}, "/etc/NetworkManager/dnsmasq.d"),
        ({"etc/resolv.conf": "nameserver 127.0.0.53\n"}, "dns-delegate"),
        ({"etc/unbound/unbound.conf": "", "etc/dnsmasq.conf": ""}, "forward-zone"),
        ({"etc/dnsmasq.conf": ""}, "/etc/dnsmasq.d"),
        ({"etc/resolv.conf": "nameserver 192.0.2.1\n"}, "Install dnsmasq"),
    ],
)
def test_the_advice_is_for_the_resolver_that_there_is(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for place, text in files.items():
        write(tmp_path, place, text)
    found = look_at_resolver(tmp_path, SUFFIX, LISTEN)
    assert (found.grade, words in found.advice) == (Grade.NOTE, True)
    assert "5354" in found.advice
    assert "privacy" in found.advice


def test_ports_that_are_not_for_ordinary_users_are_told(tmp_path: Path) -> None:
    found = look_at_low_ports(tmp_path, (8080, 80, 22), privileged=False)
    assert found is not None
    assert (found.grade, "=22" in found.advice) == (Grade.NOTE, True)
    assert look_at_low_ports(tmp_path, (8080,), privileged=False) is None
    assert look_at_low_ports(tmp_path, (80,), privileged=True) is None
    write(tmp_path, "proc/sys/net/ipv4/ip_unprivileged_port_start", "80\n")
    assert look_at_low_ports(tmp_path, (80,), privileged=False) is None
