"""A private Tor network on this machine: three relays, which are its authorities, and a client. [io]

Configured as Tor's own tests do (TestingTorNetwork), with ports of the loopback and no way out of it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicebox.errors import HostError

RELAYS = 3
BOOTSTRAP_S = 150.0
FIRST_PORT = 47_600
SOCKS_PORT = FIRST_PORT + 90
PASSPHRASE = b"of no use\n"


def is_installed() -> bool:
    """Return whether there is a Tor."""
    return shutil.which("tor") is not None and shutil.which("tor-gencert") is not None


@dataclass(frozen=True, slots=True)
class Network:
    """A network that runs."""

    pids: tuple[int, ...]

    def connect(self, port: int) -> socket.socket:
        """Connect with a port of the loopback, over three relays. Raises HostError."""
        program = socket.create_connection(("127.0.0.1", SOCKS_PORT), 60)
        program.sendall(b"\x05\x01\x00")
        program.recv(2)
        program.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + port.to_bytes(2, "big"))
        answer = program.recv(10)
        if answer[:2] != b"\x05\x00":
            program.close()
            raise HostError("Tor does not lead there")
        return program


def _common(folder: Path) -> list[str]:
    return ["TestingTorNetwork 1", "UseDefaultFallbackDirs 0", f"DataDirectory {folder}", f"Log notice file {folder}/log", "Address 127.0.0.1", "NumCPUs 1"]


def _relay_lines(index: int, folder: Path) -> list[str]:
    port = FIRST_PORT + 10 * index
    return [
        *_common(folder),
        f"Nickname relay{index}",
        f"ORPort 127.0.0.1:{port}",
        f"DirPort 127.0.0.1:{port + 1}",
        "SocksPort 0",
        "AuthoritativeDirectory 1",
        "V3AuthoritativeDirectory 1",
        "ContactInfo nobody@example.org",
        "ExitRelay 1",
        "ExitPolicyRejectPrivate 0",
        "ExitPolicy accept 127.0.0.0/8:*",
        "TestingDirAuthVoteExit *",
        "TestingDirAuthVoteGuard *",
        "TestingV3AuthInitialVotingInterval 20",
        "TestingV3AuthInitialVoteDelay 4",
        "TestingV3AuthInitialDistDelay 4",
        "V3AuthVotingInterval 5 minutes",
        "V3AuthVoteDelay 20",
        "V3AuthDistDelay 20",
        "TestingMinExitFlagThreshold 0",
    ]


def _authority(index: int, folder: Path) -> str:
    """Make a relay's keys; return the line by which all know it."""
    keys = folder / "keys"
    keys.mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    port = FIRST_PORT + 10 * index
    command = ["tor-gencert", "--create-identity-key", "-a", f"127.0.0.1:{port + 1}", "-m", "12", "--passphrase-fd", "0"]
    subprocess.run(command, input=PASSPHRASE, cwd=keys, check=True, capture_output=True, timeout=120)
    v3 = re.search(r"^fingerprint ([0-9A-F]{40})", (keys / "authority_certificate").read_text(), re.MULTILINE)
    listed = subprocess.run(
        ["tor", "--list-fingerprint", "--orport", "1", "--datadirectory", str(folder), "-f", "/dev/null", "--ignore-missing-torrc", "--hush"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    own = re.search(r"((?:[0-9A-F]{4} ?){10})", listed)
    if v3 is None or own is None:
        raise HostError("Tor made no keys")
    return f"DirAuthority relay{index} orport={port} v3ident={v3[1]} 127.0.0.1:{port + 1} {own[1].replace(' ', '')}"


@contextmanager
def running(folder: Path) -> Iterator[Network]:
    """Run a network below a directory; ends every process that it started. Raises HostError where it does not come about."""
    homes = [folder / f"relay{index}" for index in range(RELAYS)]
    authorities = [_authority(index, home) for index, home in enumerate(homes)]
    client = folder / "client"
    client.mkdir(mode=0o700)
    lines = {home: [*_relay_lines(index, home), *authorities] for index, home in enumerate(homes)}
    lines[client] = [*_common(client), f"SocksPort 127.0.0.1:{SOCKS_PORT}", *authorities]
    processes = []
    try:
        for home, words in lines.items():
            (home / "torrc").write_text("\n".join(words) + "\n")
            processes.append(subprocess.Popen(["tor", "-f", str(home / "torrc"), "--hush"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        _wait(client / "log")
        yield Network(tuple(process.pid for process in processes))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _wait(log: Path) -> None:
    end = time.monotonic() + BOOTSTRAP_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if "Bootstrapped 100%" in log.read_text():
                return
        time.sleep(0.5)
    raise HostError("the Tor network did not come up")
