"""Damaged files of a box and a relay, met by the real commands: which file, which line, what to do; a clean end, and nothing started. [io]

The parsers themselves are tested beside their modules and in tests/fuzz.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.system

COMMAND_LIMIT_S = 20
HERE = -1
JUNK = b"\x00\xff\xfe junk \xc3\x28"


@dataclass(frozen=True)
class Damage:
    """One damaged file. place: below the directory; old, new: what is replaced, None: the whole file; line: 0 for the file as a whole, HERE for that of the change."""

    home: str
    place: str
    command: tuple[str, ...]
    old: bytes | None
    new: bytes
    line: int = 0


BOX, RELAY = ("run",), ("relay", "run")
DAMAGES = {
    "setting unknown": Damage(CALLER, "box.yaml", BOX, b"profile:", b"profil:", HERE),
    "setting wrong": Damage(CALLER, "box.yaml", BOX, b"profile: home", b"profile: castle", HERE),
    "settings no YAML": Damage(CALLER, "box.yaml", BOX, b"profile: home", b"profile: [home", 7),
    "settings junk": Damage(CALLER, "box.yaml", BOX, None, JUNK),
    "dial plan": Damage(CALLER, "dialplan.yaml", BOX, b"version: 1", b"version: 9", HERE),
    "dial plan junk": Damage(CALLER, "dialplan.yaml", BOX, None, JUNK),
    "dial plan endless": Damage(CALLER, "dialplan.yaml", BOX, None, b"# and so on\n" * 1_000_000),
    "network file": Damage(CALLER, "network.list", BOX, b"epoch", b"epcoh", HERE),
    "network file cut": Damage(CALLER, "network.list", BOX, None, b"voicebox network 1\n", 1),
    "network file to take": Damage(CALLER, "network.list", ("network", "update", "{file}"), b"junction", b"junctlon", HERE),
    "contact's card": Damage(CALLER, f"contacts/{CALLEE}.yaml", BOX, b"  AQE", b"  AQF", HERE),
    "contact junk": Damage(CALLER, f"contacts/{CALLEE}.yaml", BOX, None, JUNK),
    "card to add": Damage(
        CALLER, "theirs.card", ("contact", "add", "somebody", "{file}"), None, b"-----BEGIN VOICEBOX CARD-----\nAAAA 0000\n-----END VOICEBOX CARD-----\n", 2
    ),
    "box's key": Damage(CALLER, "identity/box.key", BOX, None, JUNK),
    "authority": Damage(CALLER, "identity/authority.crt", BOX, None, b""),
    "guards": Damage(CALLER, "guards", BOX, None, b"zz\n", 1),
    "phone": Damage(CALLER, "phones/desk.yaml", BOX, b"user", b"usr"),
    "relay's setting": Damage("guard-1", "relay.yaml", RELAY, b"role: guard", b"role: king", HERE),
    "relay's key": Damage("guard-1", "identity/relay.key", RELAY, None, JUNK),
    "relay's link key": Damage("guard-1", "identity/link.key", RELAY, None, JUNK),
    "descriptor": Damage("guard-1", "descriptor", RELAY, b"role guard", b"role gaurd", HERE),
    "descriptor to vouch for": Damage("guard-1", "descriptor", ("relay", "vouch", "--network", "{network}", "{file}"), b"operator", b"operatot", HERE),
}


def damaged(network: EmbeddedNetwork, damage: Damage, directory: Path) -> tuple[Path, int]:
    """Copy a directory and damage one file of it; return it, and the line that is to be named."""
    origin = {**network.relays, **network.boxes}[damage.home].home
    home = directory / "home"
    shutil.copytree(origin, home, ignore=lambda _folder, names: [name for name in names if name in {"control.sock", "lock", "log"}])
    path = home / damage.place
    if damage.old is None:
        path.write_bytes(damage.new)
        return home, damage.line
    octets = path.read_bytes()
    before, found, _ = octets.partition(damage.old)
    assert found, octets[:400]
    path.write_bytes(octets.replace(damage.old, damage.new, 1))
    return home, before.count(b"\n") + 1 if damage.line == HERE else damage.line


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_file_is_named_with_its_line_and_what_to_do(embedded_network: EmbeddedNetwork, tmp_path: Path, what: str) -> None:
    damage = DAMAGES[what]
    home, line = damaged(embedded_network, damage, tmp_path)
    path = home / damage.place
    words = [word.format(file=path, home=home, network=embedded_network.directory / "network") for word in damage.command]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "voicebox", *words, *([] if "vouch" in words else ["--home", str(home)])]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False, env=environment)
    assert done.returncode not in (0, -6, -11), done.stdout
    assert "Traceback" not in done.stderr
    assert "\x00" not in done.stderr, "a damaged file is not quoted"
    where = re.search(re.escape(str(path)) + r"(?::(\d+))?(?::\d+)?[: ]", done.stderr)
    assert where, done.stderr
    if line:
        assert where.group(1) == str(line), done.stderr
    complaint = done.stderr.strip().split(str(path), 1)[1]
    assert re.search(r"[.:?] \S+ \S+", complaint.split(":", 1)[1] if ":" in complaint else complaint), f"what to do: {done.stderr}"
    assert not (home / "control.sock").exists()
    assert not (home / "new.signed").exists()
    print(done.stderr.strip().replace(str(home), "HOME"))
