"""A path between two phones that delays every packet of sound and drops a seeded share: a network whose truth is known. [io]

It passes SIP on as it is, but for the port of the sound in SDP: each phone is shown a port here in place of the other's. All on one address.
"""

from __future__ import annotations

import heapq
import random
import re
import select
import socket
import threading
import time
from types import TracebackType
from typing import Self

MAX_WAITING = 10_000


class ImpairedPath:
    """Calls to sip_port go to the phone at callee_sip. media_ports: those here that stand for the caller's and the callee's sound.

    They have as many digits as the phones' own, so that no length changes. passed, dropped: packets of sound.
    """

    def __init__(self, address: str, sip_port: int, callee_sip: int, media_ports: tuple[int, int], delay_s: float, drop_share: float) -> None:
        self.passed = self.dropped = 0
        self._address, self._callee_sip, self._media_ports, self._delay_s, self._drop_share = address, callee_sip, media_ports, delay_s, drop_share
        self._phone_ports = [0, 0]
        self._rng = random.Random(4)
        self._sip, self._to_callee, self._for_caller, self._for_callee = (self._bind(port) for port in (sip_port, 0, *media_ports))
        self._caller = (address, 0)
        self._waiting: list[tuple[float, int, socket.socket, bytes, int]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _bind(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((self._address, port))
        return bound

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping = True
        self._thread.join()
        for bound in (self._sip, self._to_callee, self._for_caller, self._for_callee):
            bound.close()

    def _run(self) -> None:
        order = 0
        while not self._stopping:
            wait_s = min(0.05, max(0.0, self._waiting[0][0] - time.monotonic())) if self._waiting else 0.05
            ready, _, _ = select.select([self._sip, self._to_callee, self._for_caller, self._for_callee], [], [], wait_s)
            for bound in ready:
                octets, source = bound.recvfrom(65536)
                if bound is self._sip:
                    self._caller = source
                    self._to_callee.sendto(self._show(octets, 0), (self._address, self._callee_sip))
                elif bound is self._to_callee:
                    self._sip.sendto(self._show(octets, 1), self._caller)
                else:
                    order += 1
                    self._take_sound(bound, octets, order)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, out, octets, port = heapq.heappop(self._waiting)
                out.sendto(octets, (self._address, port))

    def _show(self, octets: bytes, sender: int) -> bytes:
        found = re.search(rb"m=audio (\d{5}) ", octets)
        if found is None:
            return octets
        self._phone_ports[sender] = int(found[1])
        return octets.replace(found[0], b"m=audio %d " % self._media_ports[sender])

    def _take_sound(self, bound: socket.socket, octets: bytes, order: int) -> None:
        if self._rng.random() < self._drop_share or len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self.passed += 1
        # What comes to the port that stands for one phone goes to that phone, from the port that stands for the other.
        out, port = (self._for_callee, self._phone_ports[0]) if bound is self._for_caller else (self._for_caller, self._phone_ports[1])
        heapq.heappush(self._waiting, (time.monotonic() + self._delay_s, order, out, octets, port))
