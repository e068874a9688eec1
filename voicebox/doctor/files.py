"""What `voicebox doctor` says of the directory of a box or a relay: whether `voicebox run` will start, and for how long that stays so. [io]

Everything is read by the code that the daemon reads it with; what that refuses is the finding, and what may not be read at all, too.
NOT here: the machine (machine.py), its network (surroundings.py, names.py), units of systemd (units.py).
"""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable
from pathlib import Path

from voicebox.circuits.descriptor import RelayAddress, Role
from voicebox.circuits.guards import SPARE_GUARDS
from voicebox.circuits.network import VerifiedNetwork, belongs
from voicebox.circuits.network_state import load_network
from voicebox.circuits.path import JUNCTIONS_PER_EPOCH
from voicebox.circuits.relay_state import load_relay_keys
from voicebox.config.load import load_box, load_phones, load_relay, load_users
from voicebox.config.model import BoxConfig
from voicebox.contacts.device_cert import ends_soon
from voicebox.contacts.device_certs import load_register
from voicebox.contacts.store import StateDirectory
from voicebox.dialplan.load import load_dnd, load_plan
from voicebox.doctor.findings import Finding, Grade
from voicebox.errors import VoiceboxError

SOON = dt.timedelta(days=14)
PRIVATE_MODE = 0o077


def is_relay(home: Path) -> bool:
    """Return whether this is a relay's directory. What may not be looked into is taken for a box's."""
    try:
        return (home / "relay.yaml").is_file()
    except OSError:
        return False


def look_at_files(home: Path, now: dt.datetime) -> list[Finding]:
    """Return the findings of a box's or relay's directory."""
    looks = _relay_looks(home, now) if is_relay(home) else _box_looks(home, now)
    return [_mode(home), *(_look(what, look) for what, look in looks)]


def relay_addresses(home: Path, now: dt.datetime) -> list[RelayAddress]:
    """Return the addresses of the relays that a directory's network has; none where it cannot be read."""
    try:
        network = load_network(StateDirectory(home))
    except (VoiceboxError, OSError):
        return []
    return [address for role in Role for relay in network.with_role(role, now) for address in relay.addresses]


def settings_of(home: Path) -> BoxConfig | None:
    """Return the settings of a box; None where they cannot be read."""
    try:
        return load_box(home)
    except (VoiceboxError, OSError):
        return None


