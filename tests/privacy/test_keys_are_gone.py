"""What a process still holds of a circuit or a call that is over: the octets of its memory are searched for the keys.

A process of its own (this file, run as a program) runs two boxes and their relays on real cores and tells its keys. Sought is the last round key of AES-128, which only the
cipher makes, and which is as good as the key: Python's own copies of keys do not stand in the way, and are what this does not show.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.sim.boxes import CoreNode
from tests.sim.call import TO_CALLEE, TO_CALLER, TOKEN, call, part
from tests.sim.network import two_boxes
from tests.support.openssl import LOCAL, fingerprint_of, make_certificate, openssl
from tests.support.phones import free_port_block
from voicebox.dataplane import LiveDataPlane

ROOT = Path(__file__).resolve().parents[2]
LAYER_KEYS = 16
"""Four circuits of two hops, forward and backward."""
LAST_MADE = (b"key, of all last", b"one to hear with")
"""Nothing is made after them that could take the place of a copy they left behind."""
SUITE = "AES_CM_128_HMAC_SHA1_80"
SRTP_KEYS = (bytes(range(7, 37)), bytes(range(107, 137)))
FORGETS_S = 70
"""A relay forgets a circuit a minute after its last cell (PROTOCOL.md §6.3), a link that is silent as well."""


def tell(step: str) -> None:
    """Say which step is done, and go on when a line comes."""
    print(step, flush=True)
    sys.stdin.readline()


def main() -> None:
    """Run the network; after each step say which, and go on when a line comes."""
    network, circuits = two_boxes(7, make_node=CoreNode)
    caller, callee = circuits[0], circuits[2]
    callee.tokens = TOKEN + callee.tokens[16:]
    while not all(circuit.ready_us for circuit in circuits):
        network.run(0.5)

    print(" ".join(key.hex() for circuit in circuits for hop in circuit.keys for key in hop), flush=True)
    tell("circuits stand")
    call(network, caller, callee)
    tell("a call")
    part(network, caller)
    callee.command("quiet")
    network.run(1)
    tell("no call")
    for circuit in circuits:
        network.at(network.now_us, *_guards_end(network.wires[circuit.box, circuit.link].to))
    network.run(FORGETS_S)
    caller.command("speak", LAST_MADE[0], [LAST_MADE[1]])
    network.run(1)
    tell("relays forgot")
    for circuit in circuits:
        circuit.command("close")
    network.run(1)
    tell("boxes forgot")


def running_plane() -> LiveDataPlane:
    plane = LiveDataPlane(born_unix_us=0, realtime=False)
    plane.start()
    return plane


def tell_done(plane: LiveDataPlane, step: str) -> None:
    """Do as tell(), once what was ordered before is done."""
    plane.counters()  # comes back then
    tell(step)


def hold_srtp() -> None:
    """Hold a protected media port, and then no longer; after each step say which, and go on when a line comes."""
    plane = running_plane()
    port, _ = plane.media_open(LOCAL)
    plane.media_protect(port, SUITE, *SRTP_KEYS)
    tell_done(plane, "protected")
    plane.media_protect(port, SUITE, bytes(30), bytes(30))
    tell_done(plane, "other keys")
    plane.media_protect(port, SUITE, *SRTP_KEYS)
    tell_done(plane, "protected again")
    plane.media_close(port)
    tell_done(plane, "closed")


def hold_dtls(phone_port: int, fingerprint: bytes) -> None:
    """Hold a media port whose keys come from a handshake with a phone, say where it is, and go on as hold_srtp()."""
    plane = running_plane()
    port, rtp_port = plane.media_open(LOCAL)
    plane.media_identify(port)
    plane.media_agree(port, False, "sha-256", fingerprint)
    plane.media_remote(port, LOCAL, phone_port, 2, 8, None, phone_port)
    tell(str(rtp_port))
    tell_done(plane, "protected")
    plane.media_close(port)
    tell_done(plane, "closed")


def _guards_end(place: tuple[str, int]) -> tuple[str, tuple[object, ...]]:
    name, link = place
    return name, ("link_down", link)


def s_box() -> list[int]:
    """Return the S-box of AES (FIPS 197 §5.1.1)."""
    box, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= (p << 1) & 0xFF ^ (0x1B if p & 0x80 else 0)
        for shift in (1, 2, 4):
            q ^= (q << shift) & 0xFF
        q ^= 0x09 if q & 0x80 else 0
        box[p] = 0x63 ^ q
        for turn in (1, 2, 3, 4):
            box[p] ^= (q << turn | q >> (8 - turn)) & 0xFF
        if p == 1:
            return box


def last_round_key(key: bytes) -> bytes:
    """Return the eleventh round key of AES-128 (FIPS 197 §5.2)."""
    box, words, constant = s_box(), [list(key[at : at + 4]) for at in range(0, 16, 4)], 1
    for index in range(4, 44):
        word = words[-1]
        if index % 4 == 0:
            word = [box[octet] for octet in word[1:] + word[:1]]
            word[0] ^= constant
            constant = constant << 1 ^ (0x11B if constant & 0x80 else 0)
        words.append([left ^ right for left, right in zip(words[-4], word, strict=True)])
    return bytes(octet for word in words[40:] for octet in word)


def times_in_memory(pid: int, needles: list[bytes]) -> list[int]:
    """Return how often each is in what a process can write to."""
    found = [0] * len(needles)
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in maps:
            addresses, rights = line.split()[:2]
            begin, end = (int(address, 16) for address in addresses.split("-"))
            if "rw" in rights:
                memory.seek(begin)
                octets = memory.read(end - begin)
                found = [count + octets.count(needle) for count, needle in zip(found, needles, strict=True)]
    return found


def session_key(master: bytes, label: int) -> bytes:
    """Return the session key of AES-CM-128 that follows from master key and salt. Spec: RFC 3711 §4.3."""
    start = bytearray(master[16:30] + bytes(2))
    start[7] ^= label
    encryptor = Cipher(algorithms.AES128(master[:16]), modes.CTR(bytes(start))).encryptor()
    return encryptor.update(bytes(16))


def started(*arguments: str) -> subprocess.Popen[str]:
    """Start this file as a program that tells its steps."""
    command = [sys.executable, "-m", "tests.privacy.test_keys_are_gone", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def seen_in(process: subprocess.Popen[str], needles: list[bytes]) -> dict[str, list[int]]:
    """Return how often each needle is in the memory of a program at each of its steps."""
    assert process.stdin is not None
    assert process.stdout is not None
    seen: dict[str, list[int]] = {}
    for line in process.stdout:
        seen[line.strip()] = times_in_memory(process.pid, needles)
        print(line.strip(), seen[line.strip()])
        process.stdin.write("\n")
        process.stdin.flush()
    return seen


needs_aes = pytest.mark.skipif(" aes " not in Path("/proc/cpuinfo").read_text(), reason="without AES instructions the cipher keeps its keys in another form")


def test_round_keys_are_those_of_the_standard() -> None:
    assert last_round_key(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")).hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6", "FIPS 197 appendix A.1"


@needs_aes
def test_keys_of_a_circuit_and_of_a_call_are_gone_with_them() -> None:
    """The keys of an epoch are those of its circuits: none outlives them, in the relays or in the boxes."""
    with started() as process:
        assert process.stdout is not None
        layers = [bytes.fromhex(key) for key in process.stdout.readline().split()]
        needles = [last_round_key(key) for key in (*layers, TO_CALLEE, TO_CALLER, *LAST_MADE)]
        seen = seen_in(process, needles)
    assert len(layers) == LAYER_KEYS
    held = {step: [any(counts[:LAYER_KEYS]), any(counts[LAYER_KEYS:-2]), any(counts[-2:])] for step, counts in seen.items()}
    assert held == {
        "circuits stand": [True, False, False],
        "a call": [True, True, False],
        "no call": [True, False, False],
        "relays forgot": [True, False, True],
        "boxes forgot": [False, False, False],
    }
    assert all(seen["no call"][:LAYER_KEYS])
    assert all(seen["a call"][LAYER_KEYS:-2] + seen["relays forgot"][-2:])
    assert all(after < before for before, after in zip(seen["no call"][:LAYER_KEYS], seen["relays forgot"][:LAYER_KEYS], strict=True)), (
        "what is left are the boxes' own"
    )


@needs_aes
def test_keys_of_srtp_are_gone_with_the_port() -> None:
    needles = [last_round_key(session_key(key, label)) for key in SRTP_KEYS for label in (0, 3)]
    with started("srtp") as process:
        seen = seen_in(process, needles)
    assert {step: [count > 0 for count in counts] for step, counts in seen.items()} == {
        "protected": [True] * 4,
        "other keys": [False] * 4,
        "protected again": [True] * 4,
        "closed": [False] * 4,
    }


@needs_aes
def test_keys_of_a_handshake_are_gone_with_the_port(tmp_path: Path) -> None:
    certificate, phone_port = make_certificate(tmp_path), free_port_block(2)
    with started("dtls", str(phone_port), fingerprint_of(certificate).octets.hex()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with openssl(tmp_path, certificate, "SRTP_AES128_CM_SHA1_80", phone_port, int(process.stdout.readline())) as phone:
            keys = phone.keys()
            process.stdin.write("\n")
            process.stdin.flush()
            seen = seen_in(process, [*keys, *(last_round_key(session_key(key, label)) for key in keys for label in (0, 3))])
    assert {step: [count > 0 for count in counts] for step, counts in seen.items()} == {"protected": [True] * 6, "closed": [False] * 6}


def test_session_keys_are_those_of_the_standard() -> None:
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6")
    assert session_key(master, 0).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087", "RFC 3711 B.3"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["srtp"]:
            hold_srtp()
        case ["dtls", phone_port, fingerprint]:
            hold_dtls(int(phone_port), bytes.fromhex(fingerprint))
        case _:
            main()
