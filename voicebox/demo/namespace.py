"""A network of the demo's own: a fresh network namespace with nothing but its loopback. [io]

An ordinary user gets one inside a user namespace that it makes for itself; root gets one without, because real-time
scheduling is refused to root of a user namespace. Where the machine forbids both, the demo goes on on the plain
loopback and says that it has no capture. NOT here: the capture (capture.py). Linux only; no external program is run.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCETHTOOL = 0x8913, 0x8914, 0x8946
IFF_UP, IFF_RUNNING = 0x1, 0x40
ETHTOOL_GSTRINGS, ETHTOOL_GSSET_INFO, ETHTOOL_SFEATURES, ETH_SS_FEATURES = 0x1B, 0x37, 0x3B, 4
ETH_GSTRING_OCTETS = 32
OFFLOADS = (
    "tx-udp-segmentation",
    "tx-generic-segmentation",
    "tx-gso-list",
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp-mangleid-segmentation",
    "tx-sctp-segmentation",
    "rx-gro",
    "rx-gro-list",
    "rx-udp-gro-forwarding",
    "rx-lro",
)
"""Kernel names of all that glues datagrams together before a capture sees them."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What enter_private_network() got. reason: why not, in words for the user; empty where it worked."""

    private: bool
    user_namespace: bool
    reason: str = ""


def enter_private_network() -> Isolation:
    """Move this process, and all it starts from now on, into a network namespace with only a loopback.

    Call it before the process has a second thread: a user namespace is refused to a process with threads.
    Nothing has changed where `private` is false.
    """
    # Tried in a child first: where unshare() works but what follows is refused (AppArmor on Ubuntu), there is no way back.
    child = os.fork()
    if child == 0:
        reason = errno.EPERM
        try:
            _enter()
            reason = 0
        except OSError as error:
            reason = error.errno or errno.EPERM
        finally:
            os._exit(reason)
    _, status = os.waitpid(child, 0)
    refused = os.waitstatus_to_exitcode(status)
    if refused:
        return Isolation(private=False, user_namespace=False, reason=f"this machine allows no namespaces ({os.strerror(abs(refused))})")
    return Isolation(private=True, user_namespace=_enter())


def _enter() -> bool:
    """Enter the namespaces and make the loopback usable; return whether there is a user namespace. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    user_id, group_id = os.geteuid(), os.getegid()
    user_namespace = bool(libc.unshare(CLONE_NEWNET))
    if user_namespace:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        _map_to_root(user_id, group_id)
    raise_loopback("lo")
    switch_offloads_off("lo")
    return user_namespace


def _map_to_root(user_id: int, group_id: int) -> None:
    # The user becomes root of the namespace: only root keeps its capabilities over exec, and the capture needs CAP_NET_RAW.
    # user_namespaces(7): setgroups must be denied before an ordinary user may write gid_map.
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user_id} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group_id} 1")


def raise_loopback(interface: str) -> None:
    """Bring an interface up. Raises OSError without CAP_NET_ADMIN over its namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", interface.encode(), 0)
        flags = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", interface.encode(), flags | IFF_UP | IFF_RUNNING))


def is_running(interface: str) -> bool:
    """Return whether an interface carries anything yet: what is sent over one that was raised a moment ago may be lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH22x", interface.encode(), 0))
    return bool(struct.unpack_from("H", answer, 16)[0] & IFF_RUNNING)


def switch_offloads_off(interface: str, features: tuple[str, ...] = OFFLOADS) -> tuple[str, ...]:
    """Switch segmentation and merging of datagrams off, so that a capture sees what a wire would. Return what could not be.

    A kernel that does not know a feature has nothing to switch off; one that keeps it on is named in the answer.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        names = _feature_names(control, interface)
        words = (len(names) + 31) // 32
        kept: list[str] = []
        for name in features:
            if name not in names:
                continue
            word, bit = divmod(names.index(name), 32)
            # struct ethtool_sfeatures: cmd, size, then (valid, requested) for each word of 32 features.
            blocks = [(1 << bit if i == word else 0, 0) for i in range(words)]
            command = struct.pack(f"II{2 * words}I", ETHTOOL_SFEATURES, words, *(value for block in blocks for value in block))
            try:
                _ethtool(control, interface, command)
            except OSError:
                kept.append(name)
    return tuple(kept)


def _feature_names(control: socket.socket, interface: str) -> list[str]:
    # struct ethtool_sset_info: cmd, reserved, sset_mask u64, data[]
    answer = _ethtool(control, interface, struct.pack("IIQI", ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0))
    count = struct.unpack_from("I", answer, 16)[0]
    # struct ethtool_gstrings: cmd, string_set, len, data[len * 32]
    answer = _ethtool(control, interface, struct.pack("III", ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count) + bytes(count * ETH_GSTRING_OCTETS))
    raw = (answer[12 + i * ETH_GSTRING_OCTETS : 12 + (i + 1) * ETH_GSTRING_OCTETS] for i in range(count))
    return [name.split(b"\0")[0].decode("ascii", "replace") for name in raw]


def _ethtool(control: socket.socket, interface: str, command: bytes) -> bytes:
    memory = array.array("B", command)
    address, _ = memory.buffer_info()
    # struct ifreq: name, then a pointer to the command, which the kernel answers in place.
    fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), address))
    return memory.tobytes()
