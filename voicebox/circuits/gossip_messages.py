"""The messages by which nodes hand on the list of relays, over a TLS connection of their own (gossip_peer.py).

    client                                     server
    proof     32 octets              ->                     that it belongs to the network
                                     <-   greeting 40       unix time u64 | digest of its list: said before it knows anything of ours
    summary   whole pages            ->                     bits u8 | for each of 2^bits buckets of relays 8 octets
                                     <-   answers           whole pages each, the last says so: more u8 | bitmap of buckets | zlib of the descriptors in them
    news      whole pages            ->                     zlib of descriptors that the server lacks; of relays only, and not where there are none

A message in whole pages is `length u32 | content | zero`, a multiple of 16 384 octets long. Everything has a bound, the text behind zlib too. NOT here: what is
said when (gossip.py). Pure. Spec: PROTOCOL.md §10.6; zlib: RFC 1950; HMAC: RFC 2104.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from voicebox.errors import RemoteError

PAGE_OCTETS = 16_384
PROOF_OCTETS = 32
HELLO_NUMBER_OCTETS = 31
HELLO_OCTETS = HELLO_NUMBER_OCTETS + 32
GREETING_OCTETS = 40
BUCKET_OCTETS = 8
MIN_BITS, MAX_BITS = 6, 13
RELAYS_IN_A_BUCKET = 4
"""About so many, where the list is long enough: a relay that changed brings three others along."""
MAX_SUMMARY_OCTETS = 1 + (BUCKET_OCTETS << MAX_BITS)
ANSWER_CHARACTERS = 1 << 19
"""An answer is full from here on: about 300 relays."""
MAX_ANSWER_CHARACTERS = 8 << 20
"""Of one bucket, at worst: 20 000 relays in 64 buckets, with sixteen vouchers each."""
MAX_ANSWER_OCTETS = MAX_ANSWER_CHARACTERS
MAX_ANSWERS = 256
NEWS_CHARACTERS = 96 << 10
MAX_NEWS_OCTETS = 8 * PAGE_OCTETS
MAX_NEWS_CHARACTERS = 2 * NEWS_CHARACTERS
_LENGTH_OCTETS = 4


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says of itself. unix_s: its date; digest: of its list, 32 octets."""

    unix_s: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Summary:
    """What a client has: the digest of each bucket, by the first bits of relay ids."""

    bits: int
    buckets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a server has in some buckets. more: other answers follow; buckets: which they are; text: the descriptors."""

    more: bool
    buckets: frozenset[int]
    text: str


def hello(pin: bytes, number: bytes) -> bytes:
    """Return what a client says before TLS, so that a relay says nothing to who does not have its descriptor. number: HELLO_NUMBER_OCTETS, drawn."""
    return number + hmac.digest(pin, b"voicebox/1 gossip hello" + number, "sha256")


def records_proof(network_id: bytes, binding: bytes) -> bytes:
    """Return what a junction says in its place, which asks about records over this connection (record_peer.py); what shows who it is follows."""
    return hmac.digest(network_id, b"voicebox/1 records" + binding, "sha256")


def proof(network_id: bytes, binding: bytes) -> bytes:
    """Return the proof of belonging to a network. binding: the client's Finished of the TLS connection, as in SCRAM's channel binding (RFC 5802 §6, RFC 5929 §3).

    TLS 1.3 computes it over the whole handshake with both keys and the server's certificate (RFC 8446 §4.4.4), so it is worth nothing on another connection.
    """
    return hmac.digest(network_id, b"voicebox/1 gossip" + binding, "sha256")


def bucket_of(relay_id: bytes, bits: int) -> int:
    """Return the bucket of a relay."""
    return int.from_bytes(relay_id[:2], "big") >> (16 - bits)


def bits_for(relays: int) -> int:
    """Return how finely a list of that many relays is summed up."""
    return min(MAX_BITS, max(MIN_BITS, (relays // RELAYS_IN_A_BUCKET).bit_length()))


def list_digest(digests: Iterable[bytes]) -> bytes:
    """Return the digest of a list. digests: SHA-256 of each descriptor's text with its vouchers."""
    return hashlib.sha256(b"voicebox/1 gossip list" + b"".join(sorted(digests))).digest()


