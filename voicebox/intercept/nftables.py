"""libnftables, as far as a table is made with it and kept as long as this process lives. [io]

The library is called and not nft(8), because a table with `flags owner` lives as long as the netlink socket that made it: so it goes with this process, however that ends.
Source: libnftables(3).
"""

from __future__ import annotations

import ctypes
import re

from voicebox.errors import HostError

LIBRARY = "libnftables.so.1"
_COUNTER = re.compile(rb"counter (\w+) \{\s*packets (\d+) ")


class Nftables:
    """One context of the library. Raises HostError where it is not installed."""

    def __init__(self) -> None:
        try:
            self._library = library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise HostError("Interception needs nftables. Install it (Debian: nftables) and try again.") from None
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        library.nft_ctx_buffer_error.argtypes = [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._context = library.nft_ctx_new(0)
        for name in ("nft_ctx_buffer_output", "nft_ctx_unbuffer_output", "nft_ctx_get_output_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        library.nft_ctx_buffer_error(self._context)  # what the library would print names addresses

    def run(self, commands: str) -> None:
        """Carry commands out, all or none. Raises HostError."""
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()):
            raise HostError(
                "The kernel does not take the rules of interception: it needs nftables with tproxy, tables that belong to a program (Linux 5.12), and the right CAP_NET_ADMIN."
            )

    def counted(self, table: str) -> dict[str, int]:
        """Return how many packets each named counter of a table has seen. Raises HostError."""
        self._library.nft_ctx_buffer_output(self._context)
        try:
            self.run(f"list counters table {table}")
            told = self._library.nft_ctx_get_output_buffer(self._context) or b""
        finally:
            self._library.nft_ctx_unbuffer_output(self._context)
        return {name.decode(): int(packets) for name, packets in _COUNTER.findall(told)}

    def close(self) -> None:
        """Let go; the table goes too."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None
