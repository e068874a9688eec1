"""The data plane: cells, slots, layers, splices, sound. Rust; relay/py is its source. PROTOCOL.md says what it does.

One engine has one thread that owns its sockets, and never takes the interpreter lock. Calls below hand a command to it and
return at once; what happens comes back through `events()`. Times are network time in microseconds (PROTOCOL.md §1.2).
A circuit is named by (link, circuit number on that link); hops count from 0 (the guard).
"""

from typing import Self, TypeAlias, final

from typing_extensions import disjoint_base

__all__ = ["CoreMachine", "Engine", "Srtp", "hctr2_decipher", "hctr2_encipher"]

_Event: TypeAlias = tuple[object, ...]
"""First the name, then the fields:

('link_up', link, incoming: bool, peer_pin: bytes | None, certificate: bytes | None)
                                                                  the DTLS link stands; pin only where the peer showed a certificate, which is there where it began the link
('link_failed', link)                                            a link we asked for did not come about
('link_down', link)                                              nothing valid came for 60 s, or disconnect(); its circuits are gone
relay: ('create', link, circuit, handshake: bytes)               answer with accept() or refuse()
       ('extend', link, circuit, relay_id, next_circuit, handshake)   answer with extend() or refuse_extend()
       ('ask', link, circuit, number: int, payload: bytes)       a question to the holders of records (§12.4); answer with answer_ask()
       ('circuit_ended', link, circuit)
owner: ('created', link, circuit, payload: bytes)                §3.2 created; ('refused', link, circuit, reason: int)
       ('answer', link, circuit, hop: int, kind: int, payload)   an answer of a hop, or `knocked`
       ('heard', link, circuit, key_index: int)                  first valid end-to-end cell under receive key key_index since speak()
       ('message', link, circuit, message: bytes)                of the channel, in order
       ('silent', link, circuit)                                 no valid end-to-end cell for 10 s; the engine has parted nothing by itself
       ('ended', link, circuit)                                  an own circuit is gone (its link, or close())
media: ('digit', port, code: int, duration_ms: int)
       ('taped', port, entries: bytes)                           media_tape(): for each slot `length u8 | frame`, length 0 where there was none
       ('media_failed', port)                                    media_agree(): the handshake came to nothing, and nothing passes the port
streams: ('stream_asked', stream, bundle, port, datagrams: bool, fast: bool)  a contact's box opens one, or an association, or one of fast cells: stream_attach() or door_attach() takes it, stream_reset() refuses it
       ('datagram_asked', door, datagram)                        a program sent what no association of its door is for, header and all; at most 16 a second for each door
       ('stream_taken', stream)                                  the contact's box takes one that was opened here
       ('stream_over', stream, why: int | None)                  it ended both ways, or was reset: the number of §11.3, also where stream_open() found no room
       ('bundle_wants', bundle)                                  something is to be said, and no circuit carries the bundle; once until one does
       ('bundle_broken', bundle)                                 the contact's box broke the protocol; its streams are over, and bundle_close() is due
('engine_failed',)                                               the engine's thread ended on an error of ours; every further call raises Bug
"""

