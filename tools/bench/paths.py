"""The part `paths` of `make bench`: what choosing and knowing relays takes, and how likely bad ones are on a path. [io]

    python -m tools.bench.paths [--boxes N]     prints one JSON object

verify: a list of so many relays with two vouchers each, made for this and really signed, is read and checked as a box does at its start, in a process of its own.
gossip: a box that knows none of them has a round with a guard (PROTOCOL.md §10.6), and then one in which nothing is new; octets of messages, without TLS and TCP.
choose: an epoch's relays are looked through (once an epoch), its junctions ranked (once an epoch), and a path with a middle is chosen (for each circuit); milliseconds of CPU.
bad: probabilities by arithmetic (circuits/exposure.py) and in a simulated year (year.py).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.networks import NOW
from tests.support.simulated import simulated_network
from tools.bench.year import EPOCHS_PER_DAY, exposed, junction_days, network_of_year, year_of_guards
from voicebox.circuits.descriptor import Role, sign_descriptor
from voicebox.circuits.exposure import bad_guard, bad_path, ever_bad_path
from voicebox.circuits.gossip import Answering, Asking, Gossip
from voicebox.circuits.gossip_messages import GREETING_OCTETS, PROOF_OCTETS, paged
from voicebox.circuits.gossip_rounds import GUARDS_ASKED
from voicebox.circuits.network import VerifiedNetwork, new_network, parse_network
from voicebox.circuits.path import Path as RelayPath
from voicebox.circuits.path import Pool, junctions_of_epoch, with_middle
from voicebox.circuits.scores import Scores
from voicebox.circuits.terms import NetworkTerms
from voicebox.circuits.voucher import vouch
from voicebox.probe.figures import percentile

SIZES = (2_000, 20_000)
SHARES_PCT = (1, 2, 5, 10, 20, 30)
CHOICES = 500
SETS = 50
BOXES = 2_000
VOUCHERS = 2


def write_network(path: Path, count: int) -> int:
    """Write a network of that many relays, all of it signed; return its octets."""
    voucher_keys = [Ed25519PrivateKey.generate() for _ in range(VOUCHERS)]
    public = tuple(sorted(key.public_key().public_bytes_raw() for key in voucher_keys))
    terms = NetworkTerms(int(NOW.timestamp()) * 1_000_000, 3600, bytes(32), True, True, VOUCHERS, public)
    network_id, until = terms.network_id, NOW + dt.timedelta(days=90)
    relays = []
    for admitted in simulated_network(count).relays:
        key = Ed25519PrivateKey.generate()
        like = admitted.descriptor
        descriptor = type(like)(key.public_key().public_bytes_raw(), 1, like.role, like.operator, like.mbit_s, like.addresses, like.link_pin, NOW, until)
        vouchers = [vouch(network_id, descriptor.vouched, NOW, until, voucher) for voucher in voucher_keys]
        relays.append(sign_descriptor(descriptor, key).with_vouchers(vouchers))
    text = new_network(terms, relays).text
    path.write_text(text)
    return len(text)


READ = """
import json, resource, sys, time
from pathlib import Path
from voicebox.circuits.network import parse_network
path = Path(sys.argv[1])
def kb():
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])
empty, began = kb(), time.process_time()
network = parse_network(path.read_text(), "network")
took = time.process_time() - began
print(json.dumps({"relays": len(network.relays), "cpu_s": round(took, 2), "kept_mb": round((kb() - empty) / 1024, 1),
                  "most_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}))
"""


def verify(count: int) -> dict[str, Any]:
    """Return what reading and checking a list takes: CPU, memory that stays, and the most that the process had; and what it takes to get it by gossip."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"
        octets = write_network(path, count)
        done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=300, check=True)
        fetched = gossip(parse_network(path.read_text(), "network"))
    return {**json.loads(done.stdout), "octets": octets, "gossip": fetched}


def gossip(network: VerifiedNetwork) -> dict[str, float]:
    """Return octets and CPU of both sides for a box's first round and a quiet one, and octets of a day of quiet ones, one an hour with each of two guards."""
    guard, box = (Gossip(each, NOW.timestamp(), 0.0) for each in (network, replace(network, by_id={})))
    found = {}
    for name in ("first", "quiet"):
        began = time.process_time()
        found[f"{name}_octets"] = float(_round(box, guard))
        found[f"{name}_cpu_s"] = round(time.process_time() - began, 3)
    assert box.network.by_id == network.by_id
    return {**found, "day_octets": found["quiet_octets"] * 24 * GUARDS_ASKED}


def _round(box: Gossip, guard: Gossip) -> int:
    asking, answering, now_s = Asking(box), Answering(guard), NOW.timestamp()
    asking.greeted(answering.greeting(now_s))
    octets = PROOF_OCTETS + GREETING_OCTETS + len(paged(asking.summary()))
    for content in answering.answers(asking.summary()):
        octets += len(paged(content))
        for text in asking.answer(content):
            asking.look(text)
        asking.take(now_s)
    asking.finish(now_s)
    assert asking.compared(now_s).kept_word
    return octets


def _each_ms(action: Callable[[int], object], times: int) -> dict[str, float]:
    took = []
    for number in range(times):
        began = time.process_time()
        action(number)
        took.append((time.process_time() - began) * 1e3)
    return {"p50_ms": round(statistics.median(took), 3), "p99_ms": round(percentile(took, 0.99), 3)}


def choose(count: int) -> dict[str, Any]:
    """Return what choosing takes."""
    network, rng = simulated_network(count), SystemRandom()
    pool, scores = Pool(network, Role.GUARD, NOW), Scores()
    guard = pool.draw(rng, lambda _relay: True)
    junctions = junctions_of_epoch(network, 1)
    assert guard is not None
    return {
        "look_through": _each_ms(lambda _number: Pool(network, Role.GUARD, NOW), 20),
        "junctions": _each_ms(lambda number: junctions_of_epoch(network, number), 20),
        "path": _each_ms(lambda _number: with_middle(pool, RelayPath(guard, junctions[0]), [guard], rng, scores.favour(pool.entropy_bits)), CHOICES),
    }


def bad(boxes: int) -> list[dict[str, Any]]:
    """Return the table, in percent: for 3 relays (guard, junction, guard) and for 4 (a middle of one's own)."""
    network, rng = network_of_year(), Random(1)
    years = [year_of_guards(network, rng) for _ in range(boxes)]
    junctions = junction_days(network)
    rows = []
    for share_pct in SHARES_PCT:
        share = share_pct / 100
        row: dict[str, Any] = {"bad_pct": share_pct, "bad_guard": {"computed": _pct(bad_guard(share))}}
        for middles in (0, 1):
            found = exposed(years, network, junctions, share, rng, middle=bool(middles), sets=SETS)
            row["bad_guard"]["simulated"] = _pct(found.bad_guard)
            row[f"relays_{3 + middles}"] = {
                "now": {"computed": _pct(bad_path(share, middles)), "simulated": _pct(found.bad_path_now)},
                "in_a_year": {"computed": _pct(ever_bad_path(share, EPOCHS_PER_DAY, middles)), "simulated": _pct(found.bad_path_in_a_year)},
            }
        rows.append(row)
    return rows


def _pct(share: float) -> float:
    return float(f"{100 * share:.3g}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=BOXES)
    given = parser.parse_args()
    print(
        json.dumps(
            {"verify": {str(count): verify(count) for count in SIZES}, "choose": {str(count): choose(count) for count in SIZES}, "bad": bad(given.boxes)}
        )
    )


if __name__ == "__main__":
    main()
