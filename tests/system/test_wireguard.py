"""A phone away from home reaches its box by the tunnel that `voicebox wireguard add` makes, and its other traffic leaves as before. [io]"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.interception import heard, without_identification
from tools.lab.namespaces import Namespace, wait_carries
from voicebox.cli.main import main
from voicebox.intercept.wireguard import FILE

pytestmark = pytest.mark.system

HOME, AWAY = "192.0.2.1", "192.0.2.2"


def quick(place: Namespace, what: str, file: Path) -> None:
    """Bring a tunnel up or down, by the kernel or else in user space."""
    done = subprocess.run([*place.wrapper, "wg-quick", what, str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or what == "down", done.stderr


@pytest.fixture
def places() -> Iterator[tuple[Namespace, Namespace]]:
    """Yield a home and a place away from it, on one wire."""
    home, away = Namespace(), Namespace()
    home.ip([f"link add eth0 type veth peer name eth0 netns {away.path}", f"address add {HOME}/24 dev eth0", "link set eth0 up"])
    away.ip([f"address add {AWAY}/24 dev eth0", "link set eth0 up", f"route add default via {HOME}"])
    wait_carries(away, "eth0")
    yield home, away
    home.close()
    away.close()


def routes(place: Namespace) -> str:
    commands = (["rule"], ["route", "show", "table", "main"], ["route", "get", "203.0.113.7"])
    return "".join(subprocess.run([*place.wrapper, "ip", *each], capture_output=True, text=True, check=True, timeout=30).stdout for each in commands)


def other_traffic(home: Namespace, away: Namespace) -> list[bytes]:
    """Let the device send something to elsewhere; return what of it leaves on its own line, to the octet."""
    with heard(home, "eth0") as frames, away.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as program:
        program.bind((AWAY, 40_000))
        for port in (53, 443, 5_000):
            away.run(partial(program.sendto, b"elsewhere", ("203.0.113.7", port)))
    return [without_identification(frame) for frame in frames if frame.endswith(b"elsewhere")]


def test_a_phone_away_reaches_its_box_and_all_else_leaves_as_before(
    places: tuple[Namespace, Namespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, away = places
    box = tmp_path / "box"
    assert main(["init", "--home", str(box), "--name", "Alice"]) == 0
    capsys.readouterr()
    assert main(["wireguard", "add", "phone", "--endpoint", f"{HOME}:51820", "--home", str(box)]) == 0
    printed = capsys.readouterr().out
    told = printed[printed.index("[Interface]") : printed.index("WireGuard on the device")].strip() + "\n"
    assert (box / FILE).stat().st_mode & 0o077 == 0
    device = tmp_path / f"vbt{os.getpid()}.conf"
    device.write_text(told)
    device.chmod(0o600)
    ours = tmp_path / f"vbb{os.getpid()}.conf"  # another name, since user space keeps its sockets by name for all namespaces
    ours.write_text((box / FILE).read_text())
    ours.chmod(0o600)
    before, sent_before = routes(away), other_traffic(home, away)
    assert len(sent_before) == 3
    try:
        quick(home, "up", ours)
        quick(away, "up", device)
        listening = home.run(lambda: socket.create_server(("10.198.18.1", 5_060)))
        with listening, away.run(lambda: socket.create_connection(("10.198.18.1", 5_060), 20)) as phone:
            listening.settimeout(20)
            served, peer = listening.accept()
            with served:
                phone.sendall(b"REGISTER")
                assert (served.recv(8), peer[0]) == (b"REGISTER", "10.198.18.2")
        more = [line for line in routes(away).splitlines() if line not in before.splitlines()]
        assert [re.sub(r" dev .*", "", line) for line in more if "uid" not in line] == ["10.198.18.1", "198.18.0.0/15"]
        assert all(line in routes(away).splitlines() for line in before.splitlines())
        assert other_traffic(home, away) == sent_before
    finally:
        for place, file in ((away, device), (home, ours)):
            with contextlib.suppress(Exception):
                quick(place, "down", file)
    assert (routes(away), other_traffic(home, away)) == (before, sent_before)
    assert main(["wireguard", "remove", "phone", "--home", str(box)]) == 0
    assert "[Peer]" not in (box / FILE).read_text()
