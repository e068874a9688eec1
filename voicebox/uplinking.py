"""The uplinks of a running box: what was chosen, which of it is there, and the guards of the place at its other end. [io]

    interfaces, addresses, routes of the machine -> Uplinks, GuardsHere -> StandingCircuits

NOT here: which link leaves over which (circuits/uplinks.py), how one goes on over another (circuits/circuit.py). Spec: PROTOCOL.md §6.5, §10.5.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from voicebox.addresses import Address, AddressWatch, Route, asked_gateway, gateway, has_one_end, routes_here, uplinks_here
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.driver import CircuitDriver
from voicebox.circuits.guards import GuardSet
from voicebox.circuits.guards_here import GuardsHere
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.standing import StandingCircuits, guards_wanted
from voicebox.circuits.uplinks import MAX_UPLINKS, UPLINKS_FILE, Uplinks, parse_uplinks
from voicebox.config.model import BoxConfig
from voicebox.contacts.store import StateDirectory
from voicebox.repeating import Repeating

LOOK_EVERY_S = 1.0
"""Where the machine does not tell that something changed, and for what is silent."""


class Engine(Protocol):
    """What is asked of the engine."""

    def now_us(self) -> int: ...
    def heard(self) -> list[tuple[int, int]]: ...


def chosen_uplinks(store: StateDirectory, config: BoxConfig) -> tuple[str, ...]:
    """Return what the user of a box chose: with `voicebox uplinks`, or else in box.yaml. Raises FileProblem."""
    if store.exists(UPLINKS_FILE):
        return parse_uplinks(store.read_text(UPLINKS_FILE), str(store.path(UPLINKS_FILE)))
    return config.uplinks


class Uplinking:
    """Contract: enter() before the first circuits, use() with each set of them, watch() once; stop() ends it. network(): as the box knows it now; plane(): the engine."""

    def __init__(self, store: StateDirectory, config: BoxConfig, network: Callable[[], VerifiedNetwork], plane: Callable[[], Engine]) -> None:
        self._store, self._config, self._network, self._plane = store, config, network, plane
        self.uplinks = Uplinks(chosen_uplinks(store, config))
        self._guards_here = GuardsHere(store, config.guards, config.prefer)
        self._watch = AddressWatch(self.look)
        self._guards_of: VerifiedNetwork | None = None
        self._addresses: frozenset[Address] = frozenset()
        """Of all guards of that list, which may be thousands: read once for each list."""
        self._standing: StandingCircuits | None = None
        self._driver: CircuitDriver | None = None

    async def enter(self) -> None:
        """Find out where the box is, before it has any circuit."""
        await asyncio.gather(*(asked_gateway(uplink) for uplink in self.uplinks.chosen or (None,)))  # so that it is known in a moment
        self._see()

    def guards(self) -> dict[str | None, GuardSet]:
        """Return the guards of each uplink's place. Raises FileProblem."""
        return self._guards_here.load(guards_wanted(self._config.profile.circuits), random.SystemRandom())

    def use(self, standing: StandingCircuits, driver: CircuitDriver) -> None:
        """Keep the circuits that there are now."""
        self._standing, self._driver = standing, driver

    def watch(self, repeating: Repeating) -> None:
        """Begin to look: at each change, and each second."""
        repeating.every(LOOK_EVERY_S, self.look)
        repeating.every(LOOK_EVERY_S, self._look_for_silence)
        self._watch.start()

    def stop(self) -> None:
        """Look no more; idempotent."""
        self._watch.stop()
        self._standing = self._driver = None

    def uplink_to(self, guard: Descriptor) -> str | None:
        """Return the interface over which a guard is met, None for any. Raises HostError where it is not there."""
        return self._standing.uplink_to(guard) if self._standing is not None else None

    def look(self) -> None:
        """Let circuits go on from where this machine sends now, and take the guards of the places where it is."""
        if self._driver is None or self._standing is None:
            return
        if self._see():
            self._standing.use_guards(self.guards(), self._plane().now_us())
        self._driver.look_at_addresses()

    def _look_for_silence(self) -> None:
        if self._driver is not None and len(self.uplinks.there) == MAX_UPLINKS:
            self._driver.take_silence(self._plane().heard())

    def _see(self) -> bool:
        """Look at the machine's interfaces; return whether another set of guards is to be used."""
        chosen = self.uplinks.chosen
        if not chosen:
            return self._guards_here.enter({None: gateway()[1]})
        if self._guards_of is not (network := self._network()):
            relays = network.with_role(Role.GUARD, network.date(self._plane().now_us()))
            self._addresses = frozenset(ipaddress.ip_address(address.host) for relay in relays for address in relay.addresses)
            self._guards_of = network
        routes = [route for route in routes_here() if route.interface in chosen]
        self.uplinks.see(uplinks_here(self._addresses, routes))
        return self._guards_here.enter({uplink: self._place(uplink, routes) for uplink in chosen})

    def _place(self, uplink: str, routes: list[Route]) -> bytes:
        """Return what tells the place at the other end: the gateway, or, of a line that has none because only one can be there, its name. Empty: not known now."""
        if uplink not in self.uplinks.there:
            return b""
        return b"uplink " + uplink.encode() if has_one_end(routes, uplink) else gateway(uplink)[1]

    # ----------------------------------------------------------------------------------------------------------- questions

    def told(self) -> dict[str, int]:
        """Return what status says of it: numbers alone."""
        return {"chosen": len(self.uplinks.chosen), "there": len(self.uplinks.there)}

    @property
    def answers(self) -> Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        """Return what is asked on the control socket."""
        return {"uplinks": self._tell, "uplinks_changed": self._take}

    def _tell(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell the owner of the box, by name, what was chosen and how many links are over each; those over none of it are as the system sends."""
        over = [circuit.uplink for circuit in self._standing.all()] if self._standing is not None else []
        return {
            "chosen": list(self.uplinks.chosen),
            "there": sorted(self.uplinks.there),
            "links": {uplink: over.count(uplink) for uplink in self.uplinks.chosen},
        }

    def _take(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Take what was chosen on the disk. From this moment on nothing leaves over what was not."""
        chosen = chosen_uplinks(self._store, self._config)
        if chosen != self.uplinks.chosen:
            self.uplinks.choose(chosen)
            self.look()
        return {"done": True}
