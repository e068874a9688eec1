"""What `voicebox doctor` makes of the files by which a machine looks names up."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.doctor.findings import Grade
from voicebox.doctor.names import look_at_names

SUFFIX = ("privacy",)


def write(root: Path, place: str, text: str) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(text)


def test_a_name_server_of_somebody_else_is_told_and_what_to_do(tmp_path: Path) -> None:
    assert look_at_names(tmp_path, SUFFIX).grade is Grade.GOOD, "who asks nobody tells nobody"
    write(tmp_path, "etc/resolv.conf", "# nameserver 192.0.2.1\nsearch lan\nnameserver not-an-address\n")
    assert look_at_names(tmp_path, SUFFIX).grade is Grade.GOOD
    write(tmp_path, "etc/resolv.conf", "nameserver fe80::1%eth0\n")
    found = look_at_names(tmp_path, SUFFIX)
    assert (found.grade, "asks a name server" in found.said, "server=/privacy/" in found.advice) == (Grade.NOTE, True, True)
    assert "fe80" not in found.said
    write(tmp_path, "etc/resolv.conf", "nameserver 127.0.0.53\n")
    assert "a resolver of its own" in look_at_names(tmp_path, SUFFIX).said


def test_a_file_that_cannot_be_read_hides_no_rule_behind_it(tmp_path: Path) -> None:
    write(tmp_path, "etc/resolv.conf", "nameserver 192.0.2.1\n")
    (tmp_path / "etc" / "dnsmasq.d" / "a-folder").mkdir(parents=True)
    write(tmp_path, "etc/dnsmasq.d/box", "server=/privacy/127.0.0.1#5354\n")
    assert look_at_names(tmp_path, SUFFIX).grade is Grade.GOOD


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("etc/systemd/resolved.conf.d/box.conf", "[Resolve]\nDNS=127.0.0.1:5354\nDomains=~privacy\n"),
        ("etc/systemd/resolved.conf", "[Resolve]\nDomains=~lan ~privacy. ~other\n"),
        ("etc/systemd/dns-delegate.d/box.dns-delegate", "[Delegate]\nDNS=127.0.0.1:5354\nDomains=~privacy\n"),
        ("etc/dnsmasq.d/box", "server=/privacy/127.0.0.1#5354\n"),
        ("etc/NetworkManager/dnsmasq.d/box.conf", "local=/lan/privacy/\n"),
        ("etc/unbound/unbound.conf.d/box.conf", 'forward-zone:\n  name: "privacy."\n  forward-addr: 127.0.0.1@5354\n'),
        ("etc/unbound/unbound.conf", 'server:\n  local-zone: "privacy" refuse\n'),
    ],
)
def test_a_rule_for_the_suffix_is_found(tmp_path: Path, place: str, text: str) -> None:
    write(tmp_path, "etc/resolv.conf", "nameserver 192.0.2.1\n")
    write(tmp_path, place, text)
    assert look_at_names(tmp_path, SUFFIX).grade is Grade.GOOD
    assert look_at_names(tmp_path, ("privacy", "other-suffix")).grade is Grade.NOTE, "each suffix needs one"
    assert "other-suffix" in look_at_names(tmp_path, ("privacy", "other-suffix")).advice
    write(tmp_path, place, text.replace("privacy", "privacy2"))
    assert look_at_names(tmp_path, SUFFIX).grade is Grade.NOTE
    write(tmp_path, place, "".join(f"# {line}\n" for line in text.splitlines()))
    assert look_at_names(tmp_path, SUFFIX).grade is Grade.NOTE