def _look(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except VoiceboxError as problem:
        return Finding(what, Grade.PROBLEM, str(problem), quoted=True)
    except OSError as error:
        return Finding(what, Grade.PROBLEM, f"it cannot be read ({error.strerror})", "Ask as the user whose directory it is.")


def _mode(home: Path) -> Finding:
    try:
        mode = home.stat().st_mode
    except OSError as error:
        return Finding("directory", Grade.PROBLEM, f"it cannot be read ({error.strerror})", "`voicebox init --home DIR` makes one.")
    if mode & PRIVATE_MODE:
        return Finding("directory", Grade.PROBLEM, "others on this machine may look into it", "chmod 700 on it.")
    return Finding("directory", Grade.GOOD, "nobody else on this machine may look into it")


def _box_looks(home: Path, now: dt.datetime) -> list[tuple[str, Callable[[], Finding]]]:
    store = StateDirectory(home)
    return [
        ("settings", lambda: _settings(home)),
        ("identity", lambda: _identity(store, now)),
        ("network", lambda: _network_of_box(home, load_network(store), now)),
        ("contacts", lambda: _counted("contacts", len(store.load_contacts(now)), "Give each other your cards: voicebox contact card, contact add.")),
        ("certs", lambda: _device_certificates(store, now)),
        ("backup", lambda: _backup(store, now)),
        ("phones", lambda: _counted("phones", len(load_phones(home)), "Make an account for one: voicebox phone add NAME.")),
    ]


def _relay_looks(home: Path, now: dt.datetime) -> list[tuple[str, Callable[[], Finding]]]:
    store = StateDirectory(home)
    return [
        ("settings", lambda: _relay_settings(home)),
        ("descriptor", lambda: _descriptor(store, load_network(store), now)),
    ]


def _settings(home: Path) -> Finding:
    config = load_box(home)
    load_plan(home / config.dialplan, load_users(home), config.suffixes)
    load_dnd(home)
    wrong = sum(not _is_ours(endpoint.address) for endpoint in config.sip_listen)
    if wrong:
        return Finding(
            "settings", Grade.PROBLEM, f"{wrong} of the addresses in sip.listen are not this machine's, so no phone finds the box there", "Change box.yaml."
        )
    return Finding("settings", Grade.GOOD, "box.yaml and the dial plan can be used")


def _backup(store: StateDirectory, now: dt.datetime) -> Finding:
    met = {contact.contact_id for contact in store.load_contacts(now) if contact.pair is not None}
    missing = len(met - set(store.load_backed_up()))
    if not missing:
        return Finding("backup", Grade.GOOD, "no contact would be lost with this machine" if store.exists("backup.made") else "none yet")
    return Finding("backup", Grade.NOTE, f"{missing} contacts would be lost with this machine: first called after the last backup", "voicebox backup FILE.")


def _device_certificates(store: StateDirectory, now: dt.datetime) -> Finding:
    entries = [entry for entry in load_register(store) if entry.revoked is None and entry.until >= now.timestamp()]
    names = [entry.name for entry in entries]
    renewed = {name for name in names if names.count(name) > 1}
    if renewed:
        said = f"{len(renewed)} of {len(set(names))} devices and services have a newer certificate than one that still runs"
        return Finding("certs", Grade.NOTE, said, "Copy certs/NAME.pem to each; `voicebox cert list` says until when the former one is good.")
    if any(ends_soon(entry, now) for entry in entries):
        return Finding("certs", Grade.NOTE, "some of devices and services end within a month", "A box that runs renews them; or: voicebox cert issue NAME.")
    return Finding("certs", Grade.GOOD, f"{len(names)} of devices and services, none of which ends soon" if names else "none yet")


def _relay_settings(home: Path) -> Finding:
    if not _is_ours(load_relay(home).listen.address):
        advice = "Give this machine the address, or make the relay anew; where a router forwards the port, listen on the address behind it."
        return Finding("settings", Grade.PROBLEM, "the address to listen on is not this machine's", advice)
    return Finding("settings", Grade.GOOD, "relay.yaml can be used")


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
        return True


def _identity(store: StateDirectory, now: dt.datetime) -> Finding:
    store.load_identity(now)
    return Finding("identity", Grade.GOOD, "keys and certificates fit together")


def _network_of_box(home: Path, network: VerifiedNetwork, now: dt.datetime) -> Finding:
    config = load_box(home)
    guards = [relay for relay in network.with_role(Role.GUARD, now) if not config.guards or relay.operator in config.guards]
    junctions = network.with_role(Role.JUNCTION, now)
    wanted = min(config.profile.circuits, JUNCTIONS_PER_EPOCH)
    renew = "Get a newer network file, then: voicebox network update FILE."
    if len(guards) < wanted or len(junctions) < wanted:
        said = f"{len(guards)} guards and {len(junctions)} junctions are valid now, and profile {config.profile.value} wants {wanted} of each"
        return Finding("network", Grade.PROBLEM, said, renew)
    days = _days_left(network, now)
    said = f"{len(guards)} guards and {len(junctions)} junctions; the first descriptor ends in {days} days"
    if days < SOON.days:
        return Finding("network", Grade.NOTE, said, renew)
    if len(guards) < wanted + SPARE_GUARDS:
        return Finding("network", Grade.NOTE, f"{said}; there is no spare guard")
    return Finding("network", Grade.GOOD, said)


def _days_left(network: VerifiedNetwork, now: dt.datetime) -> int:
    return min((relay.descriptor.valid_until - now).days for relay in network.relays if relay.descriptor.valid_at(now))


def _descriptor(store: StateDirectory, network: VerifiedNetwork, now: dt.datetime) -> Finding:
    own, _ = load_relay_keys(store)
    listed = network.by_id.get(own.descriptor.relay_id)
    if listed is None and belongs(network, own, now):
        return Finding("descriptor", Grade.GOOD, "in no list, and admitted by its vouchers: used by those who have its card")
    if listed is None:
        return Finding("descriptor", Grade.PROBLEM, "the network does not hold it", "Get it vouched for, then start the relay again.")
    if listed.verified.descriptor != own.descriptor:
        advice = "The relay tells the others when it is started again, where it has vouchers enough."
        return Finding("descriptor", Grade.PROBLEM, "the network holds another one of this relay", advice)
    days = (listed.descriptor.valid_until - now).days
    if days < 0:
        return Finding(
            "descriptor",
            Grade.PROBLEM,
            "it or its vouchers have expired",
            "`voicebox relay renew`, get it vouched for again, then start the relay again.",
        )
    return Finding("descriptor", Grade.NOTE if days < SOON.days else Grade.GOOD, f"in the network, and good for {days} days")


def _counted(what: str, count: int, advice: str) -> Finding:
    return Finding(what, Grade.GOOD, str(count)) if count else Finding(what, Grade.NOTE, "none yet", advice)
