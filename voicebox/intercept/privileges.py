"""A process keeps two rights, and the user it works for. [io]

Sources: capabilities(7), prctl(2), capset(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os

from voicebox.errors import HostError

CAP_NET_BIND_SERVICE, CAP_NET_ADMIN = 10, 12
KEPT = (CAP_NET_BIND_SERVICE, CAP_NET_ADMIN)
"""The first because an answer to a datagram leaves from the port that the datagram went to, which may be below 1024."""
PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 24, 38, 47, 2
LAST_CAPABILITY = 63
VERSION_3 = 0x20080522


def keep_only_network(user: int, group: int) -> None:
    """Go on as this user, with KEPT and no other right; programs that this one starts have CAP_NET_ADMIN alone. Raises HostError where that cannot be."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(what: int, value: int = 0, other: int = 0) -> int:
        return int(libc.prctl(what, ctypes.c_ulong(value), ctypes.c_ulong(other), 0, 0))

    for capability in range(LAST_CAPABILITY + 1):
        if capability not in KEPT:
            prctl(PR_CAPBSET_DROP, capability)  # those that the kernel does not know, or that are not ours to drop, are none
    prctl(PR_SET_KEEPCAPS, 1)
    if (os.geteuid(), os.getegid()) != (user, group):
        with contextlib.suppress(OSError):  # where a user namespace has no groups to set
            os.setgroups([])
        try:
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
        except OSError as error:
            raise HostError(f"The helper cannot become the user whose box it is ({error.strerror}).") from None

    def kept(*rights: int) -> bool:
        bits, passed_on = sum(1 << each for each in rights), 1 << CAP_NET_ADMIN
        return not libc.capset((ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)(bits, bits, passed_on, 0, 0, 0))

    # Whoever started it without the lesser right goes without what needs it: datagrams to ports below 1024.
    if not (kept(*KEPT) or kept(CAP_NET_ADMIN)) or prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN) or prctl(PR_SET_NO_NEW_PRIVS, 1):
        raise HostError("Interception needs the right to administer the network (CAP_NET_ADMIN): start it as root, for example with sudo.")
