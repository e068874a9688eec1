"""A relay's machine is taken away: with all that is on its disk and in its memory nothing opens that was recorded before, of yesterday or of a minute ago.

In virtual time, over a midnight, with relays that read their keys from disk as the daemon does. What the engine holds of circuits that still stand is not
looked at here: test_keys_are_gone.py does. Spec: PROTOCOL.md §7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tests.support.networks import NOW, RelayKeys, vouched_network
from voicebox.circuits import handshake
from voicebox.circuits.descriptor import RelayAddress, Role
from voicebox.circuits.handshake import HopBinding, LayerKeys, PendingHop, begin_hop, finish_hop, layer_keys, transcript_of
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.relay import Relay
from voicebox.circuits.relay_state import create_relay, load_relay_keys
from voicebox.contacts.store import StateDirectory
from voicebox.sensitive import Secret

EPOCH_US = 3_600_000_000
EVENING = (22, 23, 24, 25)
"""Epochs of an hour; the network was born at a midnight, so the third begins the next day."""


class Plane:
    """Takes what a relay accepts, and forgets it."""

    def __init__(self) -> None:
        self.created = b""

    def accept(self, _link: int, _circuit: int, _forward: bytes, _backward: bytes, created: bytes, *_rest: object) -> None:
        self.created = created

    def refuse(self, link: int, circuit: int, reason: int) -> None:
        raise AssertionError(f"refused: {link}, {circuit}, {reason}")


@dataclass(frozen=True)
class Recorded:
    """What went over the wires for one hop, and the keys that it led to, by which the test knows whether an attack succeeded."""

    binding: HopBinding
    handshake: bytes
    created: bytes
    keys: LayerKeys


class Town:
    """A guard and a junction, their directories, and all that was ever recorded of their handshakes."""

    def __init__(self, folder: Path) -> None:
        self.stores, made = [StateDirectory(folder / role.value) for role in Role], []
        for port, (store, role) in enumerate(zip(self.stores, Role, strict=True), 4000):
            store.create()
            verified = create_relay(store, role, role.value, 10, (RelayAddress("192.0.2.1", port),), NOW)
            made.append(RelayKeys(load_relay_keys(store)[1].identity, verified))
        self.network: VerifiedNetwork = vouched_network(made, [Ed25519PrivateKey.generate()], 1, distinct=False)
        self.plane = Plane()
        self.relays: list[Any] = []
        for store in self.stores:
            verified, keys = load_relay_keys(store)
            self.relays.append(Relay(self.plane, self.network, verified.descriptor, keys, Random(1)))  # type: ignore[arg-type]  # only what a create needs
        guard, junction = self.relays
        guard.link_up(1, None, 0, incoming=True)
        junction.link_up(1, made[0].descriptor.link_pin, 0, incoming=True)
        self.identities = [relay.descriptor.identity for relay in made]
        self.recorded: list[Recorded] = []

    def make_circuits(self, epoch: int) -> list[PendingHop]:
        """Let a box make its two hops at a time of this epoch; return what it held meanwhile."""
        held = []
        for relay, identity in zip(self.relays, self.identities, strict=True):
            pending = begin_hop(HopBinding(self.network.network_id, identity, 5 + epoch, epoch))
            relay.create(1, 5 + epoch, pending.handshake, epoch * EPOCH_US + 100_000_000)
            self.recorded.append(Recorded(pending.binding, pending.handshake, self.plane.created, finish_hop(pending, self.plane.created)))
            held.append(pending)
        return held

    def seize(self) -> set[bytes]:
        """Return every octet string of both disks, with the private keys in them, and of the relays' objects."""
        found = octets_in(self.relays)
        for store in self.stores:
            for path in store.home.rglob("*"):
                if path.is_file():
                    found |= {path.read_bytes(), *path.read_bytes().split()} | private_key_in(path.read_bytes())
        return found


def private_key_in(text: bytes) -> set[bytes]:
    if b"PRIVATE KEY" not in text:
        return set()
    key = serialization.load_pem_private_key(text, None)
    if isinstance(key, EllipticCurvePrivateKey):
        return {key.private_numbers().private_value.to_bytes(32, "big")}
    assert isinstance(key, Ed25519PrivateKey)
    return {key.private_bytes_raw()}


