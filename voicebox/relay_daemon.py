"""The relay: builds every object, wires them, owns the loop. [io]

Imports nothing of the SIP side, of sound or of the terminal, so that a relay stays small. NOT here: decisions (circuits/relay.py), cells (relay/core).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from voicebox.circuits.date_watch import LOOK_EVERY_S, DateWatch
from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.gossip import Gossip
from voicebox.circuits.gossip_peer import Gossiping, GossipListener
from voicebox.circuits.gossip_rounds import Times
from voicebox.circuits.limits import MonthlyTraffic, cells_within, circuits_within, rounded
from voicebox.circuits.network import VerifiedNetwork, belongs
from voicebox.circuits.network_state import keep_network, load_network, reread_network
from voicebox.circuits.record_peer import Station
from voicebox.circuits.relay import Relay
from voicebox.circuits.relay_state import certificate_showing, load_relay_keys, remove_former_key
from voicebox.circuits.value import ValueSignature
from voicebox.circuits.values_coming import COMING_FILE, due, parse_coming
from voicebox.config.load import load_relay
from voicebox.contacts.store import StateDirectory
from voicebox.dataplane import CircuitEnded, CreateAsked, EngineFailed, Event, ExtendAsked, LinkDown, LinkFailed, LinkUp, LiveDataPlane, QuestionAsked
from voicebox.errors import HostError, UsageError
from voicebox.holding import WRITE_EVERY_S, Holding
from voicebox.repeating import Repeating

MINUTE_S = 60
TRAFFIC_FILE = "traffic"
"""The month and what came and left in it, so that a restart does not begin it anew."""


class RelayDaemon:
    """One running relay. Contract: start(), then `failed` or the caller's signal, then stop()."""

    def __init__(self, home: Path) -> None:
        store = StateDirectory(home)
        self._config = load_relay(home)
        verified, self._keys = load_relay_keys(store)
        self._own = verified.descriptor
        remove_former_key(store)
        network, now_s = load_network(store), time.time()
        is_known = network.relay(self._own.relay_id) is not None
        self._times = Times(network.terms.epoch_s, is_relay=True)
        self._gossip = Gossip(network, now_s, self._times.settled_s)
        self._store = store
        if self._config.listed and self._gossip.take([verified], now_s):  # it was renewed, and tells the others itself
            keep_network(store, self._network)
        self._coming = self._load_coming()
        if not belongs(self._network, verified, dt.datetime.now(dt.UTC)):
            raise UsageError(
                "The network does not have this relay, or what it has of it has expired. `voicebox relay renew` for another year, get the descriptor vouched for and put "
                "it into its directory, and start again; the others hear of it by themselves."
            )
        if not is_known:  # others have not heard of it either, or never will
            self._keys = replace(self._keys, certificate=certificate_showing(verified, self._keys, dt.datetime.now(dt.UTC)))
        born = self._network.terms.born_unix_us
        if time.time() * 1e6 < born:
            raise UsageError("The network begins in the future, so this machine's clock is wrong.")
        max_circuits = self._config.max_circuits
        if self._config.mbit_s is not None:
            max_circuits = min(max_circuits, circuits_within(self._config.mbit_s, self._own.role))
        text = store.read_text(TRAFFIC_FILE) if store.exists(TRAFFIC_FILE) else ""
        self._traffic = MonthlyTraffic(text, str(store.path(TRAFFIC_FILE)), self._config.gb_month)
        self._max_circuits = max_circuits
        self._dates = DateWatch(born)
        self._plane, self._relay = self._new_relay()
        self._realtime = False
        self._repeating = Repeating()
        self._rng = random.SystemRandom()
        self._gossiping = Gossiping(self._gossip, self._times, self._rng, self._peers, self._config.listen.address)
        self._listener = GossipListener(self._gossip, self._times, self._keys)
        me = Station(self._own, self._keys, lambda: self._network, self._now_us, self._config.listen.address)
        self._holding = Holding(store, me, self._listener, self._answer_ask)
        self._gossip.on_changed = self._list_changed
        self.failed = asyncio.Event()

    async def start(self) -> None:
        """Start the engine and listen. Raises HostError; then nothing runs."""
        try:
            self._start_relay()
            self._listener.start(self._config.listen.address, self._config.listen.port)
            self._gossiping.start()
            self._repeating.every(MINUTE_S, self._look_at_traffic)
            self._repeating.every(MINUTE_S, self._tell_values)
            self._repeating.every(WRITE_EVERY_S, self._holding.write)
            self._repeating.every(LOOK_EVERY_S, self._look_at_date)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Fall silent; idempotent."""
        self._repeating.stop()
        await self._gossiping.stop()
        await self._listener.stop()
        await self._holding.stop()
        self._stop_relay()

    @property
    def _network(self) -> VerifiedNetwork:
        return self._gossip.network

    def _now_us(self) -> int:
        return self._plane.now_us()

    def _answer_ask(self, link: int, circuit: int, number: int, payload: bytes) -> None:
        self._plane.answer_ask(link, circuit, number, payload)

    def _peers(self) -> list[Descriptor]:
        """Return whom to ask for the list: one relay, drawn."""
        others = [relay for relay in self._network.valid(dt.datetime.now(dt.UTC)) if relay.relay_id != self._own.relay_id]
        return [self._rng.choice(others)] if others else []

    def _load_coming(self) -> list[ValueSignature]:
        return parse_coming(self._store.read_text(COMING_FILE), str(self._store.path(COMING_FILE))) if self._store.exists(COMING_FILE) else []

    def _tell_values(self) -> None:
        """Put the signatures whose time has come into the list."""
        now_s = time.time()
        if self._gossip.take([], now_s, due(self._coming, self._network.epoch_of(dt.datetime.fromtimestamp(now_s, dt.UTC)))):
            self._list_changed()

    def _list_changed(self) -> None:
        self._relay.use(self._network)
        keep_network(self._store, self._network)

    def _new_relay(self) -> tuple[LiveDataPlane, Relay]:
        plane = LiveDataPlane(
            born_unix_us=self._network.terms.born_unix_us,
            realtime=self._config.realtime,
            max_circuits=self._max_circuits,
            limit_per_s=cells_within(self._config.mbit_s),
        )
        return plane, Relay(plane, self._network, self._own, self._keys, random.SystemRandom())

    def _start_relay(self) -> None:
        self._plane.attach(self._take)
        self._realtime = self._plane.start()
        listen = self._config.listen
        self._plane.listen(listen.address, listen.port, self._keys.certificate, self._keys.link_key.reveal())

    def _stop_relay(self) -> None:
        self._plane.detach()
        self._plane.stop()

    def _look_at_date(self) -> None:
        """Begin anew, without links and circuits, where the machine slept or its date was set."""
        if not self._dates.look(time.time(), self._plane.now_us()):
            return
        self._look_at_traffic()
        self._stop_relay()
        counters = self._relay.counters
        self._plane, self._relay = self._new_relay()
        self._relay.counters.update(counters)
        self._relay.counters["date_set"] += 1
        self._traffic.engine_began()
        self._dates.anew()
        try:
            self._start_relay()
        except HostError:
            self.failed.set()

    def _look_at_traffic(self) -> None:
        self._relay.take_jitter(self._plane.jitter())
        counters = self._plane.counters()
        cells = counters.get("link_cells_in", 0) + counters.get("link_cells_out", 0)
        reached = self._traffic.note(cells, dt.datetime.now(dt.UTC))
        self._relay.close(self._plane.now_us(), reached=reached)
        self._store.write(TRAFFIC_FILE, self._traffic.text().encode())

    def _take(self, event: Event) -> None:
        now_us = self._plane.now_us()
        match event:
            case LinkUp(link, incoming, peer_pin, certificate):
                self._relay.link_up(link, peer_pin, now_us, incoming=incoming, certificate=certificate)
            case LinkFailed(link) | LinkDown(link):
                self._relay.link_gone(link, now_us)
            case CreateAsked(link, circuit, handshake):
                self._relay.create(link, circuit, handshake, now_us)
            case ExtendAsked(link, circuit, relay_id, next_circuit, handshake):
                self._relay.extend(link, circuit, relay_id, next_circuit, handshake, now_us)
            case QuestionAsked(link, circuit, number, payload):
                self._holding.questions.ask(link, circuit, number, payload)
            case CircuitEnded(link, circuit):
                self._holding.questions.forget(link, circuit)
                self._relay.circuit_ended(link, circuit)
            case EngineFailed():
                self.failed.set()
            case _:
                pass  # what only owners are told

    def ready(self) -> bool:
        """Return whether the relay listens; it does from start() on."""
        return True

    def status(self, *, show_path: bool = False) -> dict[str, Any]:  # noqa: ARG002 - a relay has no path that it could show
        """Return what the relay says of itself: totals over all links, those of traffic rounded, which join no incoming with an outgoing address."""
        now = dt.datetime.now(dt.UTC)
        return {
            "kind": "relay",
            "ready": True,
            "role": self._own.role.value,
            "epoch": self._network.epoch_at(self._plane.now_us()),
            "links": self._relay.links(),
            "no_circuits_from_epoch": self._relay.closed_from,
            "list": {"relays": len(self._network.valid(now)), "value": self._network.value_told(now), **self._gossiping.rounds.told(time.time(), [])},
            "records": self._holding.told(),
            "realtime": self._realtime,
            "engine": rounded(self._plane.counters()),
            "counters": dict(self._relay.counters + self._gossip.counters + self._gossiping.rounds.counters + self._holding.counters),
        }

    def reload(self) -> None:
        """Take newer relays of the network. Raises FileProblem; then nothing has changed."""
        now_s = time.time()
        self._gossip.use(reread_network(self._store, self._network, dt.datetime.fromtimestamp(now_s, dt.UTC)), now_s)
        self._relay.use(self._network)
        self._coming = self._load_coming()
        self._tell_values()

    @property
    def answers(self) -> Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        """Return what else a relay can be asked: nothing that it knows."""
        return {"path": _no_paths}


def _no_paths(_asked: Mapping[str, Any]) -> dict[str, Any]:
    raise UsageError("A relay has no paths of its own; boxes choose them.")
