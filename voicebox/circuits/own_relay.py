"""The directory of a box's own relay, below the box's: settings that are drawn with it, keys and descriptor once its address is known.

    DIR/relay/             as of any relay (relay_state.py), with a seal and a backup of its own
      relay.yaml           its settings: a port and a name for its operator that were drawn, and caps
      descriptor           from when others were seen to reach it

Nothing in it names the box or is made from the box's keys. NOT here: its process (relaying.py). Spec: PROTOCOL.md §10.8.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import Path

from voicebox.circuits.descriptor import RelayAddress, Role, VerifiedDescriptor, parse_descriptor
from voicebox.circuits.network_state import NETWORK_FILE, PIN_FILE
from voicebox.circuits.relay_state import DESCRIPTOR_FILE, create_relay, renew_descriptor
from voicebox.config.load import load_relay
from voicebox.config.model import RELAY_OPTIONS, RelayConfig, example_file
from voicebox.contacts.store import StateDirectory

FOLDER = "relay"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - where it listens unless the user names an address
PORTS = range(10_000, 32_768)
"""Below those that the system gives to sockets that ask for none."""
MBIT_S, GB_MONTH = 2, 500
RENEW = dt.timedelta(days=60)
"""A descriptor that ends sooner is signed anew."""


@unique
class RelayStage(Enum):
    """How far a box's relay is, in order."""

    OFF = "off"
    UNKNOWN = "unknown"
    """Nobody has looked yet."""
    UNREACHED = "unreached"
    POSSIBLE = "possible"
    """Others reach it; the user was not asked yet."""
    UNLISTED = "unlisted"
    """It has a descriptor, and the network does not know it."""
    RUNNING = "running"
    ENDED = "ended"
    """Its process ended by itself, and is started again after a while."""


@dataclass(frozen=True, slots=True)
class OwnRelay:
    """A box's relay on disk. home: the box's directory."""

    home: Path

    @property
    def store(self) -> StateDirectory:
        """Return the relay's directory."""
        return StateDirectory(self.home / FOLDER)

    def exists(self) -> bool:
        """Return whether it was prepared."""
        return self.store.exists("relay.yaml")

    def prepare(self, address: str) -> None:
        """Draw what is its own, and write its settings. address: the local one on which it is to listen. Raises UsageError, HostError."""
        given = {
            "listen": [f"[{address}]:{secrets.choice(PORTS)}" if ":" in address else f"{address}:{secrets.choice(PORTS)}"],
            "role": [Role.GUARD.value],
            "operator": [f"home {secrets.token_hex(4)}"],
            "limit.mbit_s": [str(MBIT_S)],
            "limit.gb_month": [str(GB_MONTH)],
            "realtime": ["no"],
        }
        store = self.store
        store.create()
        store.write("relay.yaml", example_file(RELAY_OPTIONS, given, "The settings of this box's relay, where `relay: on` is in the box's.").encode())

    def config(self) -> RelayConfig:
        """Read its settings. Raises FileProblem, ProblemsFound."""
        return load_relay(self.store.home)

    def described(self) -> VerifiedDescriptor | None:
        """Return its descriptor, where it has one. Raises FileProblem."""
        store = self.store
        return parse_descriptor(store.read_text(DESCRIPTOR_FILE), str(store.path(DESCRIPTOR_FILE))) if store.exists(DESCRIPTOR_FILE) else None

    def describe(self, address: str, now: dt.datetime) -> VerifiedDescriptor:
        """Return its descriptor at an address: made with its keys the first time, signed anew where it is reached elsewhere, gives more or less, or ends soon.

        Raises FileProblem, UsageError, HostError.
        """
        store, config = self.store, self.config()
        addresses, mbit_s = (RelayAddress(address, config.listen.port),), config.mbit_s or MBIT_S
        verified = self.described()
        if verified is None:
            return create_relay(store, Role(config.role), config.operator, mbit_s, addresses, now)
        had = verified.descriptor
        if (had.addresses, had.mbit_s) == (addresses, mbit_s) and now < had.valid_until - RENEW:
            return verified
        return renew_descriptor(store, addresses, mbit_s, now)

    def share(self, box: StateDirectory) -> None:
        """Let it know the network as the box does."""
        for name in (NETWORK_FILE, PIN_FILE):
            self.store.write(name, box.read(name))
