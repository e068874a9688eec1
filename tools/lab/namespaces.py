"""Network namespaces of the lab, held by descriptors: when this process ends, they are gone. [io]

Needs CAP_NET_ADMIN and CAP_SYS_ADMIN over the namespace it runs in, which enter_private_network() gives to an ordinary user too. A veth pair
joins a node with the namespace in the middle: a TUN device would do as well, but /dev/net/tun is often root's. All nodes' interfaces have
one hardware address and ask nobody for others' (no ARP), so the internet in between may pass each frame on as it is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from voicebox.demo.namespace import CLONE_NEWNET, OFFLOADS, is_running, raise_loopback, switch_offloads_off
from voicebox.errors import HostError

INTERFACE = "wan0"
HARDWARE_ADDRESS = "02:00:00:00:00:01"
PREFIX_BITS = 16
CHECKSUMS = "tx-checksum-ip-generic"
"""Left to a device that there is not, they would be missing in a frame that the wire sends anew."""
COMMAND_TIMEOUT_S = 30.0
RUNNING_TIMEOUT_S, RUNNING_PAUSE_S = 10.0, 0.02
T = TypeVar("T")


class Namespace:
    """One network namespace with its loopback up and without IPv6."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._descriptor = _in_thread(_make)

    def run(self, inside: Callable[[], T]) -> T:
        """Call something in the namespace, in a thread of its own: sockets that it makes stay there."""

        def enter() -> T:
            _checked("setns", self._descriptor, CLONE_NEWNET)
            return inside()

        return _in_thread(enter)

    @property
    def path(self) -> str:
        """Return the path by which this process's children find the namespace."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Return what to put in front of a command, so that it runs in the namespace as the same process."""
        return ("nsenter", f"--net={self.path}", "--")

    def ip(self, lines: Iterable[str]) -> None:
        """Run commands of ip(8) in the namespace. Raises HostError with what it complained about."""
        command = [*self.wrapper, "ip", "-batch", "-"]
        done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
        if done.returncode:
            raise HostError(f"the lab's network cannot be made: {done.stderr.strip()}")

    def close(self) -> None:
        """Let go of the namespace; it ends with the last process in it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def join(node: Namespace, internet: Namespace, address: str, far_name: str) -> None:
    """Join a node with the internet; far_name: of the interface there."""
    node.ip(
        [
            f"link add {INTERFACE} address {HARDWARE_ADDRESS} type veth peer name {far_name} netns {internet.path}",
            f"address add {address}/{PREFIX_BITS} dev {INTERFACE}",
            f"link set {INTERFACE} arp off up",
        ]
    )
    kept = node.run(lambda: switch_offloads_off(INTERFACE, (CHECKSUMS, *OFFLOADS)))
    if kept:
        raise HostError(f"this kernel keeps on what the lab has to switch off: {', '.join(kept)}")
    internet.ip([f"link set {far_name} up"])


def wait_running(node: Namespace, internet: Namespace, far_name: str) -> None:
    """Wait until both ends carry what is sent: the kernel may take a second, for any number of nodes that were joined before. Raises HostError."""
    for namespace, interface in ((node, INTERFACE), (internet, far_name)):
        wait_carries(namespace, interface)


def wait_carries(namespace: Namespace, interface: str) -> None:
    """Wait until one interface carries what is sent. Raises HostError."""
    end = time.monotonic() + RUNNING_TIMEOUT_S
    while not namespace.run(lambda: is_running(interface)):
        if time.monotonic() >= end:
            raise HostError(f"the lab's interface {interface} does not come up")
        time.sleep(RUNNING_PAUSE_S)


def _make() -> int:
    _checked("unshare", CLONE_NEWNET)
    for which in ("all", "default"):
        setting = Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6")
        if setting.exists():
            setting.write_text("1")
    raise_loopback("lo")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _checked(call: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), call)(*arguments):
        number = ctypes.get_errno()
        raise HostError(f"this machine allows no network namespaces ({os.strerror(number)})")


def _in_thread(work: Callable[[], T]) -> T:
    """Call something in a thread that ends with it: unshare and setns change the thread's network only."""
    found: list[T] = []
    failed: list[BaseException] = []

    def call() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
