"""A tunnel of WireGuard by which a phone away from home reaches its box, and nothing else: the files of both ends. Pure.

The box's file is the whole state: what wg-quick(8) reads, with the name of each device in a comment before it. A device's private key is told once and kept nowhere here.
The tunnel leads to the box and to virtual addresses alone, so that all else of the device leaves as before. NOT here: who brings the tunnel up (wg-quick).
Sources: wg(8), wg-quick(8); RFC 7748 (keys).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.errors import FileProblem, UsageError

FILE = "voicebox1.conf"
"""Its stem is the interface's name."""
NETWORK = "10.198.18"
BOX_NUMBER, MAX_NUMBER = 1, 254
KEY_OCTETS = 32
KEEPALIVE_S = 25
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
_HEAD = re.compile(r"\[Interface\]\nPrivateKey = ([A-Za-z0-9+/]{43}=)\nAddress = 10\.198\.18\.1/24\nListenPort = (\d{1,5})\n")
_DEVICE = re.compile(r"\n# (\S+)\n\[Peer\]\nPublicKey = ([A-Za-z0-9+/]{43}=)\nPresharedKey = ([A-Za-z0-9+/]{43}=)\nAllowedIPs = 10\.198\.18\.(\d{1,3})/32\n")


@dataclass(frozen=True, slots=True)
class Device:
    """One device. public, shared: 32 octets in base64."""

    name: str
    public: str = field(repr=False)
    shared: str = field(repr=False)
    number: int


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The box's end. private: 32 octets in base64; port: UDP. A change is a new one."""

    private: str = field(repr=False)
    port: int
    devices: tuple[Device, ...] = ()

    def with_device(self, name: str, private: bytes, shared: bytes) -> Tunnel:
        """Return it with one more device; private: its key, 32 octets; shared: 32 random octets for the two. Raises UsageError."""
        if not _NAME.match(name):
            raise UsageError("A device's name is 1 to 32 letters a-z, digits and hyphens, and begins and ends with a letter or digit.")
        if any(each.name == name for each in self.devices):
            raise UsageError("There is a device of that name already; `voicebox wireguard remove` forgets it.")
        taken = {each.number for each in self.devices}
        number = next((number for number in range(BOX_NUMBER + 1, MAX_NUMBER + 1) if number not in taken), None)
        if number is None:
            raise UsageError(f"There are {MAX_NUMBER - BOX_NUMBER} devices already.")
        return Tunnel(self.private, self.port, (*self.devices, Device(name, _public(private), _text(shared), number)))

    def without_device(self, name: str) -> Tunnel:
        """Return it without a device. Raises UsageError where there is none."""
        left = tuple(each for each in self.devices if each.name != name)
        if len(left) == len(self.devices):
            raise UsageError("There is no device of that name.")
        return Tunnel(self.private, self.port, left)

    def device_file(self, name: str, private: bytes, endpoint: str, ranges: tuple[str, ...]) -> str:
        """Return what a device reads. endpoint: HOST:PORT where it finds the box from elsewhere; ranges: of virtual addresses."""
        device = next(each for each in self.devices if each.name == name)
        reached = ", ".join([f"{NETWORK}.{BOX_NUMBER}/32", *ranges])
        return (
            f"[Interface]\nPrivateKey = {_text(private)}\nAddress = {NETWORK}.{device.number}/32\n\n[Peer]\nPublicKey = {_public(base64.b64decode(self.private))}\n"
            f"PresharedKey = {device.shared}\nEndpoint = {endpoint}\nAllowedIPs = {reached}\nPersistentKeepalive = {KEEPALIVE_S}\n"
        )

    def serialise(self) -> str:
        """Return the box's file."""
        head = f"[Interface]\nPrivateKey = {self.private}\nAddress = {NETWORK}.{BOX_NUMBER}/24\nListenPort = {self.port}\n"
        devices = (
            f"\n# {each.name}\n[Peer]\nPublicKey = {each.public}\nPresharedKey = {each.shared}\nAllowedIPs = {NETWORK}.{each.number}/32\n"
            for each in self.devices
        )
        return head + "".join(devices)


def new_tunnel(private: bytes, port: int) -> Tunnel:
    """Return a tunnel without devices; private: 32 random octets."""
    return Tunnel(_text(private), port)


def parse_tunnel(text: str, path: str) -> Tunnel:
    """Read the box's file. Raises FileProblem where it is not as it was written here."""
    head = _HEAD.match(text)
    devices = [] if head is None else [Device(name, public, shared, int(number)) for name, public, shared, number in _DEVICE.findall(text)]
    tunnel = None if head is None else Tunnel(head[1], int(head[2]), tuple(devices))
    if tunnel is None or tunnel.serialise() != text:
        raise FileProblem(path, 0, "this is not what `voicebox wireguard` wrote", "Move the file away, and add the devices anew.")
    return tunnel


def _text(octets: bytes) -> str:
    assert len(octets) == KEY_OCTETS
    return base64.b64encode(octets).decode()


def _public(private: bytes) -> str:
    return _text(X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())
