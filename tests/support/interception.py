"""What tests of interception share: an ear on a wire, programs that look names up, connect and send, and the helper's process. [io]"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dnslib import DNSRecord

from tools.lab.namespaces import Namespace, wait_carries

V4, V6 = ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fd12:3456:789a::/48")
DEVICE, DEVICE_6 = "192.168.9.9", "fd00:9::9"
ETH_P_ALL, PACKET_OUTGOING, SO_RCVBUFFORCE = 3, 4, 33


@contextlib.contextmanager
def heard(place: Namespace, interface: str) -> Iterator[list[bytes]]:
    """Hear all that comes in at an interface; the frames are there once the context is left."""
    frames: list[bytes] = []
    with place.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))) as ear:
        ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        ear.bind((interface, ETH_P_ALL))
        ear.setblocking(False)
        yield frames
        time.sleep(0.2)
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, (*_, kind, _, _) = ear.recvfrom(65_536)
                if kind != PACKET_OUTGOING:
                    frames.append(frame)


def helper_of(home: Path) -> int:
    """Return the process that serves a home's helper socket."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = each.read_bytes()
            if b"voicebox.intercept.helper" in command and str(home).encode() in command:
                return int(each.parent.name)
    raise AssertionError("no helper runs")


def query(name: str, kind: str = "A") -> bytes:
    """Return a question of DNS."""
    return bytes(DNSRecord.question(name, kind).pack())


def look_up(names: list[str], resolver: str, kinds: tuple[str, ...] = ("A",)) -> None:
    """Ask for names as ordinary programs do, by UDP."""
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        for name in names:
            for kind in kinds:
                with contextlib.suppress(OSError):  # what is refused is told by the next call
                    asking.sendto(query(name, kind), (resolver, 53))


def look_up_by_tcp(names: list[str], resolver: str) -> int:
    """Ask for names by TCP, each over a connection of its own; return how many came about."""
    connections = 0
    for number, name in enumerate(names):
        asked = query(name, ("A", "AAAA")[number % 2])
        with contextlib.suppress(OSError), socket.create_connection((resolver, 53), 5) as asking:
            connections += 1
            asking.sendall(len(asked).to_bytes(2) + asked)
    return connections


@contextlib.contextmanager
def resolver_by_tcp(place: Namespace, address: str) -> Iterator[None]:
    """Let a place take connections as a resolver does; what comes over them is heard on the wire."""
    stopped = threading.Event()

    def serve() -> None:
        with contextlib.ExitStack() as kept:
            while not stopped.is_set():
                with contextlib.suppress(OSError):
                    kept.enter_context(listening.accept()[0])

    with place.run(lambda: socket.create_server((address, 53), backlog=128)) as listening:
        listening.settimeout(0.2)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


def reach(address: str, patience_s: float = 10) -> int:
    """Try to connect; return the error's number."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as program:
        program.settimeout(patience_s)
        return program.connect_ex((address, 80))


def send(address: str) -> None:
    """Send a datagram to an address."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as program, contextlib.suppress(OSError):
        program.sendto(b"datagram", (address, 5_000))


def virtual(frames: list[bytes]) -> list[bytes]:
    """Return the frames that name a suffix's name, or an address of the ranges, wherever they do."""
    v4, v6 = [bytes([198, second]) for second in (18, 19)], V6.network_address.packed[:6]
    return [
        frame
        for frame in frames
        if b"\x07privacy\0" in frame.lower() or v6 in frame[14:54] or any(frame[place : place + 2] in v4 for place in (26, 30) if frame[12:14] == b"\x08\0")
    ]


def without_identification(frame: bytes) -> bytes:
    """Return a frame without what the kernel numbers fragments by, and the header's sum over that."""
    if frame[12:14] == b"\x08\x00":
        return frame[:18] + frame[20:24] + frame[26:]
    return frame if frame[20] != 44 else frame[:58] + frame[62:]


def with_ipv6() -> None:
    """Let the namespace of this thread speak IPv6. An interface's own address is there as soon as that is up, and not when nobody has claimed it for a second."""
    for which in ("all", "default", "lo"):
        Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("0")
        Path(f"/proc/sys/net/ipv6/conf/{which}/accept_dad").write_text("0")


@dataclass
class Street:
    """The box's machine, a device of its LAN, and a line to the world."""

    host: Namespace = field(default_factory=Namespace)
    device: Namespace = field(default_factory=Namespace)
    world: Namespace = field(default_factory=Namespace)

    def __post_init__(self) -> None:
        for each in (self.host, self.device, self.world):
            each.run(with_ipv6)
        self.host.ip([f"link add lan0 type veth peer name eth0 netns {self.device.path}", f"link add wan type veth peer name street netns {self.world.path}"])
        self.host.ip(["address add 192.168.9.1/24 dev lan0", "address add fd00:9::1/64 dev lan0 nodad", "link set lan0 up"])
        self.host.ip(["address add 192.0.2.2/24 dev wan", "link set wan up", "route add default via 192.0.2.1"])
        self.device.ip([f"address add {DEVICE}/24 dev eth0", f"address add {DEVICE_6}/64 dev eth0 nodad", "link set eth0 up"])
        self.device.ip(["route add default via 192.168.9.1", "route add default via fd00:9::1"])
        self.world.ip(["address add 192.0.2.1/24 dev street", "link set street up", "route add 198.18.0.0/15 via 192.0.2.2"])
        self.host.run(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        wait_carries(self.host, "lan0")
        wait_carries(self.host, "wan")

    def close(self) -> None:
        for each in (self.host, self.device, self.world):
            each.close()
