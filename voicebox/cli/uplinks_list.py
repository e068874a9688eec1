"""`voicebox uplinks list`: which interfaces of this machine lead to relays, and over which links leave. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress

from voicebox.addresses import drops_answers, has_interface, routes_here, uplinks_here
from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box
from voicebox.contacts.store import StateDirectory
from voicebox.control import SOCKET_NAME, ask
from voicebox.doctor.files import relay_addresses
from voicebox.uplinking import chosen_uplinks

DROPS = "; this system drops what comes over it while another one is preferred: as root, sysctl -w net.ipv4.conf.all.rp_filter=2, and the same in /etc/sysctl.d"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox uplinks list`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each interface."""
    home = home_of(args)
    chosen = chosen_uplinks(StateDirectory(home), load_box(home))
    there = uplinks_here({ipaddress.ip_address(each.host) for each in relay_addresses(home, dt.datetime.now(dt.UTC))}, routes_here())
    links = ask(home, "uplinks")["links"] if (home / SOCKET_NAME).exists() else {}
    print("Links leave over what is chosen, and over nothing else:" if chosen else "None is chosen: links leave as the system sends.")
    for name in [*chosen, *sorted(there - set(chosen))]:
        found = "leads to the relays" if name in there else "leads to no relay now" if has_interface(name) else "is not there"
        said = f"chosen, {found}" if name in chosen else f"not chosen, {found}"
        count = f"; {links[name]} link{'s' if links[name] != 1 else ''}" if name in links else ""
        print(f"{name:15} {said}{count}{DROPS if name in there and len(there) > 1 and drops_answers(name) else ''}")
    if not chosen and not there:
        print("No interface leads to a relay of the network now.")
    return 0
