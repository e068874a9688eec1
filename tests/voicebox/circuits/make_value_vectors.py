"""Write tests/vectors/value.json: two value keys, and what the junctions of some periods follow from.

Run from the repository's root as `python tests/voicebox/circuits/make_value_vectors.py` after a wanted change of PROTOCOL.md §10.7 only: the keys are drawn afresh.
What is expected is computed here from the octets of the text, not by the package.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

TARGET = Path("tests/vectors/value.json")
NETWORK_ID, SHARED = bytes(range(32)), bytes(range(100, 132))
KEYS = [rsa.generate_private_key(65_537, 2_048) for _ in range(2)]
CASES: list[tuple[str, list[int], list[int], int]] = [
    ("complete", [1, 2], [], 2),
    ("one key has not signed", [1], [2], 2),
    ("none has signed for long", [1], [], 900_000),
    ("none has ever signed", [], [], 4),
    ("a later one is complete", [1, 5], [3], 3),
]


def public(key: rsa.RSAPrivateKey) -> bytes:
    """Return the SubjectPublicKeyInfo, by whose octets keys are ordered."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def value(period: int) -> bytes:
    """Return the value of a period that all have signed."""
    number = period.to_bytes(4, "big")
    parts = [key.sign(b"voicebox/1 value" + NETWORK_ID + number, padding.PKCS1v15(), hashes.SHA256()) for key in sorted(KEYS, key=public)]
    return hashlib.sha256(b"voicebox/1 value of" + number + b"".join(parts)).digest()


def expected(complete: list[int], period: int) -> bytes:
    """Return what the junctions of a period follow from."""
    if period in complete:
        return value(period)
    before = [each for each in complete if each < period]
    former = value(max(before)) if before else SHARED
    return hashlib.sha256(b"voicebox/1 value missing" + former + period.to_bytes(4, "big")).digest()


def main() -> None:
    """Write the file."""
    pems = [key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode() for key in KEYS]
    periods = [
        {"what": what, "complete": complete, "half": half, "period": period, "expected": expected(complete, period).hex()}
        for what, complete, half, period in CASES
    ]
    TARGET.write_text(json.dumps({"keys": pems, "network_id": NETWORK_ID.hex(), "shared": SHARED.hex(), "periods": periods}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
