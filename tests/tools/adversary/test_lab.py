"""The lab's own parts: what is kept, what is drawn, how phones read SIP, how a capture is sorted."""

from __future__ import annotations

import json
import random
import re
import socket
import struct
from pathlib import Path

from tools.adversary.callee import header_names, masked, neighbours, proxied, told_apart
from tools.adversary.live import LabNetwork, Observed, sort_wire
from tools.adversary.marks import FLOW_SLOTS, KINDS, Flow, matched
from tools.adversary.page import page
from tools.adversary.phones import header
from tools.adversary.result import Result, load, store
from tools.adversary.statistics import Control, compare
from voicebox.demo.network import EmbeddedNetwork, Plan

INVITE = (
    "INVITE sip:bob@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKxyz\r\nmax-forwards: 61\r\nFrom: <sip:a@b>;tag=77\r\nCall-ID: abc\r\nCSeq: 12 INVITE\r\n\r\n"
)


def result(area: float) -> Result:
    chance = random.Random(1)
    scores = [chance.gauss(0, 1) for _ in range(400)]
    found = compare("stumps", [score + area for score in scores[:200]], scores[200:])
    return Result("x", "a <title>", 5, 0.7, [found], [Control("fill off", 1.0, 0.9)], plots={"gaps": {"idle": [1.0, 2.0]}, "rates": {"as it is": [50.0, 50.0]}})


def test_a_result_is_kept_and_read_again(tmp_path: Path) -> None:
    assert load(tmp_path, "x") is None
    kept = store(tmp_path, result(0.0))
    assert load(tmp_path, "x") == json.loads(json.dumps(kept))
    assert kept["entry"]["verdict"] == "PASS"
    assert store(tmp_path, result(3.0))["entry"]["verdict"] == "FAIL"
    assert {"verdict", "auc", "interval", "p", "n", "seed", "controls"} <= set(kept["entry"])


def test_the_page_has_plots_and_no_script(tmp_path: Path) -> None:
    text = page({"x": store(tmp_path, result(0.0))})
    assert text.count("<svg") == 3
    assert "<script" not in text
    assert "a &lt;title&gt;" in text


def test_the_matched_filter_finds_a_mark_at_its_delay_and_none_elsewhere() -> None:
    chance = random.Random(2)
    for kind in KINDS:
        key = kind.key(chance)
        assert 0 < sum(key) < FLOW_SLOTS
        seen = [0.0] * 4 + [3_000.0 * bit + chance.gauss(0, 100) for bit in key] + [0.0] * 8
        still = [chance.gauss(0, 100) for _ in seen]
        assert matched(key, Flow(kind, key, seen, still, [], b"", [])) > 0.5
        assert matched(key, Flow(kind, key, still, still, [], b"", [])) < 0.3
        assert matched(key, Flow(kind, key, [0.0] * len(seen), [0.0] * len(seen), [], b"", [])) == 0.0


def test_masking_hides_what_is_fresh_and_nothing_else() -> None:
    fresh = INVITE.replace("xyz", "other").replace("77", "78").replace("abc", "def").replace("CSeq: 12", "CSeq: 99")
    assert masked(INVITE) == masked(fresh)
    assert masked(INVITE) != masked(INVITE.replace("61", "70"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        handed_on = proxied(INVITE, target)
    assert "Max-Forwards: 60" in handed_on
    assert len(re.findall("^Via", handed_on, re.MULTILINE)) == 2
    assert header(INVITE, "call-id") == "abc"
    assert header(INVITE, "Subject") == ""


def test_phones_are_named_by_what_differs_and_drawn_where_nothing_does() -> None:
    upper = INVITE.replace("Call-ID", "CALL-ID").replace("max-forwards: 61\r\n", "")
    calls = [(0, INVITE), (1, upper)]
    for fingerprint in (neighbours, header_names):
        assert told_apart(calls, calls, fingerprint) == 1.0
        assert told_apart(calls, [(0, INVITE), (1, INVITE)], fingerprint) == 0.5
        assert told_apart([(0, INVITE), (1, INVITE)], [(0, INVITE), (1, INVITE)], fingerprint) == 0.5


def _frame(source: str, target: str, ports: tuple[int, int], octets: int, protocol: int = 17) -> bytes:
    udp = struct.pack("!HHHH", *ports, octets + 8, 0) + bytes(octets)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(target))
    return bytes(12) + b"\x08\x00" + ip + udp


def test_a_capture_is_sorted_into_links_and_what_is_on_no_list(tmp_path: Path) -> None:
    network = LabNetwork.__new__(LabNetwork)
    EmbeddedNetwork.__init__(network, tmp_path, Plan(boxes=("one", "two"), profile="dsl"))
    plan = network.plan
    box, guard = plan.box_address("one"), plan.relay_address("guard-1")
    frames = [
        _frame(box, guard.address, (40_000, guard.port), 278),
        _frame(guard.address, box, (guard.port, 40_000), 278),
        _frame(box, "127.0.0.1", (5_060, 5_070), 400),
        _frame(box, "192.0.2.53", (40_001, 53), 30),
        _frame(box, guard.address, (0, 0), 40, protocol=1),
        _frame(guard.address, box, (0, 0), 40, protocol=1),
    ]
    records = b"".join(struct.pack("=IIII", 10, 1_000 * index, len(frame), len(frame)) + frame for index, frame in enumerate(frames))
    (tmp_path / "wire.pcap").write_bytes(bytes(24) + records)
    observed = Observed()
    sort_wire(network, tmp_path / "wire.pcap", observed, origin_ns=10 * 10**9)
    assert {way: times for way, times in observed.access.items() if times} == {("one", True): [0.0], ("one", False): [1.0]}
    assert set.union(*observed.lengths.values()) == {278}
    assert dict(observed.other) == {"UDP, not on the list": 1, "IP protocol 1": 1}
