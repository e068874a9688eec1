"""Gossip: relays hand the list of relays on to one another, and boxes fetch it from their guards, so that nobody has to copy it.

    client                                  server
    Asking.summary                    ->    Answering.answers        all that the server has in the buckets that differ
    Asking.look, finish                     the client takes what is new by the rules of every list (merge.py)
    Asking.news                       ->    Answering.look, finish   between relays only: the server takes what it lacks

What a peer says is never believed: a descriptor is taken for its own signature and its vouchers, one that is not in order is dropped and counted, and the rest is
taken. So a peer can only withhold. It says the digest of its list before it knows ours; from that, the answers and what is the same on both sides follows whether it
stood by it, and what of our list it does not have. NOT here: octets of messages (gossip_messages.py), connections (gossip_peer.py), when and whom to ask
(gossip_rounds.py), disks. Pure; takes `now_s`, Unix time. Spec: PROTOCOL.md §10.6.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from voicebox.circuits.descriptor import MAX_DESCRIPTOR_CHARACTERS, VerifiedDescriptor, parse_descriptor
from voicebox.circuits.gossip_messages import (
    ANSWER_CHARACTERS,
    MAX_ANSWERS,
    MAX_NEWS_CHARACTERS,
    NEWS_CHARACTERS,
    Answer,
    Greeting,
    Summary,
    bits_for,
    bucket_digest,
    bucket_of,
    list_digest,
    packed,
    parse_answer,
    parse_greeting,
    parse_summary,
    serialise_answer,
    serialise_greeting,
    serialise_summary,
    unpacked,
)
from voicebox.circuits.lines import LineReader
from voicebox.circuits.merge import merged
from voicebox.circuits.network import Admitted, VerifiedNetwork
from voicebox.circuits.value import FIRST_LINE, ValueSignature, read_value_signature
from voicebox.errors import FileProblem, RemoteError

SETTLED_UNITS = 6
"""What was in the list for so many units (gossip_rounds.py) every relay that listens has had many times over."""
EXPIRES_S = 86_400
"""Of a relay that expires within that, clocks may disagree."""
_NEXT = "\nvoicebox "
"""Where one entry ends and another begins."""


class ListState:
    """A list at one moment. digests: SHA-256 of the text of each entry, by its id: descriptors with their vouchers, and signatures of values."""

    def __init__(self, network: VerifiedNetwork, former: ListState | None = None) -> None:
        """former: the list before this one, of whose entries nothing is computed again."""
        self.network = network
        self.entries: dict[bytes, Admitted | ValueSignature] = {**network.by_id, **network.signed}
        had: dict[bytes, bytes] = {}
        if former is not None:
            had = {entry_id: former.digests[entry_id] for entry_id, entry in former.entries.items() if self.entries.get(entry_id) is entry}
        self.digests: dict[bytes, bytes] = {
            entry_id: had.get(entry_id) or hashlib.sha256(entry.text.encode()).digest() for entry_id, entry in self.entries.items()
        }

    @functools.cached_property
    def known(self) -> frozenset[bytes]:
        """Return all digests."""
        return frozenset(self.digests.values())

    @functools.cached_property
    def digest(self) -> bytes:
        """Return the digest of the list."""
        return list_digest(self.known)

    @functools.cached_property
    def summary(self) -> Summary:
        """Return the summary of the list, as finely as fits its length."""
        bits = bits_for(len(self.digests))
        return Summary(bits, tuple(bucket_digest(map(self.digests.__getitem__, relays)) for relays in self.buckets(bits)))

    def text(self, entry_id: bytes) -> str:
        """Return the text of an entry."""
        return self.entries[entry_id].text

    def buckets(self, bits: int) -> list[list[bytes]]:
        """Return the entries of each bucket."""
        found: list[list[bytes]] = [[] for _ in range(1 << bits)]
        for relay_id in self.digests:
            found[bucket_of(relay_id, bits)].append(relay_id)
        return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a peer's list is beside ours. lacking: relays that we have had for long and it has not, or not as we do; kept_word: its list was the one that it had said."""

    lacking: int
    kept_word: bool


