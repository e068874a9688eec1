"""Which phones that are registered elsewhere may call: who is named, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.config.load import load_box, parse_options
from voicebox.config.model import BOX_OPTIONS, box_config
from voicebox.config.phones import PhonesElsewhere, parse_phone_elsewhere, phones_elsewhere
from voicebox.errors import FileProblem, UsageError
from voicebox.positions import ProblemsFound


def named(*entries: str) -> PhonesElsewhere:
    return phones_elsewhere(parse_phone_elsewhere(each) for each in entries)


def test_by_default_it_is_nobody() -> None:
    config = box_config(parse_options("{}", "box.yaml", BOX_OPTIONS))
    assert not config.phones_elsewhere
    assert config.sip_port == 5_060
    assert not config.phones_elsewhere.admit("127.0.0.1", is_here=True)


def test_who_is_named_is_admitted_and_nobody_else() -> None:
    phones = named("192.168.1.20", "192.168.2.0/28", "2001:db8::/64")
    assert phones
    for address in ("192.168.1.20", "192.168.2.15", "2001:db8::7"):
        assert phones.admit(address, is_here=False)
    for address in ("192.168.1.21", "192.168.2.16", "2001:db8:0:1::7", "::ffff:192.168.1.20", "fe80::1%eth0"):
        assert not phones.admit(address, is_here=False)
        assert not phones.admit(address, is_here=True)


def test_programs_of_this_machine_are_named_by_a_word() -> None:
    assert named("here").admit("203.0.113.9", is_here=True)
    assert not named("here").admit("203.0.113.9", is_here=False)
    assert not named("nobody")


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/7", "::/0", "everybody", "192.168.1.20/24", "192.168.1.256", "", "phone.lan", "192.168.1.20:5060"])
def test_everybody_and_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_phone_elsewhere(text)


def test_what_is_wrong_in_the_file_is_told_with_its_place() -> None:
    with pytest.raises(ProblemsFound, match=r"intercept\.phones"):
        parse_options("intercept:\n  phones: [0.0.0.0/0]\n", "box.yaml", BOX_OPTIONS)


def test_the_addresses_are_not_printed() -> None:
    assert "192.168.1.20" not in repr(named("192.168.1.20"))


@pytest.mark.parametrize(
    ("listens", "is_reached"), [("[127.0.0.1:5060]", False), ('["[::1]:5060", "127.0.0.1:5060"]', False), ('["127.0.0.1:5060", "192.168.1.10:5060"]', True)]
)
def test_a_box_that_such_a_phone_cannot_reach_does_not_start(tmp_path: Path, listens: str, is_reached: bool) -> None:
    (tmp_path / "box.yaml").write_text(f"sip:\n  listen: {listens}\nintercept:\n  phones: [here]\n")
    if is_reached:
        assert load_box(tmp_path).phones_elsewhere.here
    else:
        with pytest.raises(FileProblem, match=r"sip\.listen"):
            load_box(tmp_path)
