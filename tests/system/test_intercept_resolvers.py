"""DNS over HTTPS with known resolvers: refused to devices of a LAN, and to this machine's programs where that is wanted, counted, and nothing else is. [io]"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.interception import V4, V6, Street, heard, helper_of
from tools.lab.namespaces import Namespace
from voicebox.cli.main import main
from voicebox.intercept.asking import ask_helper, end_helper, start_helper
from voicebox.intercept.resolvers import known_resolvers
from voicebox.intercept.rules import Plan

pytestmark = pytest.mark.system

GOOGLE, OTHER = "8.8.8.8", "203.0.113.80"


@pytest.fixture
def street() -> Iterator[Street]:
    street = Street()
    street.world.ip([f"address add {each}/32 dev lo" for each in (GOOGLE, OTHER)])
    street.world.ip(["route add 192.168.9.0/24 via 192.0.2.2"])
    yield street
    street.close()


@contextlib.contextmanager
def intercepted(street: Street, home: Path, *, here: bool, lan: str | None = "lan0") -> Iterator[None]:
    street.host.run(lambda: start_helper(home, Plan((V4, V6), ("privacy",), lan, known_resolvers(), here)))
    helper = helper_of(home)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signal.SIGKILL)


def connected(where: Namespace, address: str, port: int = 443) -> int:
    def connect() -> int:
        with socket.socket() as program:
            program.settimeout(5)
            return program.connect_ex((address, port))

    return where.run(connect)


def sent(where: Namespace, address: str) -> None:
    with where.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as program, contextlib.suppress(OSError):
        where.run(partial(program.sendto, b"an initial of QUIC", (address, 443)))


@pytest.mark.parametrize("here", [False, True], ids=["devices", "and programs here"])
def test_known_resolvers_are_refused_at_the_port_of_https_alone_and_it_is_counted(
    street: Street, tmp_path: Path, capsys: pytest.CaptureFixture[str], here: bool
) -> None:
    with contextlib.ExitStack() as stack:
        for address, port in ((GOOGLE, 443), (GOOGLE, 80), (OTHER, 443)):
            stack.enter_context(street.world.run(partial(socket.create_server, (address, port))))
        assert connected(street.device, GOOGLE) == 0
        with intercepted(street, tmp_path, here=here), heard(street.world, "street") as frames:
            assert connected(street.device, GOOGLE) == 111
            assert connected(street.host, GOOGLE) == (111 if here else 0)
            sent(street.device, GOOGLE)
            for where in (street.device, street.host):
                assert (connected(where, GOOGLE, 80), connected(where, OTHER)) == (0, 0)
            told = json.loads(ask_helper(tmp_path, "status"))
            assert told["lan_resolved"] >= 2
            assert (told["resolved"] or 0) == (1 if here else 0)
            assert street.host.run(lambda: main(["intercept", "status", "--home", str(tmp_path)])) == 1
            printed = capsys.readouterr().out
            assert f"refused to devices of the LAN: {told['lan_resolved']} packets" in printed
            assert ("escapes" in printed, "refused to programs of this machine: 1" in printed) == (not here, here)
            street.host.run(lambda: end_helper(tmp_path))
        assert not [frame for frame in frames if b"QUIC" in frame]
        assert connected(street.device, GOOGLE) == 0


def test_nothing_of_it_is_there_where_it_was_not_asked_for(street: Street, tmp_path: Path) -> None:
    street.host.run(lambda: start_helper(tmp_path, Plan((V4, V6), ("privacy",), "lan0")))
    try:
        told = json.loads(ask_helper(tmp_path, "status"))
        assert (told["lan_resolved"], told["resolved"]) == (None, None)
    finally:
        street.host.run(lambda: end_helper(tmp_path))


def test_a_program_that_speaks_with_one_is_named_and_no_other(street: Street) -> None:
    talking = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2]))); print('on', flush=True); sys.stdin.read()"
    with contextlib.ExitStack() as stack:
        for address, port in ((GOOGLE, 443), (GOOGLE, 80)):
            stack.enter_context(street.world.run(partial(socket.create_server, (address, port))))
        assert named(street) == ()
        for port in (80, 443):
            command = [*street.host.wrapper, sys.executable, "-c", talking, GOOGLE, str(port)]
            program = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            stack.callback(program.kill)
            assert program.stdout is not None
            assert program.stdout.readline() == "on\n"
            name = Path(f"/proc/{program.pid}/comm").read_text().strip()
            assert named(street) == ((name,) if port == 443 else ())


def named(street: Street) -> tuple[str, ...]:
    """Look as the command does, from a process of the host's namespace, for /proc/net is of the process that reads it."""
    asking = "import json; from voicebox.intercept.resolvers import escaping, known_resolvers; print(json.dumps(escaping(known_resolvers())))"
    done = subprocess.run([*street.host.wrapper, sys.executable, "-c", asking], capture_output=True, text=True, check=True, timeout=60)
    return tuple(json.loads(done.stdout))
