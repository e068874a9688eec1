"""A call between two phones without any box, in a namespace of its own, captured and measured: what the network is compared with. [io]

Run as `python -m tests.interop.measured_call CODEC SECONDS DIRECTORY [DELAY_MS DROP_SHARE]`; with the last two it goes over an impaired
path. Prints the demo's JSON object, with `dropped_pct` as the path has counted it, or {"skip": reason}.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

from tests.interop.impaired_path import ImpairedPath
from voicebox.demo.capture import Capture, CaptureCounts
from voicebox.demo.datagrams import Endpoint, load_capture
from voicebox.demo.measure import Roles, measure_call
from voicebox.demo.namespace import enter_private_network
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.quality import available, quality_of_call
from voicebox.demo.report import DemoReport, json_object
from voicebox.demo.sipview import find_calls
from voicebox.demo.speech import make_speech

ADDRESS = "127.0.0.1"
CALLER, CALLEE = Endpoint(ADDRESS, 5060), Endpoint(ADDRESS, 5064)
PATH_SIP_PORT = 5068
CALLER_RTP_PORT, CALLEE_RTP_PORT = 20000, 20100
PATH_RTP_PORTS = (30000, 30100)


def main(codec: str, seconds: float, directory: Path, delay_ms: float = 0.0, drop_share: float = 0.0) -> dict[str, object]:
    """Make the call; return the report."""
    isolation = enter_private_network()
    if not isolation.private:
        return {"skip": isolation.reason}
    files = [make_speech(directory / f"{speaker}.wav", speaker, seconds + 5, codec) for speaker in (0, 1)]
    caller = phone_for(PhoneSetup("alice", None, ADDRESS, CALLER.port, CALLER_RTP_PORT, files[0], codec), directory / "alice")
    callee = phone_for(PhoneSetup("bob", None, ADDRESS, CALLEE.port, CALLEE_RTP_PORT, files[1], codec, ring_s=0.5), directory / "bob")
    path = None
    if delay_ms or drop_share:
        path = ImpairedPath(ADDRESS, PATH_SIP_PORT, CALLEE.port, PATH_RTP_PORTS, delay_ms / 1000, drop_share)
    capture = Capture(directory / "capture.pcap")
    capture.start()
    try:
        with path or contextlib.nullcontext():
            talk(caller, callee, seconds, PATH_SIP_PORT if path else CALLEE.port)
    finally:
        counts = capture.stop()
    report = read(capture.path, (caller, callee), counts)
    if path:
        report["dropped_pct"] = 100 * path.dropped / (path.passed + path.dropped)
    return report


def talk(caller: PhoneDriver, callee: PhoneDriver, seconds: float, port: int) -> None:
    """Call, talk and hang up."""
    with callee, caller:
        caller.dial(f"sip:bob@{ADDRESS}:{port}")
        caller.wait_for("connected")
        time.sleep(seconds)
        caller.hang_up()
        callee.wait_for("ended")


def read(path: Path, phones: tuple[PhoneDriver, ...], counts: CaptureCounts) -> dict[str, object]:
    """Return the report on the capture."""
    datagrams = load_capture(path)
    (call,) = find_calls(datagrams, CALLER, CALLEE)
    figures = measure_call(datagrams, call, Roles(CALLER, CALLEE))
    recordings = [heard for phone in phones if (heard := phone.heard()) is not None]
    quality = quality_of_call(datagrams, call, recordings) if available() else None
    return json_object(DemoReport(("alice", "bob"), figures.codec, 256, figures, quality, counts, real_time=False))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), *map(float, sys.argv[4:]))))
