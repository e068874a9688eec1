"""Seeded mutation of octets and texts for the fuzz tests. The seed is printed with the counts; VOICEBOX_SEED=n chooses another."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence

SEED = int(os.environ.get("VOICEBOX_SEED", "1"))


def mutated(seed: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return a seed with one to three changes: bits, cuts, repeats, pieces of others, random octets."""
    octets = bytearray(seed)
    for _ in range(rng.randrange(1, 4)):
        at, length = rng.randrange(len(octets) + 1), rng.randrange(1, 40)
        match rng.randrange(7):
            case 0 if octets:
                octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
            case 1:
                del octets[at : at + length]
            case 2:
                octets[at:at] = octets[at : at + length]
            case 3:
                octets[at:at] = rng.randbytes(length)
            case 4:
                del octets[at:]
            case 5:
                other = rng.choice(others)
                begin = rng.randrange(len(other) + 1)
                octets[at : at + length] = other[begin : begin + length]
            case _:
                octets[at : at + 1] = bytes([rng.randrange(32, 127)])
    return bytes(octets)


def fuzz(
    name: str, inputs: int, seeds: Sequence[bytes], take: Callable[[bytes], object], expected: type[Exception] | tuple[type[Exception], ...]
) -> Counter[str]:
    """Feed mutated seeds to take(): each is taken or refused with one of the expected errors; anything else fails the test with the input."""
    rng = random.Random(f"{SEED} {name}")
    counts: Counter[str] = Counter()
    for _ in range(inputs):
        octets = mutated(rng.choice(seeds), seeds, rng)
        try:
            take(octets)
        except expected as problem:
            counts["refused"] += 1
            assert str(problem), "a refusal without a text"  # noqa: PT017 - what is tested is that every refusal says something
        except Exception as error:
            raise AssertionError(f"{name}, seed {SEED}: {type(error).__name__} at {octets!r}") from error
        else:
            counts["taken"] += 1
    print(f"{name}: {inputs} inputs, seed {SEED}, {dict(counts)}")
    return counts
