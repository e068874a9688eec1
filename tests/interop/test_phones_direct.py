"""Phones that others wrote, without a box: that each of them registers, calls, rings, hears and hangs up when its driver says so.

And that the measuring is right where the truth is known: a call without a network has no delay, no loss, and sounds like its codec.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.interop.registrar import Registrar
from tests.support.phones import PHONES, BuiltinPhone, LinphoneDaemon, Login, PhoneSetup, assert_heard, free_port_block, installed, make_phone
from tests.support.tone import write_tone
from voicebox.errors import HostError
from voicebox.sensitive import Secret

pytestmark = pytest.mark.interop

ADDRESS = "127.0.0.1"
TALK_S = 2.0
ALICE_HZ, BOB_HZ = 440, 1000


@pytest.mark.parametrize(
    ("caller_kind", "callee_kind", "codec", "who_hangs_up"),
    [
        ("pjsua2", "pjsua2", "pcma", "caller"),
        ("baresip", "baresip", "opus", "callee"),
        ("linphonec", "baresip", "pcma", "caller"),
        ("pjsua2", "linphonec", "pcmu", "callee"),
        ("baresip", "pjsua2", "pcmu", "caller"),
    ],
)
def test_two_phones_hear_each_other(tmp_path: Path, caller_kind: str, callee_kind: str, codec: str, who_hangs_up: str) -> None:
    callee = make_phone(callee_kind, "bob", BOB_HZ, codec, tmp_path)
    caller = make_phone(caller_kind, "alice", ALICE_HZ, codec, tmp_path)
    with callee, caller:
        caller.dial(f"sip:bob@{ADDRESS}:{callee.setup.sip_port}")
        callee.wait_for("incoming")
        caller.wait_for("ringing")
        callee.answer()
        caller.wait_for("connected")
        callee.wait_for("connected")
        time.sleep(TALK_S)
        (caller if who_hangs_up == "caller" else callee).hang_up()
        caller.wait_for("ended")
        callee.wait_for("ended")
    assert_heard(caller, BOB_HZ, ALICE_HZ, TALK_S - 1)
    assert_heard(callee, ALICE_HZ, BOB_HZ, TALK_S - 1)


def test_hold_resume_and_digits_reach_the_other_phone(tmp_path: Path) -> None:
    callee = make_phone("pjsua2", "bob", BOB_HZ, "pcma", tmp_path, ring_s=0.0)
    caller = make_phone("pjsua2", "alice", ALICE_HZ, "pcma", tmp_path)
    assert isinstance(callee, BuiltinPhone)
    assert isinstance(caller, BuiltinPhone)
    with callee, caller:
        caller.dial(f"sip:bob@{ADDRESS}:{callee.setup.sip_port}")
        caller.wait_for("connected")
        caller.hold()
        callee.wait_for("held")
        caller.resume()
        callee.wait_for("media", count=2)
        caller.press("5#")
        callee.wait_for("digit", count=2)
        caller.hang_up()
        callee.wait_for("ended")
        assert callee.digits == "5#"
        assert caller.problems == callee.problems == []


def test_a_refused_call_ends_at_both(tmp_path: Path) -> None:
    callee = make_phone("pjsua2", "bob", BOB_HZ, "pcma", tmp_path)
    caller = make_phone("pjsua2", "alice", ALICE_HZ, "pcma", tmp_path)
    with callee, caller:
        caller.dial(f"sip:bob@{ADDRESS}:{callee.setup.sip_port}")
        callee.wait_for("incoming")
        callee.hang_up()
        caller.wait_for("ended")
        assert "connected" not in caller.events


@pytest.mark.parametrize("kind", sorted(PHONES))
def test_a_phone_rings_and_answers_by_itself(tmp_path: Path, kind: str) -> None:
    """While only the other one is waited for."""
    callee = make_phone(kind, "bob", BOB_HZ, "pcma", tmp_path, ring_s=0.3)
    caller = make_phone("pjsua2", "alice", ALICE_HZ, "pcma", tmp_path)
    with callee, caller:
        caller.dial(f"sip:bob@{ADDRESS}:{callee.setup.sip_port}")
        caller.wait_for("connected")
        assert caller.events.index("ringing") < caller.events.index("connected")


def test_linphone_daemon_calls_and_is_heard(tmp_path: Path) -> None:
    if not installed("linphonec"):
        pytest.skip("linphone is not installed")
    callee = make_phone("pjsua2", "bob", BOB_HZ, "pcma", tmp_path)
    ports = free_port_block(20)
    setup = PhoneSetup("alice", None, ADDRESS, ports, ports + 4, write_tone(tmp_path / "a.wav", ALICE_HZ, 12), "pcma")
    with callee, LinphoneDaemon(setup, tmp_path / "alice") as caller:
        caller.dial(f"sip:bob@{ADDRESS}:{callee.setup.sip_port}")
        callee.wait_for("incoming")
        callee.answer()
        caller.wait_for("connected")
        time.sleep(TALK_S)
        caller.hang_up()
        callee.wait_for("ended")
    assert_heard(callee, ALICE_HZ, BOB_HZ, TALK_S - 1)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("kind", sorted(PHONES))
def test_a_phone_registers_with_its_password_and_not_with_another(tmp_path: Path, kind: str, transport: str) -> None:
    port = free_port_block(1)
    with Registrar(port, "alice", "secret") as registrar:
        for number, password in enumerate((b"secret", b"wrong")):
            login = Login(ADDRESS, port, "alice", Secret(password), transport)
            directory = tmp_path / str(number)
            directory.mkdir()
            with make_phone(kind, "alice", ALICE_HZ, "pcma", directory, login) as phone:
                if password == b"secret":
                    phone.wait_for("registered")
                    assert (registrar.taken, registrar.refused) == (1, 0)
                else:
                    phone.wait_until(lambda: registrar.refused > 0, "its refusal")
                    with pytest.raises(HostError, match="did not get to"):
                        phone.wait_for("registered", timeout_s=0.5)


def test_a_phone_that_dies_is_noticed(tmp_path: Path) -> None:
    with make_phone("pjsua2", "alice", ALICE_HZ, "pcma", tmp_path) as phone:
        assert phone._process is not None
        phone._process.kill()
        with pytest.raises(HostError, match="ended by itself"):
            phone.wait_for("registered")
        phone.stop()


def measured(kind: str, *arguments: str) -> dict[str, Any]:
    """Return the report of a measured call; skips where the phone is missing or no namespace is to be had."""
    if not installed(kind):
        pytest.skip(f"{kind} is not installed")
    command = [sys.executable, "-m", "tests.interop.measured_call", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    if "skip" in report:
        pytest.skip(report["skip"])
    print(json.dumps({name: report.get(name) for name in ("one_way_ms", "jitter_ms", "loss_pct", "dropped_pct", "setup_ms", "quality")}))
    assert report["capture"]["dropped"] == 0
    return report


@pytest.mark.alone
@pytest.mark.parametrize(("codec", "kind"), [("pcma", "pjsua2"), ("opus", "baresip")])
def test_a_call_without_a_network_is_measured_as_one(tmp_path: Path, codec: str, kind: str) -> None:
    report = measured(kind, codec, "9", str(tmp_path))
    assert report["codec"] == codec
    assert report["one_way_ms"]["p99"] < 1
    assert report["jitter_ms"]["mean"] < 5
    assert report["loss_pct"] == 0
    assert 0 < report["setup_ms"]["invite_to_ringing"] < 1000
    assert 0 < report["setup_ms"]["answer_to_audio"] < 1000
    quality = report["quality"]
    if quality["measure"] is not None:
        assert abs(quality["call"] - quality["direct"]) <= 0.15
        assert quality["direct"] - quality["call_with_5pct_loss"] > 0.15


@pytest.mark.alone
@pytest.mark.parametrize(("codec", "kind"), [("pcma", "pjsua2"), ("opus", "baresip")])
def test_delay_and_loss_of_a_path_are_measured_as_they_are(tmp_path: Path, codec: str, kind: str) -> None:
    """35 ms, and one packet in ten. The path counts RTCP and the ends of the call too, so its own figure is only near."""
    report = measured(kind, codec, "9", str(tmp_path), "35", "0.1")
    assert 35 <= report["one_way_ms"]["p50"] < 37
    assert report["loss_pct"] == pytest.approx(report["dropped_pct"], abs=4)
    quality = report["quality"]
    if quality["measure"] is not None:
        assert quality["direct"] - quality["call"] > 0.3
