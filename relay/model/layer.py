"""A layer: HCTR2 with AES-128, a permutation of a whole body (PROTOCOL.md §4; Crowley, Huckleberry, Biggers 2021), readable rather than fast."""

from collections.abc import Callable
from functools import reduce
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes

FIELD_POLYNOMIAL = 1 | 1 << 121 | 1 << 126 | 1 << 127 | 1 << 128  # of POLYVAL (RFC 8452 §3), bit i for x^i


class Cipher(Protocol):
    """A keyed permutation of bodies, tweaked: what the model needs of a layer, so that a faster one can take its place."""

    def encipher(self, tweak: bytes, body: bytes) -> bytes: ...
    def decipher(self, tweak: bytes, body: bytes) -> bytes: ...


CipherMaker = Callable[[bytes], Cipher]
# Makes the cipher of a key of 16 octets.


class Polyval:
    """POLYVAL under one key (RFC 8452 §3): polynomial evaluation with the product a * b * x^-128."""

    def __init__(self, key: bytes) -> None:
        power = int.from_bytes(key, "little")
        powers: list[int] = []
        for _ in range(128):
            power = (power ^ FIELD_POLYNOMIAL if power & 1 else power) >> 1
            powers.insert(0, power)  # in the end powers[i] is the key times x^(i - 128)
        self.nibbles = [[0] * 16 for _ in range(32)]  # [i][v]: the key times v * x^(4i - 128), so that a product is 32 look-ups
        for i in range(32):
            for value in range(1, 16):
                lowest = (value & -value).bit_length() - 1
                self.nibbles[i][value] = self.nibbles[i][value & (value - 1)] ^ powers[4 * i + lowest]

    def hash(self, message: bytes) -> bytes:
        """Return 16 octets for a message, filled up with zeros to whole blocks."""
        state = 0
        for start in range(0, len(message), 16):
            state ^= int.from_bytes(message[start : start + 16], "little")
            state = reduce(int.__xor__, (row[state >> 4 * i & 15] for i, row in enumerate(self.nibbles)))
        return state.to_bytes(16, "little")


def xor(left: bytes, right: bytes) -> bytes:
    """Add two strings of one length over GF(2)."""
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(left), "little")


class Hctr2:
    """HCTR2 under one AES key of 16 octets; bodies of at least 16 octets, any tweak."""

    def __init__(self, key: bytes) -> None:
        block_cipher = BlockCipher(algorithms.AES(key), modes.ECB())  # noqa: S305 -- the bare block cipher is what HCTR2 is made of
        self._encrypt, self._decrypt = block_cipher.encryptor().update, block_cipher.decryptor().update
        self._polyval = Polyval(self._encrypt(bytes(16)))
        self._whitening = self._encrypt((1).to_bytes(16, "little"))

    def encipher(self, tweak: bytes, body: bytes) -> bytes:
        """Return the image of body under (key, tweak), of the same length."""
        return self._permute(self._encrypt, tweak, body)

    def decipher(self, tweak: bytes, body: bytes) -> bytes:
        """Undo encipher: all but the block cipher is its own inverse."""
        return self._permute(self._decrypt, tweak, body)

    def _permute(self, block_cipher: Callable[[bytes], bytes], tweak: bytes, body: bytes) -> bytes:
        before = xor(body[:16], self._hash(tweak, body[16:]))
        right = self._stream(xor(before, behind := block_cipher(before)), body[16:])
        return xor(behind, self._hash(tweak, right)) + right

    def _hash(self, tweak: bytes, right: bytes) -> bytes:
        """Hash tweak and right part; the first block tells the tweak's bits and whether the last block is whole (§2 of the paper)."""
        first = (2 * 8 * len(tweak) + (3 if len(right) % 16 else 2)).to_bytes(16, "little")
        return self._polyval.hash(first + tweak + bytes(-len(tweak) % 16) + right + (b"\x01" if len(right) % 16 else b""))

    def _stream(self, seed: bytes, right: bytes) -> bytes:
        """XCTR: add the block cipher over seed + whitening + 1, 2, 3 ..., all over GF(2)."""
        start = int.from_bytes(xor(seed, self._whitening), "little")
        blocks = b"".join((start ^ i).to_bytes(16, "little") for i in range(1, -(-len(right) // 16) + 1))
        return xor(right, self._encrypt(blocks)[: len(right)])