class Gossip:
    """The list of one node. Contract: `network` is what it has now; on_changed() is called at the end of a round that has changed that."""

    def __init__(self, network: VerifiedNetwork, now_s: float, settled_s: float) -> None:
        self._settled_s = settled_s
        self.state = ListState(network)
        self._since = dict.fromkeys(self.state.digests, now_s)
        """From when on each entry was there as it is."""
        self.counters: Counter[str] = Counter()
        self.on_changed: Callable[[], None] = lambda: None

    @property
    def network(self) -> VerifiedNetwork:
        """Return the network as it is known now."""
        return self.state.network

    def use(self, network: VerifiedNetwork, now_s: float) -> None:
        """Take a network that was merged with this one."""
        before, self.state = self.state.digests, ListState(network, self.state)
        self._since = {entry_id: self._since[entry_id] if before.get(entry_id) == digest else now_s for entry_id, digest in self.state.digests.items()}

    def take(self, found: list[VerifiedDescriptor], now_s: float, signed: Iterable[ValueSignature] = ()) -> bool:
        """Merge what a peer told. Return whether that changed the list."""
        network, changes = merged(self.network, found, dt.datetime.fromtimestamp(now_s, dt.UTC), signed=signed, strict=False)
        self.counters.update(
            {"gossip_new": changes.new + changes.changed + changes.signed, "gossip_older": changes.older, "gossip_contradicting": changes.contradicting}
        )
        self.counters["gossip_refused"] += changes.refused
        if (network.by_id, network.signed) == (self.network.by_id, self.network.signed):
            return False
        self.use(network, now_s)
        return True

    def settled(self, relay_id: bytes, now_s: float) -> bool:
        """Return whether a relay has been in the list as it is for long, and will be for a while. Signatures of values never are: they come and go with their periods."""
        relay = self.network.by_id.get(relay_id)
        if relay is None:
            return False
        return now_s - self._since[relay_id] >= self._settled_s and relay.verified.descriptor.valid_until.timestamp() >= now_s + EXPIRES_S


class _Hearing:
    """What a peer tells of relays. Contract: look() at each text, take() after some, so that none takes long, and finish(), also where the peer fails."""

    def __init__(self, gossip: Gossip) -> None:
        self._gossip = gossip
        self._state = gossip.state
        self._heard: set[bytes] = set()
        self._found: list[VerifiedDescriptor] = []
        self._signed: list[ValueSignature] = []
        self._contradicting: set[bytes] = set()
        self._changed = False

    def look(self, text: str) -> None:
        """Check the text of one entry; what is known already costs a hash. Vouchers and signatures of values are checked by take()."""
        digest = hashlib.sha256(text.encode()).digest()
        self._heard.add(digest)
        if digest in self._state.known:
            return
        try:
            if text.startswith(FIRST_LINE):
                self._signed.append(_signature(text))
            else:
                self._found.append(parse_descriptor(text, "list"))
        except FileProblem:
            self._gossip.counters["gossip_refused"] += 1

    def take(self, now_s: float) -> None:
        """Take what was in order so far."""
        self._changed |= self._gossip.take(self._found, now_s, self._signed)
        for verified in self._found:
            ours = self._gossip.network.by_id.get(verified.descriptor.relay_id)
            if ours is not None and ours.verified.descriptor.sequence == verified.descriptor.sequence and ours.verified.signature != verified.signature:
                self._contradicting.add(verified.descriptor.relay_id)
        self._found, self._signed = [], []

    def finish(self, now_s: float) -> bool:
        """Take the rest. Return whether the round changed the list."""
        self.take(now_s)
        if self._changed:
            self._gossip.on_changed()
        return self._changed


def _signature(text: str) -> ValueSignature:
    reader = LineReader(text, "list", "", max_characters=MAX_DESCRIPTOR_CHARACTERS)
    said = read_value_signature(reader)
    if not reader.at_end():
        raise reader.problem("something follows the signature")
    return said


def _texts(text: str) -> Iterator[str]:
    """Cut a text into those of its descriptors; a piece that is too long for one is cut, and will be refused."""
    start = 0
    while start < len(text):
        end = text.find(_NEXT, start) + 1 or len(text)
        yield text[start : min(end, start + MAX_DESCRIPTOR_CHARACTERS + 1)]
        start = end