@disjoint_base
class Engine:
    def __new__(
        cls,
        *,
        born_unix_us: int,
        realtime: bool = True,
        max_circuits: int = 4096,
        metered: bool = False,
        seed: bytes | None = None,
        limit_per_s: int | None = None,
        link_idle_us: int = 60_000_000,
        keeper: int | None = None,
    ) -> Self:
        """seed: 32 octets for tests; None takes the operating system's randomness. Does nothing until start(); what is asked before waits for it.

        metered: this node's own circuits have a cell in every second slot only (PROTOCOL.md §5.7), and numbers that say so.
        limit_per_s: cells that may come a second, and leave, over all links: fast ones have what slots leave of it (PROTOCOL.md §13.6).
        link_idle_us: how long nothing valid may come on a link (PROTOCOL.md §2.2); tests have less patience.
        keeper: descriptor of the pair of voicebox/keeper.py, which is duplicated; the sockets of outgoing links are handed over there.
        """

    def start(self) -> bool:
        """Start the engine's thread, once; True where SCHED_FIFO and mlock were granted (realtime=True asks for them)."""

    def stop(self) -> None:
        """Stop the thread and close all sockets; idempotent."""

    def fileno(self) -> int:
        """A descriptor that is readable while events wait."""

    def events(self) -> list[_Event]:
        """Take the waiting events, at most 1 024; the queue is bounded (65 536), what does not fit is counted."""

    def counters(self) -> dict[str, int]:
        """Totals since start: cells in and out, drops by reason, tick lateness (ticks, tick_late_p50_us, tick_late_p99_us, tick_late_max_us),
        links, links_coming, media_ports, panics, keeper_lost. Waits for the thread, at most 2 s; only panics before start() and after stop()."""

    def jitter(self) -> list[tuple[int, int]]:
        """Return (link, de-jitter step that covers 99.9 % of its cells, in microseconds) for each link on whose settled directions 3 000 cells came.

        Waits for the thread as counters() does.
        """

    def tap(self, seconds: float) -> None:
        """Reset the lateness statistics and gather them for that long (benchmarks)."""

    def now_us(self) -> int: ...

    # links
    def listen(self, address: str, port: int, certificate_der: bytes, key_der: bytes) -> int:
        """Take links on this UDP socket; return the port. Raises HostError where it cannot be bound."""

    def bind(self, address: str, port: int = 0) -> int:
        """Set the local address for outgoing links; default: that of listen(), else the wildcard. Return the port.

        One socket serves a first link to each peer; a second one to the same peer gets a port of its own. Where a box's address is the wildcard each link has a socket of
        its own, bound to the address that the system chose when it began (§6.5).
        """

    def heard(self) -> list[tuple[int, int]]:
        """Return (link, how many us ago something valid came on it) of each outgoing link that stands."""

    def source(self, address: str, uplink: str | None = None) -> str:
        """Return the address from which a box's link to a relay's would leave now, over an uplink where one is named (an interface); empty where no way leads there."""

    def connect(
        self, address: str, port: int, pin: bytes, certificate_der: bytes | None = None, key_der: bytes | None = None, uplink: str | None = None
    ) -> int:
        """Begin a link and return its number; with a certificate a relay link, without an access link. uplink: of a box's, the interface that it is held to.

        Raises HostError where nothing leads there, or there is no such interface.
        """

    def mute(self, link: int) -> None:
        """Let nothing leave on a link any more; its circuit can still be attached elsewhere."""

    def disconnect(self, link: int) -> None:
        """Forget a link, in silence."""

    # relay
    def accept(
        self,
        link: int,
        circuit: int,
        forward_key: bytes,
        backward_key: bytes,
        created: bytes,
        junction: bool,
        forward_step_us: int = 5_000,
        backward_step_us: int = 5_000,
    ) -> None:
        """Become a hop (§6.1); created: 1 184 octets. junction: whether this relay serves as one (§5.5, §6.2).

        The steps are the circuit's de-jitter steps of the grid (§5.3), forward and, at a guard, backward; with others the command is a bad one.
        """

    def refuse(self, link: int, circuit: int, reason: int) -> None: ...
    def extend(self, link: int, circuit: int, next_link: int, next_circuit: int, handshake: bytes) -> None:
        """Carry out an `extend`; the engine says create on next_link, and extended or not extended backward."""

    def refuse_extend(self, link: int, circuit: int, reason: int) -> None: ...
    def answer_ask(self, link: int, circuit: int, number: int, payload: bytes) -> None:
        """Answer a question, under the number that it came with; payload: 2 016 octets (§12.4)."""

    # owner
    def open(self, link: int, circuit: int, handshake: bytes) -> None:
        """Say create on an access link until it is answered."""

    def add_hop(self, link: int, circuit: int, forward_key: bytes, backward_key: bytes) -> None: ...
    def say(self, link: int, circuit: int, hop: int, kind: int, payload: bytes, every: int = 1, times: int = 0) -> None:
        """Say a message to a hop round and round, in every `every`-th free slot, until its answer comes, hush(), or `times` rounds (0: no limit)."""

    def hush(self, link: int, circuit: int) -> None:
        """Stop saying the present message."""

    def shift(self, link: int, delay_us: int) -> None:
        """Delay the tick of an access link by 0..20 000 us in all, 500 us a tick, of a metered node twice that (§5.4); `phase` and `settle` are asked after it."""

    def attach_circuit(self, link: int, circuit: int, next_link: int) -> None:
        """Let a circuit that stands go on over another access link, which stands and has none, and say so to its guard (§6.5); from now on its name has that link.

        The guard's answer is the event `answer` of hop 0 and kind 31.
        """

    def settle_own(self, link: int, circuit: int, step_us: int = 5_000) -> None:
        """Fix the owner's own backward due times with the next 50 cells (§5.3), with this de-jitter step of the grid."""

    def speak(self, link: int, circuit: int, send_key: bytes | None, receive_keys: list[bytes]) -> None:
        """Begin the end-to-end layer, or change its keys (counter, channel and window go on). None: send filler as yet."""

    def couple(self, link: int, circuit: int, spare_link: int, spare_circuit: int) -> None:
        """Let two circuits on which we speak carry one call (§9.5), until either is quiet or gone: the same counters, sound and channel."""

    def channel_send(self, link: int, circuit: int, message: bytes) -> None:
        """Queue a message of 1..8 192 octets (§9.2); at most 64 wait."""

    def quiet(self, link: int, circuit: int) -> None:
        """End the end-to-end layer: filler again; unbind its port; forget the channel."""

    def close(self, link: int, circuit: int) -> None:
        """Forget an own circuit."""

    # streams
    def bundle_open(self) -> int:
        """Begin a bundle of streams with a contact's box (§11), carried by no circuit, and return its number; at most 64."""

    def bundle_bind(self, bundle: int, link: int, circuit: int) -> None:
        """Let a circuit on which we speak carry a bundle, from where it was, until quiet() or another one does; its mates carry it too."""

    def bundle_close(self, bundle: int) -> None:
        """Forget a bundle; the programs at its streams see them cut off, and nothing more is told of them."""

    def bundle_idle_us(self, bundle: int) -> int:
        """For how long nothing has waited to be said. Waits for the thread as counters() does."""

    def stream_open(self, bundle: int, port: int, *, datagrams: bool = False, fast: bool = False) -> int:
        """Open a stream to the contact's service of this port, an association (§11.6), or a stream whose octets go in fast cells (§13), and return its number; `stream_taken` or `stream_over` follows."""

    def stream_attach(self, stream: int, descriptor: int, first: bytes = ..., *, whole: bool = False) -> None:
        """Connect a stream with a connected TCP socket, which is duplicated: the caller closes its own. Takes a stream that was asked for.

        first: at most 32 768 octets, said before what comes from the socket; whole: nothing that comes from the socket is said.
        Raises LocalError where the descriptor is none of such a socket.
        """

    def door_open(self, descriptor: int, *, has_headers: bool = False) -> int:
        """Take datagrams of a connected UDP socket, which is duplicated: the caller closes its own. has_headers: of SOCKS5, before each. Returns the door's number.

        Raises LocalError where the descriptor is none of such a socket.
        """

    def door_attach(self, door: int, stream: int, header: bytes, first: list[bytes]) -> None:
        """Let an association's datagrams pass a door, behind this header; first: those that are sent on it before. Takes one that was asked for.

        A door without headers has one association, and is gone with it; an association on which nothing came or went for 180 s is given up.
        """

    def door_close(self, door: int) -> None:
        """Let nothing pass a door any more, and give up its associations."""

    def stream_reset(self, stream: int, why: int) -> None:
        """Give a stream up, or refuse it. why: 1 no such service for this contact, 2 too many, 3 the service is not there, 4 given up."""

    # media
    def media_open(self, address: str) -> tuple[int, int]:
        """Bind RTP (even) and RTCP (the next odd) and return (port reference, RTP port). Raises HostError."""

    def media_remote(
        self, port: int, address: str, remote_port: int, codec: int, payload_type: int, event_payload_type: int | None, rtcp_port: int | None = None
    ) -> None:
        """Send to the phone's address and hear nobody else. rtcp_port: where its RTCP goes; remote_port for both on one (RFC 5761), None for the next."""

    def media_echo(self, port: int, codec: int, payload_type: int) -> None:
        """Let the port be its own phone: what a circuit brings goes back into it. Not for a port that is joined: there it would go round without end."""

    def media_protect(self, port: int, suite: str | None, send_key: bytes, receive_key: bytes) -> None:
        """Let nothing but SRTP and SRTCP pass from now on (RFC 3711, RFC 7714); None: in the clear. A key in use already goes on where it is.

        suite: its name in SDP, of AES_CM_128_HMAC_SHA1_80 and _32, AEAD_AES_128_GCM and _256. Keys: master key and salt, 30, 28 or 44 octets;
        they are erased with the port, or with the call of this that brings others.
        """

    def media_identify(self, port: int) -> bytes:
        """Make the key and the certificate that the port shows in handshakes, and return its SHA-256: 32 octets. Nothing else shows it."""

    def media_agree(self, port: int, active: bool, hash: str, fingerprint: bytes) -> None:  # noqa: A002 - the word of SDP
        """Let nothing pass but SRTP and SRTCP under the keys of handshakes with this phone (RFC 5764), which begin with media_remote(); active: the port
        says hello. hash, fingerprint: of the certificate that the phone must show, sha-256, sha-384 or sha-512. What was agreed before, in the same
        words, goes on. `media_failed` is told where there will be no sound.
        """

    def media_packets(self, port: int, packet_ms: int) -> None:
        """Send the phone packets of 10, 20, 30, 40, 50 or 60 ms; 20 until then, and of Opus always."""

    def media_direction(self, port: int, to_phone: bool, from_phone: bool) -> None: ...
    def media_bind(self, port: int, link: int, circuit: int, codec: int) -> None:
        """Connect a port with a circuit's end-to-end layer, both ways."""

    def media_join(self, port: int, other: int, codec: int) -> None:
        """Connect two ports with each other, or one with itself: each frame goes on at once as fresh RTP, through no circuit."""

    def media_play(self, port: int, codec: int, frame_octets: int, frames: bytes) -> None:
        """Play frames of the box's own to the phone, one in each slot from the next on; at most 10 000. Ends what the port was connected with; one that is bound
        to a circuit stays so, and plays into it.
        """

    def media_machine(self) -> int:
        """Open a port that faces no phone, but the box itself, and return its reference: for media_bind(), media_play() into the circuit, media_tape()."""

    def media_tape(self, port: int, slots: int) -> None:
        """Keep what the port's circuit brings, for so many slots from now on, at most 10 000; 0 ends that. It is told by `taped`, 10 slots at a time."""

    def media_unbind(self, port: int) -> None: ...
    def media_digit(self, port: int, code: int, duration_ms: int) -> None: ...
    def media_close(self, port: int) -> None: ...

