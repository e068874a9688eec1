"""HCTR2: the published vectors, the engine's version equal to the readable one, and what a layer has to do."""

from __future__ import annotations

import json
import random
from pathlib import Path

from relay.model.layer import Hctr2, Polyval
from voicebox import _relay

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "hctr2" / "aes128.json").read_text())["vectors"]


def test_polyval_of_rfc_8452_appendix_a() -> None:
    blocks = bytes.fromhex("4f4f95668c83dfb6401762bb2d01a262d1a24ddd2721d006bbe45f20d3c9f362")
    assert Polyval(bytes.fromhex("25629347589242761d31f826ba4b757b")).hash(blocks).hex() == "f7a3b47b846119fae5b7866cf5e5b77e"


def test_published_vectors_both_ways() -> None:
    assert len(VECTORS) > 10
    for vector in VECTORS:
        key, tweak, plaintext, ciphertext = (bytes.fromhex(vector[name]) for name in ("key", "tweak", "plaintext", "ciphertext"))
        assert Hctr2(key).encipher(tweak, plaintext) == ciphertext
        assert Hctr2(key).decipher(tweak, ciphertext) == plaintext


def test_one_flipped_bit_changes_the_whole_body() -> None:
    chance = random.Random(3)
    layer, body = Hctr2(chance.randbytes(16)), chance.randbytes(248)
    enciphered = layer.encipher(b"slot", body)
    for bit in [0, 127, 128, 1983, *(chance.randrange(248 * 8) for _ in range(60))]:
        changed = layer.decipher(b"slot", (int.from_bytes(enciphered, "big") ^ 1 << bit).to_bytes(248, "big"))
        for part in (slice(0, 16), slice(16, 132), slice(132, 248)):
            share = (int.from_bytes(changed[part], "big") ^ int.from_bytes(body[part], "big")).bit_count() / len(body[part]) / 8
            assert 0.25 < share < 0.75
    assert layer.decipher(b"slos", enciphered)[:16] != body[:16]


def test_the_engine_and_the_readable_version_are_equal() -> None:
    chance = random.Random(20_231)
    keys = [chance.randbytes(16) for _ in range(1_000)]
    layers = [Hctr2(key) for key in keys]
    for count in range(10_000):
        key, layer = keys[count // 10], layers[count // 10]
        tweak = chance.randbytes(chance.choice((0, 4, 4, 4, 16, 33)))
        body = chance.randbytes(248 if count % 2 else chance.randrange(16, 300))
        enciphered = layer.encipher(tweak, body)
        assert _relay.hctr2_encipher(key, tweak, body) == enciphered
        assert _relay.hctr2_decipher(key, tweak, enciphered) == body == layer.decipher(tweak, enciphered)
