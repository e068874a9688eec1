"""Known resolvers of DNS over HTTPS: the list that comes with the box is one, and who speaks with one is found in what the kernel says of sockets."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.intercept.resolvers import escaping, known_resolvers, parse_list, parse_sockets, speaking_with

# In the form of proc(5), of a machine whose words begin with the lowest octet.
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 020200C0:D3F2 08080808:01BB 01 00000000:00000000 00:00000000 00000000     0        0 41234 1 0000000000000000 20 4 30 10 -1
   1: 020200C0:D3F4 08080808:0050 01 00000000:00000000 00:00000000 00000000     0        0 41235 1 0000000000000000 20 4 30 10 -1
"""
TCP_6 = """  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: B80D0120000000000000000002000000:9C40 FE0020260000000000000000FE000000:01BB 01 00000000:00000000 00:00000000 00000000     0        0 51234 1 0
   1: 0000000000000000FFFF0000020200C0:9C40 0000000000000000FFFF000009090909:01BB 01 00000000:00000000 00:00000000 00000000     0        0 51235 1 0
"""


def test_the_list_that_comes_with_the_box_has_the_known_ones_of_both_versions_and_nothing_wide() -> None:
    known = known_resolvers()
    for address in ("8.8.8.8", "1.1.1.1", "9.9.9.9", "94.140.14.14", "208.67.222.222", "194.242.2.2", "45.90.28.17", "2001:4860:4860::8888", "2620:fe::fe"):
        assert any(ipaddress.ip_address(address) in each for each in known if each.version == ipaddress.ip_address(address).version), address
    assert all(each.prefixlen >= (24 if each.version == 4 else 64) and each.is_global for each in known)
    assert len(set(known)) == len(known)


@pytest.mark.parametrize("text", ["dns.google", "8.8.8.8/8", "8.8.8.8 # Google"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"appear to be|host bits"):
        parse_list(text)


def test_remote_places_of_sockets_are_read_and_those_of_resolvers_found() -> None:
    sockets = [*parse_sockets(TCP), *parse_sockets(TCP_6)]
    assert [(str(address), port, inode) for address, port, inode in sockets] == [
        ("8.8.8.8", 443, 41_234),
        ("8.8.8.8", 80, 41_235),
        ("2620:fe::fe", 443, 51_234),
        ("9.9.9.9", 443, 51_235),
    ]
    assert speaking_with(sockets, known_resolvers()) == {41_234, 51_234, 51_235}


def test_a_program_is_named_by_the_socket_that_it_holds(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP)
    for number, name, inode in ((7, "firefox", 41_234), (8, "wget", 41_235), (9, "bad\x1bname", 41_234)):
        process = tmp_path / str(number)
        (process / "fd").mkdir(parents=True)
        (process / "comm").write_text(f"{name}\n")
        (process / "fd" / "3").symlink_to(f"socket:[{inode}]")
    assert escaping(known_resolvers(), tmp_path) == ("a program with an unprintable name", "firefox")
    assert escaping(known_resolvers(), tmp_path / "none") == ()


@given(st.text())
def test_any_text_is_read_as_sockets_or_passed_over(text: str) -> None:
    assert all(port >= 0 for _, port, _ in parse_sockets(text))