def octets_in(thing: object, known: set[int] | None = None) -> set[bytes]:
    """Return all octet strings and private keys that can be reached from an object, however deep."""
    known = set() if known is None else known
    if id(thing) in known or isinstance(thing, type | Plane):
        return set()
    known.add(id(thing))
    match thing:
        case bytes():
            return {thing}
        case Secret():
            return {thing.reveal()}
        case Ed25519PrivateKey() | X25519PrivateKey() | MLKEM768PrivateKey():
            return {thing.private_bytes_raw()}
        case Mapping():
            parts: Iterable[object] = [*thing, *thing.values()]
        case list() | tuple() | set() | frozenset():
            parts = thing
        case _:
            names = {name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())} | set(getattr(thing, "__dict__", ()))
            parts = [getattr(thing, name, None) for name in names]
    return {octets for part in parts for octets in octets_in(part, known)}


def opens(found: set[bytes], hop: Recorded) -> bool:
    """Say whether what was found gives the layer keys of a recorded handshake, taken as the secret itself, as an X25519 key, or as the seed of an ML-KEM key."""
    keys = (hop.keys.forward.reveal(), hop.keys.backward.reveal())
    if any(key in octets for key in keys for octets in found):
        return True
    answer = hop.created[:1120]
    known = {octets for octets in found if len(octets) == 32}
    publics = [X25519PublicKey.from_public_bytes(public) for public in (hop.handshake[4:36], answer[:32])]
    shared = known | {X25519PrivateKey.from_private_bytes(octets).exchange(public) for octets in known for public in publics}
    encapsulated = known | {MLKEM768PrivateKey.from_seed_bytes(octets).decapsulate(answer[32:]) for octets in found if len(octets) == 64}
    transcript = transcript_of(hop.binding, hop.handshake, answer)
    return any(layer_keys(transcript, one, other) == hop.keys for one in encapsulated for other in shared)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Write down the two secrets of every handshake, which nobody keeps."""
    noted: list[tuple[bytes, bytes]] = []

    def note(transcript: bytes, encapsulated: bytes, shared: bytes) -> LayerKeys:
        noted.append((encapsulated, shared))
        return layer_keys(transcript, encapsulated, shared)

    monkeypatch.setattr(handshake, "layer_keys", note)
    return noted


def test_keys_of_yesterday_and_of_now_open_nothing_that_was_recorded(tmp_path: Path) -> None:
    town = Town(tmp_path)
    for epoch in EVENING:
        town.make_circuits(epoch)
        found = town.seize()
        assert len([octets for octets in found if len(octets) == 32]) > 10, "the search finds keys where there are some"
        assert {key.identity.private_bytes_raw() for key in (load_relay_keys(store)[1] for store in town.stores)} <= found
        assert [opens(found, hop) for hop in town.recorded] == [False] * len(town.recorded)
    assert len(town.recorded) == 2 * len(EVENING)


def test_what_a_relay_would_keep_of_a_handshake_would_be_found(tmp_path: Path, drawn: list[tuple[bytes, bytes]]) -> None:
    """The control of the test above: the same search, where a relay notes what it drew."""
    town = Town(tmp_path)
    town.make_circuits(EVENING[0])
    town.relays[0].diary = [drawn[0]]
    assert [opens(town.seize(), hop) for hop in town.recorded] == [True, False]


def test_a_box_that_is_taken_while_it_makes_a_hop_loses_that_hop_only(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.make_circuits(EVENING[0])
    held = town.make_circuits(EVENING[1])
    assert [opens(octets_in(held[1]), hop) for hop in town.recorded] == [False, False, False, True]


def test_neither_a_quantum_computer_nor_a_broken_mlkem_alone_opens_a_recorded_handshake(tmp_path: Path, drawn: list[tuple[bytes, bytes]]) -> None:
    """Whoever can compute X25519's secret from what was recorded still needs that of ML-KEM, and the other way round."""
    town = Town(tmp_path)
    town.make_circuits(EVENING[0])
    found, (encapsulated, shared) = town.seize(), drawn[0]
    assert [opens(found | more, town.recorded[0]) for more in ({shared}, {encapsulated}, {shared, encapsulated})] == [False, False, True]
