"""What a relay decides: whom it lets in, which creates it answers, where it extends to.

A guard takes creates from boxes, over links without a certificate, and extends them to junctions of its network, or to another guard as a middle; as a middle
it takes creates from relays of its network, and extends to junctions only. A junction takes creates from relays of its network only. NOT here: cells, splices, limits of circuits (relay/core). Drivers: the engine's events. Pure: takes `now_us`, network time.
Spec: PROTOCOL.md §6.1, §7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.handshake import HopBinding, LayerKeys, answer_hop
from voicebox.circuits.kdf import sha256
from voicebox.circuits.limits import Chance, CreateLimits
from voicebox.circuits.network import VerifiedNetwork, belongs
from voicebox.circuits.shown import descriptor_shown
from voicebox.circuits.speech import RefusalReason
from voicebox.circuits.steps import Steps
from voicebox.errors import HandshakeError, HostError
from voicebox.sensitive import Secret

MAX_SEEN = 65_536
MAX_WAITING_EXTENDS = 256
RECONNECT_US = 3_000_000
"""After a link that failed, extends over it are refused for so long, so that a dead junction costs nothing."""


class RelayPlane(Protocol):
    """What a relay needs of the data plane."""

    def connect(self, address: str, port: int, pin: bytes, certificate_der: bytes, key_der: bytes, /) -> int: ...
    def disconnect(self, link: int, /) -> None: ...
    def accept(
        self,
        link: int,
        circuit: int,
        forward_key: bytes,
        backward_key: bytes,
        created: bytes,
        junction: bool,  # noqa: FBT001 - as the engine has it
        forward_step_us: int,
        backward_step_us: int,
        /,
    ) -> None: ...
    def refuse(self, link: int, circuit: int, reason: int, /) -> None: ...
    def extend(self, link: int, circuit: int, next_link: int, next_circuit: int, handshake: bytes, /) -> None: ...
    def refuse_extend(self, link: int, circuit: int, reason: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class RelayKeys:
    """The private keys of a relay. identity: what signs descriptors and answers to creates. certificate and link_key: DER, for DTLS."""

    identity: Ed25519PrivateKey = field(repr=False)
    certificate: bytes = field(repr=False)
    link_key: Secret


@dataclass(frozen=True, slots=True)
class _WaitingExtend:
    link: int
    circuit: int
    next_circuit: int
    handshake: bytes


@dataclass(slots=True)
class _Peer:
    """A relay we connect to."""

    descriptor: Descriptor
    link: int | None = None
    up: bool = False
    attempts: int = 0
    refused_until_us: int = 0
    waiting: list[_WaitingExtend] = field(default_factory=list)


class Relay:
    """The decisions of one relay."""

    def __init__(self, plane: RelayPlane, network: VerifiedNetwork, own: Descriptor, keys: RelayKeys, chance: Chance) -> None:
        self._plane, self._own, self._keys = plane, own, keys
        self.use(network)
        self._access_links: set[int] = set()
        self._relay_links: dict[int, bytes] = {}
        self._access_steps, self._relay_steps = Steps(), Steps()
        self._peers: dict[bytes, _Peer] = {}
        self._seen: dict[int, set[bytes]] = {}
        self._limits = CreateLimits(chance)
        self.closed_from: int | None = None
        """The epoch from which on no circuits are taken, for the month's cap."""
        self.counters: Counter[str] = Counter()

    def use(self, network: VerifiedNetwork) -> None:
        """Take the relays of the network; links that stand stay."""
        self._network = network
        self._pins = {relay.descriptor.link_pin: relay.descriptor for relay in network.relays}

    # --------------------------------------------------------------------------------------------------------------- links

    def link_up(self, link: int, peer_pin: bytes | None, now_us: int, *, incoming: bool, certificate: bytes | None = None) -> None:
        """A link stands. One of a certificate that is not in the network, and shows nothing that would admit it, is let go again."""
        if not incoming:
            self._outgoing_up(link)
        elif peer_pin is None:
            if self._own.role is Role.GUARD:
                self._access_links.add(link)
            else:
                self._let_go(link)
        elif self._is_member(peer_pin, certificate, now_us):
            self._relay_links[link] = peer_pin
        else:
            self._let_go(link)

    def _is_member(self, peer_pin: bytes, certificate: bytes | None, now_us: int) -> bool:
        """Return whether a relay that connects is in the list, or shows a descriptor of a guard that is admitted although the list does not have it."""
        now = self._network.date(now_us)
        listed = self._pins.get(peer_pin)
        if listed is not None:
            return listed.valid_at(now)
        shown = descriptor_shown(certificate) if certificate is not None else None
        if shown is None or shown.descriptor.link_pin != peer_pin or shown.descriptor.role is not Role.GUARD:
            return False
        return self._network.relay(shown.descriptor.relay_id) is None and belongs(self._network, shown, now)

    def link_gone(self, link: int, now_us: int) -> None:
        """A link failed or is down: extends that wait for it are refused."""
        self._access_links.discard(link)
        self._relay_links.pop(link, None)
        for peer in self._peers.values():
            if peer.link == link:
                peer.link, peer.up = None, False
                peer.refused_until_us = now_us + RECONNECT_US
                waiting, peer.waiting = peer.waiting, []
                for extend in waiting:
                    self._plane.refuse_extend(extend.link, extend.circuit, RefusalReason.UNREACHABLE)

    def take_jitter(self, asked: Iterable[tuple[int, int]]) -> None:
        """Take (link, step) of the engine as votes: of a relay one, over whichever of its links, of a box one for each link. Circuits that are accepted from now on
        get the steps of the two classes; those that stand keep theirs."""
        outgoing = {peer.link: peer.descriptor.link_pin for peer in self._peers.values()}
        for link, step_us in asked:
            if link in self._access_links:
                self._access_steps.vote(link, step_us)
            elif (pin := self._relay_links.get(link, outgoing.get(link))) is not None:
                self._relay_steps.vote(pin, step_us)

    def _let_go(self, link: int) -> None:
        self.counters["link_not_of_the_network"] += 1
        self._plane.disconnect(link)

    def _outgoing_up(self, link: int) -> None:
        for peer in self._peers.values():
            if peer.link == link:
                peer.up, peer.attempts = True, peer.attempts - 1  # this address is tried first next time too
                waiting, peer.waiting = peer.waiting, []
                for extend in waiting:
                    self._plane.extend(extend.link, extend.circuit, link, extend.next_circuit, extend.handshake)

    def links(self) -> dict[str, int]:
        """Return how many links there are, by kind."""
        outgoing = sum(peer.up for peer in self._peers.values())
        return {"access": len(self._access_links), "relay": len(self._relay_links) + outgoing}

    # ------------------------------------------------------------------------------------------------------------- creates

    def create(self, link: int, circuit: int, handshake: bytes, now_us: int) -> None:
        """Answer a create, or refuse it."""
        try:
            keys, created = self._answer(link, circuit, handshake, now_us)
        except _Refusal as refusal:
            self.counters[f"create_{refusal.reason.name.lower()}"] += 1
            self._plane.refuse(link, circuit, refusal.reason)
            return
        self.counters["created"] += 1
        junction, relay_step_us = self._own.role is Role.JUNCTION, self._relay_steps.choose()
        step_us = self._access_steps.choose() if link in self._access_links else relay_step_us
        self._plane.accept(link, circuit, keys.forward.reveal(), keys.backward.reveal(), created, junction, step_us, relay_step_us)

    def _answer(self, link: int, circuit: int, handshake: bytes, now_us: int) -> tuple[LayerKeys, bytes]:
        if link not in self._relay_links and (self._own.role is Role.JUNCTION or link not in self._access_links):
            raise _Refusal(RefusalReason.NOT_HERE)
        if not self._limits.admits(link, now_us):
            raise _Refusal(RefusalReason.BUSY)
        present = self._network.epoch_at(now_us)
        self._seen = {epoch: seen for epoch, seen in self._seen.items() if epoch >= present}
        for epoch in (present, present + 1):
            binding = HopBinding(self._network.network_id, self._own.identity, circuit, epoch)
            try:
                keys, created = answer_hop(binding, self._keys.identity, handshake)
            except HandshakeError:
                continue
            seen = self._seen.setdefault(epoch, set())
            digest = sha256(handshake)
            if digest in seen:
                raise _Refusal(RefusalReason.REPLAYED)
            if len(seen) >= MAX_SEEN or (self.closed_from is not None and epoch >= self.closed_from):
                raise _Refusal(RefusalReason.BUSY)
            seen.add(digest)
            return keys, created
        raise _Refusal(RefusalReason.HANDSHAKE)

    def close(self, now_us: int, *, reached: bool) -> None:
        """Take no new circuits from the next epoch on where the month's cap is reached, and take them again when it is not."""
        if not reached:
            self.closed_from = None
        elif self.closed_from is None:
            self.closed_from = self._network.epoch_at(now_us) + 1

    # ------------------------------------------------------------------------------------------------------------- extends

    def extend(self, link: int, circuit: int, relay_id: bytes, next_circuit: int, handshake: bytes, now_us: int) -> None:
        """Carry out an extend, over a link that is opened where there is none, or refuse it."""
        descriptor = self._network.relay(relay_id)
        if descriptor is None or not self._may_extend(link, descriptor) or not descriptor.valid_at(self._network.date(now_us)):
            self.counters["extend_unknown_relay"] += 1
            self._plane.refuse_extend(link, circuit, RefusalReason.UNKNOWN_RELAY)
            return
        peer = self._peers.setdefault(relay_id, _Peer(descriptor))
        if peer.up and peer.link is not None:
            self._plane.extend(link, circuit, peer.link, next_circuit, handshake)
        elif now_us < peer.refused_until_us or len(peer.waiting) >= MAX_WAITING_EXTENDS:
            self.counters["extend_unreachable"] += 1
            self._plane.refuse_extend(link, circuit, RefusalReason.UNREACHABLE)
        else:
            peer.waiting.append(_WaitingExtend(link, circuit, next_circuit, handshake))
            if peer.link is None:
                keys, to = self._keys, descriptor.address(peer.attempts)
                peer.attempts += 1
                try:
                    peer.link = self._plane.connect(to.host, to.port, descriptor.link_pin, keys.certificate, keys.link_key.reveal())
                except HostError:  # no such family of addresses here: another one is tried next time
                    peer.waiting.pop()
                    self._plane.refuse_extend(link, circuit, RefusalReason.UNREACHABLE)

    def _may_extend(self, link: int, to: Descriptor) -> bool:
        """Guard to junction or middle, middle to junction: so a circuit has three relays at most."""
        if self._own.role is Role.JUNCTION:
            return False
        return to.role is Role.JUNCTION or (link in self._access_links and to.relay_id != self._own.relay_id)

    def circuit_ended(self, link: int, circuit: int) -> None:
        """A circuit is gone: forget an extend of it that waits."""
        for peer in self._peers.values():
            peer.waiting = [extend for extend in peer.waiting if (extend.link, extend.circuit) != (link, circuit)]


class _Refusal(Exception):
    """Why a create is refused."""

    def __init__(self, reason: RefusalReason) -> None:
        self.reason = reason
        super().__init__(reason.name)
