"""The lines between the built-in softphone and the program that drives it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.errors import UsageError
from voicebox.softphone.control import MAX_LINE_OCTETS, Command, LineBuffer, Verb, parse_command, serialise_event, sip_uri


def test_each_command_is_read() -> None:
    assert parse_command(b'{"command":"dial","uri":"bob.privacy"}') == Command(Verb.DIAL, "sip:bob.privacy")
    assert parse_command(b'{"command":"decline","status":603}') == Command(Verb.DECLINE, status=603)
    assert parse_command(b'{"command":"digits","digits":"12#a"}') == Command(Verb.DIGITS, "12#A")
    for verb in (Verb.ANSWER, Verb.HANG_UP, Verb.HOLD, Verb.RESUME, Verb.QUIT):
        assert parse_command(json.dumps({"command": verb.value}).encode()).verb is verb


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'"dial"',
        b"{",
        b"\xff",
        b'{"command":"fly"}',
        b'{"command":["dial"]}',
        b'{"command":"dial"}',
        b'{"command":"dial","uri":7}',
        b'{"command":"dial","uri":""}',
        b'{"command":"dial","uri":"sip:a b"}',
        b'{"command":"dial","uri":"<sip:a>"}',
        b'{"command":"digits","digits":"12x"}',
        b'{"command":"digits","digits":""}',
        b'{"command":"decline","status":200}',
        b'{"command":"decline","status":"486"}',
        b'{"command":"dial","uri":"' + b"x" * MAX_LINE_OCTETS + b'"}',
        b"[" * 4000,
    ],
)
def test_a_bad_line_gets_a_clear_error(line: bytes) -> None:
    with pytest.raises(UsageError):
        parse_command(line)


@given(st.binary(max_size=200))
def test_any_line_is_read_or_refused(line: bytes) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse_command(line), Command)


def test_a_sip_address_is_left_as_it_is() -> None:
    assert sip_uri("SIP:bob@bob.privacy") == "SIP:bob@bob.privacy"
    assert sip_uri("bob.privacy") == "sip:bob.privacy"


def test_events_are_one_line_of_json() -> None:
    line = serialise_event("problem", why="a\nb")
    assert "\n" not in line
    assert json.loads(line) == {"event": "problem", "why": "a\nb"}


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and line.strip())), st.integers(1, 9))
def test_lines_come_whole_however_they_are_cut(lines: list[bytes], step: int) -> None:
    octets = b"".join(line + b"\n" for line in lines)
    buffer = LineBuffer()
    got = [line for start in range(0, len(octets), step) for line in buffer.receive(octets[start : start + step])]
    assert got == lines


def test_an_endless_line_costs_no_memory_and_hides_no_later_line() -> None:
    buffer = LineBuffer()
    got = [line for _ in range(100) for line in buffer.receive(b"x" * 1000)]
    assert len(got) == 1
    assert len(got[0]) == MAX_LINE_OCTETS + 1
    assert buffer.receive(b'xx\n{"command":"quit"}\n') == [b'{"command":"quit"}']
