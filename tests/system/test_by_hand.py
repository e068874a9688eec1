"""Two boxes set up by hand, with every command as a user types it: baresip at one, linphone at the other. [io]

What is read here is what a user reads: the printed server, user and password go into the phones, nothing else does. Each step's output is kept
and looked at. NOT here: what the wire shows (test_first_call.py), every phone with every other (tests/interop/test_phones_over_network.py).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.embedded import wait_until
from tests.support.phones import Login, PhoneDriver, assert_heard, make_phone
from voicebox.sensitive import Secret

pytestmark = [pytest.mark.system, pytest.mark.interop]

ADDRESS = "127.0.83"
RELAYS = {"north": "guard", "east": "guard", "south": "guard", "west": "junction", "centre": "junction"}
PEOPLE = {"ann": f"{ADDRESS}.101:5060", "bert": f"{ADDRESS}.102:5060", "carl": f"{ADDRESS}.103:5060"}
"""carl's box is set up and never run."""
ANN_HZ, BERT_HZ = 440, 1000
TALK_S = 2.0
READY_S = 40.0
STOP_S = 10.0
UNREACHABLE_S = 14.0
"""Two junctions, 2 s at each, twice, the wait for a free circuit, and time to spare."""


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Desk:
    """One person at a shell. Commands run in `folder`, below which everything is."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def type(self, line: str) -> Said:
        """Run one line of a shell."""
        shell = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        shell.pop("VOICEBOX_HOME", None)
        done = subprocess.run(["sh", "-c", line], cwd=self.folder, env=shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        assert "Traceback" not in done.stdout + done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def good(self, line: str) -> str:
        """Run a line that has to work; return what it printed."""
        said = self.type(line)
        assert (said.code, said.err) == (0, ""), line
        return said.out

    def wrong(self, line: str) -> str:
        """Run a line that has to be refused; return the one paragraph that says why."""
        said = self.type(line)
        assert said.code in {1, 2}, line
        assert said.out == ""
        assert said.err.strip()
        return said.err

    def start(self, name: str, line: str) -> None:
        """Run a line that stays; its output goes to a file."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                line.split(), cwd=self.folder, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self, name: str, number: int = signal.SIGINT) -> int:
        """End what start() began, as Ctrl-C does; return its exit code."""
        process = self.running.pop(name)
        process.send_signal(number)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def read_account(printed: str) -> dict[str, str]:
    """Return what a user reads from `voicebox phone add`."""
    return dict(re.findall(r"^(server|user|password|transport) +(\S+)$", printed, re.MULTILINE))


@dataclass
class TwoPeople:
    """Ann and Bert, whose boxes run, and what was printed on the way there."""

    desk: Desk
    accounts: dict[str, dict[str, str]]

    def phone(self, kind: str, name: str, directory: Path) -> PhoneDriver:
        account = self.accounts[name]
        host, _, port = account["server"].rpartition(":")
        authority = self.desk.folder / f"{name}.pem" if account["transport"] == "tls" else None
        login = Login(host, int(port), account["user"], Secret(account["password"].encode()), account["transport"], authority)
        return make_phone(kind, name, ANN_HZ if name == "ann" else BERT_HZ, "pcma", directory, login)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoPeople]:
    desk = Desk(tmp_path_factory.mktemp("by-hand"))
    try:
        set_up_relays(desk)
        accounts = set_up_boxes(desk)
        for name in RELAYS:
            desk.start(name, f"voicebox relay run --home {name}")
        for name in ("ann", "bert"):
            desk.start(name, f"voicebox run --home {name}")
        for name in ("ann", "bert"):
            wait_until(lambda name=name: "The box is ready" in desk.log(name), f"the circuits of {name}", READY_S)  # type: ignore[misc]  # bound at once
        yield TwoPeople(desk, accounts)
        for name in list(desk.running):
            assert desk.stop(name) == 0
            assert "Traceback" not in desk.log(name)
    finally:
        for process in desk.running.values():
            process.kill()
            process.wait()


