"""A record: what one box leaves for one contact in one period, at relays that learn of neither; and what is in it, the texts that wait.

    record    place 32 | period u32 | sequence u64 | nonce 12 | sealed 1 895 | signature 64      2 015 octets, always
    sealed    ChaCha20-Poly1305 over a post of 1 879 octets
    post      version u8 = 1 | heard u64 | count u8 | count times (number u64 | flags u8 | length u16 | text) | zeros

A place is a public key that both of a pair make from what they share, anew for each period and way, so nobody else can tell that two places belong together. Whoever
has the private key, the two of the pair, can leave a record there. NOT here: who holds it (record_ring.py, record_holder.py), when it is said (record_rounds.py).
Pure; randomness is the operating system's. Spec: PROTOCOL.md §12.1, §12.2; RFC 8032, RFC 8439.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from voicebox.b2bua.events import MAX_TEXT_OCTETS
from voicebox.circuits.kdf import hkdf_expand
from voicebox.circuits.value import PERIOD_EPOCHS
from voicebox.errors import HandshakeError, RemoteError
from voicebox.sensitive import Secret

PLACE_OCTETS = 32
NONCE_OCTETS = 12
TAG_OCTETS = 16
SIGNATURE_OCTETS = 64
RECORD_OCTETS = 2_015
_HEAD = struct.Struct(">32sIQ")
SEALED_OCTETS = RECORD_OCTETS - _HEAD.size - NONCE_OCTETS - SIGNATURE_OCTETS
POST_OCTETS = SEALED_OCTETS - TAG_OCTETS
POST_VERSION = 1
_POST, _LETTER = struct.Struct(">BQB"), struct.Struct(">QBH")
PERHAPS_THERE = 1
"""Flag of a text that was said to the contact's box, which did not say that it has it."""
LIVES_PERIODS = 2
"""A record is kept in its period and in the one behind it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A text that waits. number: of its sender's, rising: Unix time in microseconds when it was kept; perhaps_there: the contact's box may have it already."""

    number: int
    text: bytes = field(repr=False)
    perhaps_there: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """What a record holds. heard: of the other's texts all up to this number have come; letters: our own, by rising numbers, as many as find room."""

    heard: int = 0
    letters: tuple[Letter, ...] = ()

    def serialise(self) -> bytes:
        """Return 1 879 octets. The oldest letters go first; what finds no room waits."""
        said, count = b"", 0
        for letter in self.letters:
            one = _LETTER.pack(letter.number, PERHAPS_THERE * letter.perhaps_there, len(letter.text)) + letter.text
            if count == 255 or _POST.size + len(said) + len(one) > POST_OCTETS:
                break
            said, count = said + one, count + 1
        return (_POST.pack(POST_VERSION, self.heard, count) + said).ljust(POST_OCTETS, b"\0")


def parse_post(octets: bytes) -> Post:
    """Read a post. Raises RemoteError for anything that serialise() does not write, and for a text that is none."""
    if len(octets) != POST_OCTETS:
        raise RemoteError("a post has the wrong length")
    version, heard, count = _POST.unpack_from(octets)
    at, last, letters = _POST.size, 0, []
    for _ in range(count if version == POST_VERSION else 0):
        if at + _LETTER.size > POST_OCTETS:
            raise RemoteError("a post ends in the midst of a text")
        number, flags, length = _LETTER.unpack_from(octets, at)
        at += _LETTER.size + length
        if not (last < number and flags <= PERHAPS_THERE and 0 < length <= MAX_TEXT_OCTETS and at <= POST_OCTETS):
            raise RemoteError("a post holds a text that does not fit")
        letters.append(Letter(number, octets[at - length : at], bool(flags)))
        last = number
    if version != POST_VERSION or any(octets[at:]):
        raise RemoteError("a post is of another version, or holds something else")
    try:
        for letter in letters:
            letter.text.decode()
    except UnicodeDecodeError:
        raise RemoteError("a post holds a text that is none") from None
    return Post(heard, tuple(letters))


@dataclass(frozen=True, slots=True)
class PlaceKeys:
    """What a pair has of one place: writer to reader, in one period."""

    period: int
    signing: Ed25519PrivateKey = field(repr=False)
    sealing: Secret

    @property
    def place(self) -> bytes:
        """Return the place: the public key, 32 octets."""
        return self.signing.public_key().public_bytes_raw()


def last_epoch_of(period: int) -> int:
    """Return the epoch whose secret a period's places follow from: the first in which nobody keeps its records any more. Until then each of the pair can hash forward to it."""
    return PERIOD_EPOCHS * (period + LIVES_PERIODS)


def place_keys(secret: Secret, period: int, writer_id: bytes, reader_id: bytes) -> PlaceKeys:
    """Return the keys of a place. secret: the pair's of last_epoch_of(period)."""
    octets = hkdf_expand(secret.reveal(), b"voicebox/1 record" + period.to_bytes(4, "big") + writer_id + reader_id, 64)
    return PlaceKeys(period, Ed25519PrivateKey.from_private_bytes(octets[:32]), Secret(octets[32:]))


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose signature was verified. sealed: with the nonce before it."""

    place: bytes = field(repr=False)
    period: int
    sequence: int
    sealed: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def serialise(self) -> bytes:
        """Return 2 015 octets."""
        return _HEAD.pack(self.place, self.period, self.sequence) + self.sealed + self.signature

    def open(self, keys: PlaceKeys) -> Post:
        """Return what is in it. Raises HandshakeError where it is of another place or was sealed by nobody who has the keys, RemoteError where that is no post."""
        if (self.place, self.period) != (keys.place, keys.period):
            raise HandshakeError("a record of another place")
        cipher, head = ChaCha20Poly1305(keys.sealing.reveal()), _HEAD.pack(self.place, self.period, self.sequence)
        try:
            return parse_post(cipher.decrypt(self.sealed[:NONCE_OCTETS], self.sealed[NONCE_OCTETS:], head))
        except InvalidTag:
            raise HandshakeError("a record does not open") from None


def _signed(network_id: bytes, head: bytes, sealed: bytes) -> bytes:
    return b"voicebox/1 record" + network_id + head + sealed


def seal_record(network_id: bytes, keys: PlaceKeys, sequence: int, post: Post) -> Record:
    """Make a record."""
    head, nonce = _HEAD.pack(keys.place, keys.period, sequence), secrets.token_bytes(NONCE_OCTETS)
    sealed = nonce + ChaCha20Poly1305(keys.sealing.reveal()).encrypt(nonce, post.serialise(), head)
    return Record(keys.place, keys.period, sequence, sealed, keys.signing.sign(_signed(network_id, head, sealed)))


def parse_record(network_id: bytes, octets: bytes) -> Record:
    """Read a record and check its signature. Raises HandshakeError."""
    if len(octets) != RECORD_OCTETS:
        raise HandshakeError("a record has the wrong length")
    place, period, sequence = _HEAD.unpack_from(octets)
    sealed, signature = octets[_HEAD.size : -SIGNATURE_OCTETS], octets[-SIGNATURE_OCTETS:]
    try:
        Ed25519PublicKey.from_public_bytes(place).verify(signature, _signed(network_id, octets[: _HEAD.size], sealed))
    except (InvalidSignature, ValueError):
        raise HandshakeError("the signature of a record does not verify") from None
    return Record(place, period, sequence, sealed, signature)