class Asking(_Hearing):
    """One round with a peer, at the side that began it. Contract: greeted(), send summary(), take answers until is_answered, finish(); then news() of a relay, or compared()."""

    def __init__(self, gossip: Gossip) -> None:
        super().__init__(gossip)
        self._greeting = Greeting(0, b"")
        self._differing: set[int] = set()
        self._answers = 0
        self.is_answered = False

    def greeted(self, octets: bytes) -> int:
        """Take the greeting and return the peer's Unix time in seconds."""
        self._greeting = parse_greeting(octets)
        return self._greeting.unix_s

    def summary(self) -> bytes:
        """Return the content of what is sent then."""
        return serialise_summary(self._state.summary)

    def answer(self, content: bytes) -> Iterator[str]:
        """Take an answer and return the texts to look() at. Raises RemoteError."""
        answer = parse_answer(content, self._state.summary.bits)
        self._answers += 1
        if answer.buckets & self._differing or (answer.more and (not answer.buckets or self._answers == MAX_ANSWERS)):
            raise RemoteError("an answer comes twice, or has no end")
        self._differing |= answer.buckets
        self.is_answered = not answer.more
        return _texts(answer.text)

    def news(self) -> bytes | None:
        """Return the content of what the peer is told: what it lacks, as far as it fits; None where that is nothing."""
        text = ""
        for relay_id in self._lacking():
            more = self._gossip.state.text(relay_id)
            if len(text) + len(more) > NEWS_CHARACTERS:
                break
            text += more
        return packed(text) if text else None

    def compared(self, now_s: float) -> Comparison:
        """Return how the peer's list is beside ours, after finish()."""
        bits = self._state.summary.bits
        same = {digest for relay_id, digest in self._state.digests.items() if bucket_of(relay_id, bits) not in self._differing}
        lacking = sum(self._gossip.settled(relay_id, now_s) for relay_id in self._lacking())
        return Comparison(lacking, list_digest(same | self._heard) == self._greeting.digest)

    def _lacking(self) -> list[bytes]:
        """Return the relays that the peer has not as we have them. Left out are those that contradict themselves: either side keeps what it heard first."""
        state, bits = self._gossip.state, self._state.summary.bits
        return [
            relay_id
            for relay_id, digest in state.digests.items()
            if bucket_of(relay_id, bits) in self._differing and digest not in self._heard and relay_id not in self._contradicting
        ]


class Answering(_Hearing):
    """One round with a peer, at the side that is asked. Contract: send greeting(), then all answers() to the summary; where news() come, look(), finish()."""

    def greeting(self, now_s: float) -> bytes:
        """Return the 40 octets that are said first."""
        return serialise_greeting(Greeting(int(now_s), self._state.digest))

    def answers(self, content: bytes) -> Iterator[bytes]:
        """Return the contents of the answers to a summary, one after the other. Raises RemoteError."""
        asked = parse_summary(content)
        ours = self._state.buckets(asked.bits)
        digests = [bucket_digest(map(self._state.digests.__getitem__, relays)) for relays in ours]
        differing = [at for at, digest in enumerate(digests) if digest != asked.buckets[at]]
        return self._answers(differing, ours, asked.bits)

    def _answers(self, differing: list[int], ours: list[list[bytes]], bits: int) -> Iterator[bytes]:
        buckets: set[int] = set()
        text = ""
        for at in differing:
            if len(text) >= ANSWER_CHARACTERS:
                yield serialise_answer(Answer(more=True, buckets=frozenset(buckets), text=text), bits)
                buckets, text = set(), ""
            buckets.add(at)
            text += "".join(map(self._state.text, ours[at]))
        yield serialise_answer(Answer(more=False, buckets=frozenset(buckets), text=text), bits)

    def news(self, content: bytes) -> Iterator[str]:
        """Take what the peer says that we lack, and return the texts to look() at. Raises RemoteError."""
        return _texts(unpacked(content, MAX_NEWS_CHARACTERS))