def set_up_relays(desk: Desk) -> None:
    for index, (name, role) in enumerate(RELAYS.items()):
        printed = desk.good(f"voicebox relay init --home {name} --listen {ADDRESS}.{10 + index}:47900 --role {role} --operator '{name} operator'")
        assert f"{name}/descriptor" in printed
        assert "network join" in printed
    descriptors = " ".join(f"{name}/descriptor" for name in RELAYS)
    desk.good("voicebox network create town > printed")
    desk.good("tail -n 1 printed > line")
    assert "5 relays" in desk.good(f"voicebox relay vouch --network town {descriptors}")
    for name in RELAYS:
        assert "5 relays" in desk.good(f"voicebox network join $(cat line) town --home {name}")


def set_up_boxes(desk: Desk) -> dict[str, dict[str, str]]:
    accounts = {}
    for name, server in PEOPLE.items():
        address = server.partition(":")[0]
        printed = desk.good(f"voicebox init --home {name} --name {name.capitalize()} --sip {server} --link-address {address}")
        assert [step in printed for step in ("network join", "phone add", "voicebox run")] == [True, True, True]
        desk.good(f"voicebox network join $(cat line) town --home {name}")
        printed = desk.good(f"voicebox phone add desk --home {name}")
        accounts[name] = read_account(printed)
        assert accounts[name]["server"] == f"{address}:5061"
        assert accounts[name]["transport"] == "tls"
        assert f"{address} and for no other name" in desk.good(f"voicebox phone ca {name}.pem --home {name}")
        assert "voicebox phone qr desk" in printed  # the way to a code to scan, once the box runs
        desk.good(f"voicebox contact card --home {name} > {name}.card")
    for one, other in (("ann", "bert"), ("bert", "ann"), ("ann", "carl"), ("carl", "ann")):
        assert f"dial {other}.privacy" in desk.good(f"voicebox contact add {other} {other}.card --home {one}")
    return accounts


def test_paths_are_told_and_newer_relays_are_taken_while_all_run(people: TwoPeople) -> None:
    desk, name = people.desk, next(iter(RELAYS))
    told = desk.good("voicebox path bert --home ann --explain")
    assert len(re.findall(r"^circuit \d  guard of .* operator, junction of .* operator, then bert's own relays", told, re.MULTILINE)) == 2
    assert "No two relays of a path are of one operator" in told
    assert "no contact" in desk.wrong("voicebox path carla --home ann")
    assert "boxes choose them" in desk.wrong(f"voicebox path --home {name}")
    desk.good(f"voicebox relay renew --home {name}")
    assert "1 changed" in desk.good(f"voicebox network add town {name}/descriptor")
    for home in (*RELAYS, "ann", "bert"):
        assert "Relays: 1 changed." in desk.good(f"voicebox network update town --home {home}")
    assert re.search(r"^box +ready", desk.good("voicebox status --home ann"), re.MULTILINE)


@pytest.mark.parametrize("who_hangs_up", ["caller", "callee"])
def test_baresip_calls_linphone(people: TwoPeople, tmp_path: Path, who_hangs_up: str) -> None:
    with people.phone("baresip", "ann", tmp_path) as ann, people.phone("linphonec", "bert", tmp_path) as bert:
        hold_a_call(people, ann, bert, "sip:bert@bert.privacy", who_hangs_up)
    assert_heard(ann, BERT_HZ, ANN_HZ, TALK_S - 0.8)
    assert_heard(bert, ANN_HZ, BERT_HZ, TALK_S - 0.8)


@pytest.mark.parametrize("who_hangs_up", ["caller", "callee"])
def test_linphone_calls_baresip(people: TwoPeople, tmp_path: Path, who_hangs_up: str) -> None:
    with people.phone("baresip", "ann", tmp_path) as ann, people.phone("linphonec", "bert", tmp_path) as bert:
        hold_a_call(people, bert, ann, "sip:ann.privacy", who_hangs_up)
    assert_heard(ann, BERT_HZ, ANN_HZ, TALK_S - 0.8)
    assert_heard(bert, ANN_HZ, BERT_HZ, TALK_S - 0.8)


