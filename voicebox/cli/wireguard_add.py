"""`voicebox wireguard add`: a phone away from home reaches its box, by a tunnel that leads nowhere else. [io]"""

from __future__ import annotations

import argparse
import secrets

from voicebox.cli.home import add_home, home_of
from voicebox.cli.qr import drawn
from voicebox.config.load import load_box
from voicebox.config.model import parse_server
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError
from voicebox.intercept.wireguard import BOX_NUMBER, FILE, KEY_OCTETS, NETWORK, new_tunnel, parse_tunnel
from voicebox.naming.virtual import RANGE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox wireguard add`."""
    parser.add_argument("name", metavar="NAME", help="a name for the device")
    parser.add_argument(
        "--endpoint", metavar="HOST:PORT", required=True, help="where this machine is found from elsewhere, and a UDP port that the router lets in"
    )
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Add the device, and print once what it reads."""
    home, endpoint = home_of(args), parse_server(args.endpoint)
    load_box(home)
    if endpoint is None:
        raise UsageError("--endpoint should be HOST:PORT, for example home.example.org:51820.")
    store, private = StateDirectory(home), secrets.token_bytes(KEY_OCTETS)
    tunnel = parse_tunnel(store.read_text(FILE), str(store.path(FILE))) if store.exists(FILE) else new_tunnel(secrets.token_bytes(KEY_OCTETS), endpoint[1])
    tunnel = tunnel.with_device(args.name, private, secrets.token_bytes(KEY_OCTETS))
    store.write(FILE, tunnel.serialise().encode())
    text = tunnel.device_file(args.name, private, args.endpoint, (str(RANGE),))
    print(drawn(text))
    print(
        f"{text}\nWireGuard on the device scans this, or imports it. It holds the device's key, and is not printed again. The tunnel leads to this machine alone."
    )
    print(
        f"Here: `sudo wg-quick up {store.path(FILE)}`, down and up again after each change, and {NETWORK}.{BOX_NUMBER} among `sip.listen` in box.yaml, as the device's server."
    )
    return 0
