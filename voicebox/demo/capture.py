"""A capture of one interface, by a process of its own. [io]

The kernel fills a ring that is shared with this process (PACKET_RX_RING, TPACKET_V3) and stamps each frame; here a block of
frames at a time is copied into a pcap file, so that watching some thousand datagrams a second costs next to nothing and wakes
nobody at the moment a cell is due. Only incoming copies are kept: on a loopback each datagram is seen twice.
NOT here: what the frames mean (datagrams.py), the namespace (namespace.py).

Run as `python -m voicebox.demo.capture INTERFACE FILE`: prints `ready`, ends at SIGTERM or SIGINT with one line of JSON.
File: pcap, nanoseconds, link type Ethernet (draft-ietf-opsawg-pcap §4). Ring: Documentation/networking/packet_mmap.rst.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Self

from voicebox.errors import HostError

SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_TIMESTAMP, PACKET_IGNORE_OUTGOING = 5, 6, 10, 17, 23
TPACKET_V3 = 2
SOF_TIMESTAMPING_SOFTWARE = 1 << 4
SO_TIMESTAMPNS = 35
ETH_P_ALL = 3
PACKET_OUTGOING = 4
TP_STATUS_KERNEL, TP_STATUS_USER = 0, 1
BLOCK_OCTETS = 1 << 18
BLOCKS = 96
"""24 MiB. A block is handed over after RETIRE_MS at the latest, so the ring holds at least 4.8 s while this process does not run."""
RETIRE_MS = 50
POLL_MS = 200
NICENESS = 10
MAX_FILE_OCTETS = 2 << 30
"""What a forgotten capture can take at most; what comes after is counted, not written."""
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 30.0
PCAP_NANOSECOND_MAGIC = 0xA1B23C4D
LINKTYPE_ETHERNET = 1
SNAPSHOT_OCTETS = 1 << 18

_BLOCK_HEADER = struct.Struct("=II IIII")  # version, private offset; status, frames, first frame, length
_FRAME_HEADER = struct.Struct("=IIIIIIHH")  # next, seconds, nanoseconds, captured, length, status, link layer, network layer
_PKTTYPE_OFFSET = 48 + 10  # of sockaddr_ll.sll_pkttype behind TPACKET_ALIGN(sizeof(struct tpacket3_hdr))
_RECORD = struct.Struct("=IIII")


@dataclass(frozen=True, slots=True)
class CaptureCounts:
    """What a capture has seen. dropped: lost by the kernel because the ring was full; unwritten: beyond MAX_FILE_OCTETS."""

    frames: int
    dropped: int
    unwritten: int


class Ring:
    """A packet socket and its ring. Call drain() until told to stop, then close()."""

    def __init__(self, interface: str, out: BinaryIO) -> None:
        self._out = out
        self._block = 0
        self._written = 0
        self.frames = self.unwritten = self.dropped = 0
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise HostError("a capture needs CAP_NET_RAW; the demo has it inside its own namespace") from None
        try:
            self._configure(interface)
        except OSError as error:
            self._socket.close()
            raise HostError(f"no capture is possible here ({error.strerror})") from None
        out.write(struct.pack("=IHHiIII", PCAP_NANOSECOND_MAGIC, 2, 4, 0, 0, SNAPSHOT_OCTETS, LINKTYPE_ETHERNET))

    def _configure(self, interface: str) -> None:
        packet_socket = self._socket
        packet_socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        # The stamp of the moment at which the frame came in, not at which it was copied.
        packet_socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        packet_socket.setsockopt(SOL_PACKET, PACKET_TIMESTAMP, SOF_TIMESTAMPING_SOFTWARE)
        packet_socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        frame_octets = 1 << 11
        request = struct.pack("=7I", BLOCK_OCTETS, BLOCKS, frame_octets, BLOCK_OCTETS // frame_octets * BLOCKS, RETIRE_MS, 0, 0)
        packet_socket.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
        self._ring = mmap.mmap(packet_socket.fileno(), BLOCK_OCTETS * BLOCKS, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._view = memoryview(self._ring)
        packet_socket.bind((interface, ETH_P_ALL))
        self._poll = select.poll()
        self._poll.register(packet_socket, select.POLLIN | select.POLLERR)

    def drain(self, wait_ms: int) -> bool:
        """Write all blocks that are full, after waiting for one; return whether there was any."""
        self._poll.poll(wait_ms)
        taken = 0
        while taken < BLOCKS and self._take_block():
            taken += 1
        return taken > 0

    def _take_block(self) -> bool:
        base = self._block * BLOCK_OCTETS
        _, _, status, frames, offset, _ = _BLOCK_HEADER.unpack_from(self._view, base)
        if not status & TP_STATUS_USER:
            return False
        position = base + offset
        view, out, written = self._view, self._out, self._written
        for _ in range(frames):
            step, seconds, nanoseconds, captured, length, _, link_offset, _ = _FRAME_HEADER.unpack_from(view, position)
            if view[position + _PKTTYPE_OFFSET] != PACKET_OUTGOING:
                self.frames += 1
                if written < MAX_FILE_OCTETS:
                    out.write(_RECORD.pack(seconds, nanoseconds, captured, length))
                    out.write(view[position + link_offset : position + link_offset + captured])
                    written += _RECORD.size + captured
                else:
                    self.unwritten += 1
            position += step
        self._written = written
        struct.pack_into("=I", view, base + 8, TP_STATUS_KERNEL)
        self._block = (self._block + 1) % BLOCKS
        return True

    def close(self) -> CaptureCounts:
        """Take what is still in the ring, and return the counts."""
        # The kernel hands a part-filled block over after RETIRE_MS, so the first round has all that came before the end was asked for.
        # A second would never end where traffic goes on.
        time.sleep(2 * RETIRE_MS / 1_000)
        self.drain(0)
        # struct tpacket_stats_v3: packets, drops, freeze count; reading it sets it to zero.
        _, dropped, _ = struct.unpack("=III", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))
        self._view.release()
        self._ring.close()
        self._socket.close()
        self._out.flush()
        return CaptureCounts(self.frames, dropped, self.unwritten)


class Capture:
    """The capture process, seen from the demo. Use as a context: started on entry, ended on exit.

    wrapper: a command in front of the process, which becomes it. Raises HostError where this machine allows no capture. Owns `path`; the file stays.
    """

    def __init__(self, path: Path, interface: str = "lo", wrapper: tuple[str, ...] = ()) -> None:
        self.path, self._wrapper = path, wrapper
        self._interface = interface
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process and wait until it sees frames."""
        command = [*self._wrapper, sys.executable, "-m", "voicebox.demo.capture", self._interface, str(self.path)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._process = process
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
        if not readable or process.stdout.readline().strip() != "ready":
            process.kill()
            _, complaint = process.communicate()
            self._process = None
            raise HostError(complaint.strip() or "the capture did not start")

    def stop(self) -> CaptureCounts:
        """End the process after it has written all it saw."""
        process, self._process = self._process, None
        if process is None:
            return CaptureCounts(0, 0, 0)
        process.terminate()
        try:
            text, complaint = process.communicate(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise HostError("the capture did not end") from None
        if process.returncode != 0:
            raise HostError(f"the capture failed: {complaint.strip()}")
        return CaptureCounts(**json.loads(text))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def run(interface: str, path: Path) -> CaptureCounts:
    """Capture until SIGTERM or SIGINT."""
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # The ring has seconds of room: whoever keeps a schedule goes first.
    os.nice(NICENESS)
    with path.open("wb", buffering=1 << 20) as out:
        ring = Ring(interface, out)
        print("ready", flush=True)
        while not stopping:
            ring.drain(POLL_MS)
        return ring.close()


def main(arguments: list[str]) -> int:
    """Run the capture process; return its exit code."""
    if len(arguments) != 2:
        print("usage: python -m voicebox.demo.capture INTERFACE FILE", file=sys.stderr)
        return 2
    try:
        counts = run(arguments[0], Path(arguments[1]))
    except HostError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"frames": counts.frames, "dropped": counts.dropped, "unwritten": counts.unwritten}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
