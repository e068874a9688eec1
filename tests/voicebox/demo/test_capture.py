"""The capture process in a namespace of its own, with real datagrams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ordinary_user import open_to_all, said_by
from voicebox.demo.capture import main
from voicebox.demo.datagrams import load_capture

# A process of its own, because a process that has moved into a namespace does not come back.
PROGRAM = """
import json, socket, struct, sys, time
from pathlib import Path
from voicebox.demo.capture import Capture
from voicebox.demo.namespace import enter_private_network, switch_offloads_off
from voicebox.errors import HostError

isolation = enter_private_network()
if not isolation.private:
    print(json.dumps({"reason": isolation.reason}))
    sys.exit(0)
kept = switch_offloads_off("lo")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    receiver.bind(("127.0.0.1", 7000))
    with Capture(Path(sys.argv[1])) as unused:
        pass
    capture = Capture(Path(sys.argv[1]))
    capture.start()
    before = time.time_ns()
    for number in range(3000):
        sender.sendto(struct.pack(">I", number).ljust(278, b"x"), ("127.0.0.1", 7000))
        if number % 50 == 49:
            time.sleep(0.005)
    sender.setsockopt(socket.SOL_UDP, 103, 278)  # UDP_SEGMENT: one call, ten datagrams
    sender.sendto(bytes(2780), ("127.0.0.1", 7000))
    after = time.time_ns()
    counts = capture.stop()
try:
    with Capture(Path(sys.argv[1] + "-none"), "none0"):
        problem = ""
except HostError as error:
    problem = str(error)
print(json.dumps({"kept": kept, "before": before, "after": after, "frames": counts.frames, "dropped": counts.dropped, "user": isolation.user_namespace, "problem": problem}))
"""


@pytest.mark.system
@pytest.mark.parametrize("who", ["as-is", "ordinary"])
def test_every_datagram_is_captured_once_with_its_time(tmp_path: Path, who: str) -> None:
    open_to_all(tmp_path)
    tmp_path.chmod(0o777)
    # The system's own interpreter: another user may not be allowed to read a virtual environment in somebody's home.
    root = Path(__file__).resolve().parents[3]
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", str(root / "voicebox"), str(source)], check=True)
    (source.with_name("voicebox")).symlink_to(source)
    subprocess.run(["chmod", "-R", "a+rX", str(source)], check=True)
    path = tmp_path / "capture.pcap"
    said = said_by(PROGRAM, path, tmp_path, as_nobody=who == "ordinary" and os.geteuid() == 0)
    assert said["user"] or who == "as-is"
    assert said["kept"] == []
    assert said["problem"].startswith("no capture is possible here")
    assert (said["frames"], said["dropped"]) == (3010, 0)
    datagrams = load_capture(path)
    numbered = datagrams[:3000]
    assert [int.from_bytes(datagram.payload[:4], "big") for datagram in numbered] == list(range(3000))
    assert [len(datagram.payload) for datagram in datagrams] == [278] * 3010
    times = [datagram.time_ns for datagram in datagrams]
    assert times == sorted(times)
    assert said["before"] <= times[0] <= times[-1] <= said["after"]


def test_a_wrong_command_line_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_process_ends_with_a_clear_error_where_it_may_not_capture(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "voicebox.demo.capture", "none0", str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=Path(__file__).resolve().parents[3])
    assert done.returncode == 1
    assert "capture" in done.stderr
    assert "Traceback" not in done.stderr
