"""Records in VIRTUAL TIME: how long a box's questions take over circuits of 19 ms a wire, and how many records are lost with half of the relays. [io]

Real cores, real octets, real holders; wires that only delay, a junction and holders a wire apart, and machines that take no time. What sockets, TLS and scheduling add is not in it.

    python -m tools.bench.records [--questions N]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.support.boxes import Box, acquaint, run
from tests.support.core_world import CoreWorld
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from tests.support.records import Holders, holding
from voicebox.circuits.record import PlaceKeys, Post, place_keys, seal_record
from voicebox.circuits.record_question import Get, Put, parse_answer
from voicebox.circuits.speech import Speech
from voicebox.probe.figures import percentile
from voicebox.sensitive import Secret

WIRE_US = 19_000
PROFILES = {"home": (2, False), "dsl": (1, False), "metered": (1, True)}
QUESTIONS, RECORDS, RELAYS = 100, 1_000, 512
DRAWS = 10
"""Of who dies."""
LONGEST_S = 20.0
SEED = 11


def keys_of(number: int) -> PlaceKeys:
    return place_keys(Secret(number.to_bytes(32, "big")), 0, b"w" * 32, b"r" * 32)


def questions_ms(profile: str, questions: int) -> dict[str, float]:
    """Return how long a box's questions took until they were answered: every second one a put, over each of its circuits in turn."""
    count, metered = PROFILES[profile]
    small = make_network(10, 2)
    world = CoreWorld(small, 5_000_000, lambda _port: WIRE_US)
    box = Box(world, "alice", count, 1, metered=metered)
    acquaint(world, [box], 20)
    holding(world, WIRE_US)
    took_ms: list[float] = []
    answers: list[int] = []
    heard = box.plane.listen

    def listen(event: tuple[object, ...]) -> None:
        heard(event)
        if event[0] == "answer" and event[4] == Speech.ANSWERED:
            answers.append(world.now_us)

    box.plane.listen = listen
    for number in range(questions):
        keys = keys_of(number // 2)
        put = Put(seal_record(small.network.network_id, keys, world.now_us, Post()))
        circuits, began_us, before = box.standing.present(), world.now_us, len(answers)
        circuits[number % len(circuits)].ask((Get(keys.place, 0) if number % 2 else put).serialise(), began_us)
        while len(answers) == before:
            run(world, [box], 0.05)
            if world.now_us - began_us > LONGEST_S * 1e6:
                raise TimeoutError("a question was never answered")
        took_ms.append((answers[-1] - began_us) / 1e3)
    return {"p50": round(percentile(took_ms, 0.5), 1), "p95": round(percentile(took_ms, 0.95), 1), "max": round(max(took_ms), 1)}


def lost(records: int) -> dict[str, float]:
    """Return how many records nobody can read right after half of all relays died, and after each was put anew."""
    world = FakeWorld(make_network(RELAYS - 12, 12), 5_000_000)
    holders, network_id, keys = Holders(world), world.small.network.network_id, [keys_of(number) for number in range(records)]

    def leave(sequence: int) -> None:
        for each in keys:
            holders.answer(bytes(32), Put(seal_record(network_id, each, sequence, Post())).serialise())

    def unreadable() -> int:
        asked = [Get(each.place, 0) for each in keys]
        return sum(parse_answer(network_id, each, holders.answer(bytes(32), each.serialise())).record is None for each in asked)

    leave(1)
    chance, each_draw = Random(SEED), list[int]()
    for _ in range(DRAWS):
        holders.dead = set(chance.sample(sorted(holders.of), RELAYS // 2))
        each_draw.append(unreadable())
    leave(2)
    found: dict[str, float] = {
        "records": records,
        "relays": RELAYS,
        "dead": len(holders.dead),
        "draws": DRAWS,
        "mean": round(statistics.mean(each_draw), 1),
        "unreadable": max(each_draw),
    }
    return {**found, "after_put": unreadable()}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    args = parser.parse_args(argv)
    found: dict[str, Any] = {
        "questions": args.questions,
        "took_ms": {profile: questions_ms(profile, args.questions) for profile in PROFILES},
        "half_die": lost(RECORDS),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