def hold_a_call(people: TwoPeople, caller: PhoneDriver, callee: PhoneDriver, uri: str, who_hangs_up: str) -> None:
    """Ring, answer, talk, look at the status of both boxes meanwhile, hang up."""
    for phone in (caller, callee):
        phone.wait_for("registered")
    caller.dial(uri)
    callee.wait_for("incoming")
    caller.wait_for("ringing")
    callee.answer()
    caller.wait_for("connected")
    callee.wait_for("connected")
    began = time.monotonic()
    for name in ("ann", "bert"):
        status = people.desk.good(f"voicebox status --home {name}")
        assert re.search(r"^box +ready, profile home$", status, re.MULTILINE)
        assert re.search(r"^calls +1$", status, re.MULTILINE)
        assert re.search(r"^phones +desk \(tls\)$", status, re.MULTILINE)
        assert "in the clear" not in status
        assert "in a call" in status
    time.sleep(max(0.0, TALK_S - (time.monotonic() - began)))
    (caller if who_hangs_up == "caller" else callee).hang_up()
    caller.wait_for("ended")
    callee.wait_for("ended")
    assert "problem" not in people.desk.good("voicebox status --home ann")
    for name in ("ann", "bert"):
        wait_until(lambda name=name: in_calls(people.desk, name) == 0, f"the end of the call at {name}")  # type: ignore[misc]  # bound at once


def in_calls(desk: Desk, name: str) -> int:
    count: int = json.loads(desk.good(f"voicebox status --json --home {name}"))["calls"]
    return count


def test_contact_whose_box_is_off_is_not_available(people: TwoPeople, tmp_path: Path) -> None:
    with people.phone("baresip", "ann", tmp_path) as ann:
        ann.wait_for("registered")
        ann.dial("sip:carl@carl.privacy")
        ann.wait_for("ended", UNREACHABLE_S)
        assert ann.status == 480
        assert "ringing" not in ann.events
        ann.dial("sip:dora@dora.privacy")
        ann.wait_for("ended", count=2)
        assert ann.status == 404


def test_status_of_a_relay_and_of_who_uses_it(people: TwoPeople) -> None:
    printed = people.desk.good("voicebox status --home west")
    assert re.search(r"^relay +junction$", printed, re.MULTILINE)
    assert "operator" not in people.desk.good("voicebox status --home ann")
    assert re.search(r"over (north|east|south) operator and (west|centre) operator", people.desk.good("voicebox status --home ann --show-path"))


def test_second_start_of_the_same_box_is_refused(people: TwoPeople) -> None:
    assert "ann" in people.desk.wrong("voicebox run --home ann")
    assert "west" in people.desk.wrong("voicebox relay run --home west")
    assert "ready" in people.desk.good("voicebox status --home ann")


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("voicebox", 2, "usage: voicebox"),
        ("voicebox call bert", 2, "invalid choice"),
        ("voicebox run", 2, "--home DIR"),
        ("voicebox run --home nowhere", 1, "no directory"),
        ("voicebox status --home .", 2, "Nothing runs"),
        ("voicebox init --home .", 2, "not empty"),
        ("voicebox init --home box --sip here", 2, "ADDRESS:PORT"),
        ("voicebox phone add desk --home .", 1, "voicebox init"),
        ("voicebox phone add", 2, "the following arguments are required: NAME"),
        ("voicebox contact add bert bert.card --home .", 1, "voicebox init"),
        ("voicebox relay init --home box --listen 127.0.0.1:1 --role exit --operator me", 2, "invalid choice: 'exit'"),
        ("voicebox relay vouch --network net", 2, "RELAY_DESCRIPTOR"),
        ("voicebox relay vouch --network net nothing", 1, "net"),
        ("voicebox network join line nothing --home .", 2, "neither a box's nor a relay's"),
        ("voicebox path --home .", 2, "Nothing runs"),
        ("voicebox demo --seconds 0", 2, "3 to 600"),
    ],
)
def test_wrong_use_is_told_in_one_paragraph(tmp_path: Path, line: str, code: int, words: str) -> None:
    (tmp_path / "something").touch()
    desk = Desk(tmp_path)
    said = desk.wrong(line)
    assert words in said
    assert desk.type(line).code == code
    assert [path.name for path in tmp_path.iterdir()] == ["something"]
