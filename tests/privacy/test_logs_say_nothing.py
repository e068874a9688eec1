"""What daemons print, tell of themselves and keep holds nothing of who called whom.

A whole call, and whatever can go wrong at a box: unknown names, strangers, wrong passwords, junk at SIP and at the control socket. There are no log
levels to turn up, so the caller's box runs in Python's development mode with asyncio's debugging, the most that can be made to talk.
Then everything printed by every daemon up to its end, its status, and every file below its directory is searched, in any spelling.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.support.canary import CanaryCaller, spellings
from tests.support.embedded import CALLEE, CALLER, wait_until
from voicebox.demo.network import EmbeddedNetwork, Node
from voicebox.demo.phones import PhoneSetup, phone_for
from voicebox.demo.speech import make_speech

pytestmark = pytest.mark.system

TALK_S = 3.0
TALKATIVE = {"PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1"}
KEPT = {"log", "lock", "control.sock"}
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Told:
    """What was said by whom, and what must not have been."""

    printed: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, bytes] = field(default_factory=dict)
    files_before: dict[str, set[str]] = field(default_factory=dict)
    files_after: dict[str, set[str]] = field(default_factory=dict)
    planted: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)


def forms(key: bytes) -> list[bytes]:
    """Return how the beginning or the end of a key could be printed: raw, as Python shows it, hexadecimal, base64 at any alignment."""
    found = []
    for part in (key[:10], key[-10:]):
        cut = [base64.b64encode(bytes(shift) + part)[4:-4] for shift in range(3)]
        found += [part, repr(part)[2:-1].encode(), part.hex().encode(), part.hex().upper().encode(), *cut]
    return found


def says(text: bytes, value: str) -> bool:
    """Say whether a text holds a value in any spelling. What is left of a short value in the middle of base64 is too little to go by."""
    return any(form in text for form in spellings(value) if len(form) >= min(len(value), 6))


def files_of(node: Node) -> set[str]:
    """Return the names of the files below a daemon's directory."""
    return {str(path.relative_to(node.home)) for path in node.home.rglob("*") if path.is_file()} - KEPT


def keys_of(node: Node) -> Iterator[tuple[str, bytes]]:
    """Yield every secret below a daemon's directory, by its file."""
    for path in sorted((node.home / "identity").glob("*.key")):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(key, EllipticCurvePrivateKey):
            yield f"{node.name} {path.name}", key.private_numbers().private_value.to_bytes(32, "big")
        else:
            assert isinstance(key, Ed25519PrivateKey | X25519PrivateKey)
            yield f"{node.name} {path.name}", key.private_bytes_raw()
    for path in sorted((node.home / "contacts").glob("*.yaml")):
        for name, value in yaml.safe_load(path.read_text()).items():
            if "secret" in name and value:
                yield f"{node.name} {path.name} {name}", str(value).encode()


def misuse(network: EmbeddedNetwork, told: Told, caller: CanaryCaller) -> None:
    """Do at the caller's box what goes wrong, with a planted value in everything."""
    plant, box = caller.planted.make, caller.box
    for uri in (f"sip:{plant('unknown name dialled')}.privacy", f"sip:{plant('unknown number dialled')}@{box[0]}"):
        caller.to = ""
        with pytest.raises(AssertionError, match=r"SIP/2\.0 404"):
            caller.call(uri)
    for where in ("user of a stranger", "call of a stranger", "method", "header", "line"):
        value = plant(where)
        head = f"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK{value}\r\nFrom: <sip:{value}@x>;tag=1\r\nTo: <sip:{value}@x>\r\nCall-ID: {value}\r\n"
        method = {"user of a stranger": "REGISTER", "call of a stranger": "INVITE", "method": value.upper()}.get(where, "OPTIONS")
        credentials = f'Authorization: Digest username="{value}", realm="voicebox", nonce="{value}", uri="sip:x", response="{value}"\r\n'
        broken = {"header": f"Content-Length: {value}\r\n", "line": f"{value}\r\n"}.get(where, "")
        caller.sip.sendto(f"{method} sip:{value}@{box[0]} SIP/2.0\r\n{head}{credentials}{broken}CSeq: 1 {method}\r\n\r\n".encode(), box)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(network.boxes[CALLER].home / "control.sock"))
        client.sendall(json.dumps({"do": plant("control request")}).encode() + b"\n")
        assert b"error" in client.recv(65_536)
    told.planted |= caller.planted.values