def bucket_digest(digests: Iterable[bytes]) -> bytes:
    """Return the digest of a bucket: 8 octets."""
    return hashlib.sha256(b"voicebox/1 gossip bucket" + b"".join(sorted(digests))).digest()[:BUCKET_OCTETS]


def serialise_greeting(greeting: Greeting) -> bytes:
    """Return the 40 octets."""
    return greeting.unix_s.to_bytes(8, "big") + greeting.digest


def parse_greeting(octets: bytes) -> Greeting:
    """Read the 40 octets."""
    return Greeting(int.from_bytes(octets[:8], "big"), octets[8:])


def serialise_summary(summary: Summary) -> bytes:
    """Return the content of a summary."""
    return bytes([summary.bits]) + b"".join(summary.buckets)


def parse_summary(content: bytes) -> Summary:
    """Read the content of a summary. Raises RemoteError."""
    bits = content[0] if content else 0
    if not MIN_BITS <= bits <= MAX_BITS or len(content) != 1 + (BUCKET_OCTETS << bits):
        raise RemoteError("this is no summary of a list")
    return Summary(bits, tuple(content[at : at + BUCKET_OCTETS] for at in range(1, len(content), BUCKET_OCTETS)))


def serialise_answer(answer: Answer, bits: int) -> bytes:
    """Return the content of an answer to a summary of that many bits."""
    bitmap = bytearray(1 << bits >> 3)
    for bucket in answer.buckets:
        bitmap[bucket >> 3] |= 0x80 >> (bucket & 7)
    return bytes([answer.more]) + bytes(bitmap) + packed(answer.text)


def parse_answer(content: bytes, bits: int) -> Answer:
    """Read the content of an answer. Raises RemoteError."""
    bitmap = content[1 : 1 + (1 << bits >> 3)]
    if len(bitmap) != 1 << bits >> 3 or content[0] > 1:
        raise RemoteError("this is no answer to a summary")
    buckets = frozenset(at for at in range(1 << bits) if bitmap[at >> 3] & 0x80 >> (at & 7))
    return Answer(content[0] == 1, buckets, unpacked(content[1 + len(bitmap) :], MAX_ANSWER_CHARACTERS))


def packed(text: str) -> bytes:
    """Return a text, compressed."""
    return zlib.compress(text.encode("ascii"))


def unpacked(octets: bytes, most: int) -> str:
    """Return the text again; no more than so many characters are ever unpacked. Raises RemoteError."""
    machine = zlib.decompressobj()
    try:
        text = machine.decompress(octets, most + 1)
        if len(text) > most or not machine.eof or machine.unused_data:
            raise RemoteError("a text is too long, or cut")
        return text.decode("ascii")
    except (zlib.error, UnicodeDecodeError):
        raise RemoteError("this is no compressed text") from None


def paged(content: bytes) -> bytes:
    """Return content as a message in whole pages."""
    message = len(content).to_bytes(_LENGTH_OCTETS, "big") + content
    return message + bytes(-len(message) % PAGE_OCTETS)


def octets_to_come(first_page: bytes, most: int) -> int:
    """Return how many octets follow the first page of a message. most: how long its content may be. Raises RemoteError."""
    length = int.from_bytes(first_page[:_LENGTH_OCTETS], "big")
    if length > most:
        raise RemoteError("a message is too long")
    return -(-(_LENGTH_OCTETS + length) // PAGE_OCTETS) * PAGE_OCTETS - PAGE_OCTETS


def unpaged(message: bytes) -> bytes:
    """Return the content of a whole message. Raises RemoteError."""
    end = _LENGTH_OCTETS + int.from_bytes(message[:_LENGTH_OCTETS], "big")
    if end > len(message) or message.count(0, end) != len(message) - end:
        raise RemoteError("something stands where a message is padded")
    return message[_LENGTH_OCTETS:end]