def hctr2_encipher(key: bytes, tweak: bytes, body: bytes) -> bytes:
    """The layer permutation (§4): key 16, body at least 16 octets."""

def hctr2_decipher(key: bytes, tweak: bytes, body: bytes) -> bytes: ...

@final
class Srtp:
    """SRTP of one phone driven by hand, as a media port has it: for the comparison with libsrtp."""

    def __new__(cls, suite: str, send_key: bytes, receive_key: bytes) -> Self:
        """As for Engine.media_protect."""

    def protect(self, packet: bytes) -> bytes | None:
        """Return the protected form of an RTP or RTCP packet; None where it must not be sent."""

    def unprotect(self, packet: bytes) -> bytes | None:
        """Return the RTP or RTCP packet in a protected one; None where it is to be dropped."""

@final
class CoreMachine:
    """The engine's core driven by hand, in virtual time: for the comparison with the model and for simulations."""

    def __new__(cls, seed: bytes, max_circuits: int = 4096, metered: bool = False) -> Self:
        """seed: 32 octets; the core's randomness is SHA-256(seed | 0 u64), SHA-256(seed | 1 u64), ..."""

    def handle(self, now: int, input: tuple[object, ...]) -> list[tuple[object, ...]]:  # noqa: A002 - the word of the core
        """Take one input at network time now; return what came of it, in order.

        Inputs: ('link_up', link, kind) with kind 0 owner's, 1 guard's, 2 relay link; ('link_down', link); ('cell', link, cell: 256 octets);
        ('rtp', port, datagram); ('timer',); ('command', name, *arguments of Engine's method), where media_open takes (port), bundle_open
        (bundle), and media_remote leaves the address and port out; what becomes of streams is not told here. Outputs: ('send', link, cell, at); ('rtp', port, rtcp: bool, datagram, at); ('close_link', link);
        ('event', *event).
        """

    def next_timer(self) -> int | None:
        """When 'timer' wants to be given next."""

    def counters(self) -> dict[str, int]:
        """Totals of the core."""