def names_of(network: EmbeddedNetwork) -> dict[str, str]:
    """Return names and addresses that no daemon may say."""
    plan = network.plan
    names = {f"name {name}": name for name in network.boxes} | {"phone": plan.phone_sip(CALLER).address, "operators": "operator of", "prefix": plan.prefix}
    for name in network.boxes:
        names[f"password of {name}"] = network.login(name).password.reveal().decode()
    return names | {"network id": (network.boxes[CALLER].home / "network.id").read_text().strip(), "directory": str(network.directory)}


@pytest.fixture(scope="module")
def told(embedded_network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Make the call, the mistakes, end the caller's box; return all that can be read."""
    network, directory, found = embedded_network, tmp_path_factory.mktemp("talkative"), Told()
    nodes = {**network.relays, **network.boxes}
    node, plan = network.boxes[CALLER], network.plan
    network.stop_node(node)
    node.environment = TALKATIVE
    network.start_node(node)
    network.wait_ready()
    found.files_before = {name: files_of(each) for name, each in nodes.items()}
    play = make_speech(directory / "speech.wav", 1, TALK_S + 3, "pcma")
    sip, port = plan.phone_sip(CALLEE), plan.phone_rtp_port(CALLEE)
    setup = PhoneSetup(name=CALLEE, login=network.login(CALLEE), address=sip.address, sip_port=sip.port, rtp_port=port, play=play, ring_s=0.2)
    with contextlib.closing(CanaryCaller(network.login(CALLER), plan.phone_sip(CALLER).address)) as caller, phone_for(setup, directory / "phone") as callee:
        callee.wait_for("registered")
        caller.register()
        caller.call(f"sip:{CALLEE}.privacy")
        callee.wait_for("connected")
        caller.talk(TALK_S)
        found.status = {name: network.voicebox("status", "--json", home=each.home).encode() for name, each in nodes.items()}
        found.status |= {f"{name}, in words": network.voicebox("status", home=each.home).encode() for name, each in nodes.items()}
        caller.hang_up()
        callee.wait_for("ended")
        misuse(network, found, caller)
    wait_until(lambda: not (network.status(node) or {"calls": 1})["calls"], "the end of the call")
    network.stop_node(node)
    found.files_after = {name: files_of(each) for name, each in nodes.items()}
    found.printed = {name: (each.home / "log").read_bytes() for name, each in nodes.items()}
    found.keys = {name: key for each in nodes.values() for name, key in keys_of(each)}
    found.names = names_of(network)
    node.environment = {}
    network.start_node(node)
    yield found
    network.wait_ready()


def test_what_is_searched_for_is_there(told: Told, embedded_network: EmbeddedNetwork) -> None:
    """The control: every key is found in its own file, and there is something printed to be searched."""
    assert len(told.planted) > 80
    assert len(told.keys) >= 6 * 2 + 2 * 4, sorted(told.keys)
    kept = b"".join(
        path.read_bytes() for node in (*embedded_network.relays.values(), *embedded_network.boxes.values()) for path in node.home.rglob("*") if path.is_file()
    )
    assert [name for name, key in told.keys.items() if not any(form in kept for form in forms(key)) and "link" not in name] == []
    assert says(embedded_network.voicebox("contact", "list", home=embedded_network.boxes[CALLER].home).encode(), CALLEE)
    assert all(b"is ready" in text or b"listens" in text for text in told.printed.values())


@pytest.mark.parametrize("where", ["printed", "status"])
def test_no_daemon_says_a_name_address_number_or_key(told: Told, where: str) -> None:
    texts: dict[str, bytes] = getattr(told, where)
    leaks = [(who, what) for who, text in texts.items() for what, value in {**told.planted, **told.names}.items() if says(text, value)]
    leaks += [(who, what) for who, text in texts.items() for what, key in told.keys.items() if any(form in text for form in forms(key))]
    assert leaks == []


def test_no_file_keeps_anything_of_a_call(told: Told, embedded_network: EmbeddedNetwork) -> None:
    """No history: a call leaves no new file, and nothing of it in those there were."""
    assert told.files_after == told.files_before
    leaks = []
    for node in (*embedded_network.relays.values(), *embedded_network.boxes.values()):
        for path in (each for each in node.home.rglob("*") if each.is_file()):
            octets = path.read_bytes()
            leaks += [(node.name, path.name, where) for where, value in told.planted.items() if says(octets, value)]
    assert leaks == []


def test_nothing_in_the_package_can_log() -> None:
    """By construction: no module of a daemon imports the library for logs, and tracebacks are printed by none."""
    found = []
    for path in sorted((ROOT / "voicebox").rglob("*.py")):
        for each in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in each.names] if isinstance(each, ast.Import) else [each.module] if isinstance(each, ast.ImportFrom) else []
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names if name in {"logging", "syslog", "traceback", "warnings"}]
    assert found == []
