"""Mutated SIP and SDP: any input is dropped with a reason or parsed; nothing else.

Counts are printed. VOICEBOX_LONG=1 makes the inputs a hundred times as many, VOICEBOX_SEED=n chooses others. A failing input is in the
assertion's text.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.voicebox.b2bua.scripted import SDP_OPUS, SDP_PCMA, SDP_SAVP, Box, Phone, final
from voicebox.b2bua.events import Answer, Codec, Ringing
from voicebox.b2bua.offer_answer import OurMedia, choose_codec, read_phone_media
from voicebox.errors import SipError
from voicebox.sip.auth import parse_digest
from voicebox.sip.framing import Framer, StreamBroken
from voicebox.sip.headers import Headers
from voicebox.sip.message import Malformed, SipRequest, parse_message, serialise_message, serialise_response
from voicebox.sip.sdp import parse_sdp

pytestmark = pytest.mark.fuzz

FACTOR = 100 if os.environ.get("VOICEBOX_LONG") == "1" else 1
SEED = int(os.environ.get("VOICEBOX_SEED", "1"))
VECTORS = Path(__file__).parents[1] / "vectors" / "rfc4475"
SHAKEN = "a=setup:actpass\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
WORDS = [
    *(b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\x00", b" ", b"\t", b'"', b"<", b">", b";", b",", b":", b"=", b"@", b"%", b"\\", b"[::1]", b"\xff", b"\xc3\xa9"),
    *(b"Via: ", b"v:", b"To: ", b"Contact: *", b"Content-Length: ", b"l:0", b"CSeq: 1 INVITE", b"SIP/2.0", b"sip:", b"sips:", b"z9hG4bK", b";tag=", b";rport"),
    *(b"-1", b"0", b"65535", b"65536", b"2147483648", b"99999999999999999999", b"m=audio 1 RTP/AVP 0", b"a=rtpmap:", b"a=fmtp:", b"c=IN IP4 ", b"v=0", b"1e9"),
]


def seeds() -> list[bytes]:
    """Return the torture tests and what phones send."""
    phone = Phone(Box(), "alice")
    mine = [
        phone.text("INVITE", "sip:bob.privacy", "Supported: timer, 100rel\r\nSession-Expires: 1800", SDP_PCMA),
        phone.text(
            "REGISTER",
            "sip:voicebox",
            'Expires: 300\r\nAuthorization: Digest username="alice", realm="voicebox", nonce="a,b", response="c", nc=00000001, qop=auth',
        ),
        phone.text("CANCEL", "sip:bob.privacy"),
        phone.text("OPTIONS", "sip:bob@[2001:db8::1]:5060;transport=tcp"),
        b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;received=192.0.2.1;rport=5060\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
    ]
    return [*mine, *(path.read_bytes() for path in sorted(VECTORS.glob("*.dat")))]


def mutated(seed: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return a seed with one to four changes."""
    octets = bytearray(seed)
    for _ in range(rng.randrange(1, 5)):
        place, length = rng.randrange(len(octets) + 1), rng.randrange(1, 24)
        match rng.randrange(7):
            case 0:
                octets[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                del octets[place : place + length]
            case 2:
                octets[place:place] = octets[place : place + length] * rng.choice((1, 2, 50))
            case 3 | 4:
                octets[place : place + rng.choice((0, 0, 1, 4))] = rng.choice(WORDS)
            case 5:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                octets[place : place + length] = other[start : start + rng.choice((8, 40, 400))]
            case _:
                octets[place:] = octets[place:] if rng.randrange(8) else b""
    return bytes(octets)


def run(name: str, inputs: int, originals: list[bytes], judge: Callable[[bytes], str]) -> Counter[str]:
    """Feed mutated inputs to judge, which says what became of each; anything it raises is the failure."""
    rng = random.Random(SEED)
    verdicts: Counter[str] = Counter()
    for _ in range(inputs * FACTOR):
        octets = mutated(rng.choice(originals), originals, rng)
        try:
            verdicts[judge(octets)] += 1
        except Exception as error:
            raise AssertionError(f"{name}: {error!r} for {octets!r}") from error
    print(f"\n{name}: {sum(verdicts.values())} inputs, seed {SEED}: {dict(verdicts.most_common(8))}")
    return verdicts


def judge_message(octets: bytes) -> str:
    try:
        message = parse_message(octets)
    except Malformed as malformed:
        return f"{malformed.status} {'answered' if malformed.echo is not None else 'dropped'}"
    again = parse_message(serialise_message(message))
    assert serialise_message(again) == serialise_message(message)
    assert (again.via, again.from_, again.to, again.call_id, again.cseq) == (message.via, message.from_, message.to, message.call_id, message.cseq)
    assert again.body == message.body
    return "request" if isinstance(message, SipRequest) else "response"


def test_messages() -> None:
    verdicts = run("SIP messages", 100_000, seeds(), judge_message)
    assert verdicts["request"] > 10_000
    assert verdicts["400 answered"] > 10_000
    assert verdicts["response"] > 1_000


def test_session_descriptions() -> None:
    video = SDP_PCMA + "a=sendonly\r\na=ptime:20\r\nm=video 5000 RTP/AVP 96\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:96 H264/90000\r\n"
    originals = [text.encode() for text in (SDP_PCMA, SDP_OPUS, video, SDP_SAVP + "a=rtcp-mux\r\n", SDP_SAVP.replace("RTP/SAVP", "UDP/TLS/RTP/SAVP") + SHAKEN)]

    def judge(octets: bytes) -> str:
        try:
            description = parse_sdp(octets)
        except SipError as error:
            return str(error.status)
        try:
            phone = read_phone_media(octets, "application/sdp", "192.0.2.9")
            codec = choose_codec((Codec.PCMA, Codec.PCMU, Codec.OPUS), phone)
        except SipError as error:
            return f"parsed, {error.status}"
        ours = parse_sdp(OurMedia("192.0.2.1", 30_000, 7, bytes, lambda: bytes(32)).answer(phone, codec))
        assert len(ours.media) == len(description.media)
        assert sum(medium.port > 0 for medium in ours.media) == 1
        return "answered"

    verdicts = run("session descriptions", 100_000, originals, judge)
    assert verdicts["answered"] > 10_000
    assert verdicts["400"] > 10_000


def test_streams() -> None:
    rng = random.Random(SEED + 1)

    def judge(octets: bytes) -> str:
        framer, frames = Framer(), []
        try:
            position = 0
            while position < len(octets):
                step = rng.choice((1, 7, 100, 2_000))
                frames += framer.feed(octets[position : position + step])
                position += step
        except StreamBroken:
            return "broken"
        position = 0
        for frame in frames:
            position = octets.index(frame, position) + len(frame)
        return f"{len(frames)} frames"

    originals = [octets for octets in seeds() if b"\r\nContent-Length: " in octets]
    verdicts = run("streams", 20_000, [first + second for first in originals[:6] for second in originals[:6]], judge)
    assert verdicts["broken"] > 1_000
    assert verdicts["2 frames"] > 1_000


def test_credentials() -> None:
    originals = [b'Digest username="alice", realm="voicebox", nonce="abc", uri="sip:x", response="0123", algorithm=MD5, qop=auth, nc=00000001, cnonce="q\\"x,"']

    def judge(octets: bytes) -> str:
        try:
            parse_digest(octets.decode("utf-8", "surrogateescape"))
        except SipError:
            return "refused"
        return "read"

    assert run("credentials", 20_000, originals, judge)["read"] > 1_000


def test_a_whole_box() -> None:
    """A registered phone in a call; everything between is noise. The box answers or counts each input, and the call goes on."""
    box = Box(seed=SEED)
    phone = Phone(box, "alice")
    assert phone.register().status == 200
    phone.invite()
    box.far_says(Ringing())
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    phone.ack(answer)
    noise = Phone(box, "mallory", 3)
    target, to = "sip:box@192.0.2.1", answer.headers.get("to") or ""
    inside = [noise.text(method, target, body=SDP_PCMA, to=to, cseq=90) for method in ("INVITE", "BYE", "UPDATE", "INFO", "ACK", "CANCEL")]
    originals = [*inside, *(octets for octets in seeds() if b" REGISTER" not in octets)]

    def judge(octets: bytes) -> str:
        said, dropped = len(box.octets), sum(box.board.layer.drops.values())
        box.receive(octets, noise.flow)
        if len(box.octets) > 2_000:
            del box.octets[:], box.outbox[:], noise.inbox[:]
            box.advance(40)
            return "swept"
        if len(box.octets) > said:
            return "answered"
        return "dropped" if sum(box.board.layer.drops.values()) > dropped else "absorbed"

    verdicts = run("a whole box", 20_000, originals, judge)
    assert verdicts["answered"] > 5_000
    box.advance(40)
    assert box.board.calls == 1
    assert box.board.totals()["transactions"] <= 2
    assert final(phone.inside("BYE", answer)).status == 200


def test_mad_phones() -> None:
    """Two phones with good passwords, in calls both ways, that mutate everything they say inside them."""
    rng = random.Random(SEED + 2)
    ends: Counter[str] = Counter()
    for _ in range(400 * FACTOR):
        box = Box(seed=rng.randrange(2**32))
        caller, callee = Phone(box, "alice"), Phone(box, "carol", 2)
        callee.register()
        caller.invite()
        box.far_says(Answer(Codec.PCMA))
        answer = final(caller.inbox)
        box.far_calls()
        invite = callee.last_request("INVITE")
        echo = Headers([(name, value) for name, value in invite.headers if name in {"via", "from", "to", "call-id", "cseq"}])
        contact = [("contact", callee.contact), ("content-type", "application/sdp")]
        says = [serialise_response(status, echo, "calleetag", contact, SDP_PCMA.encode()) for status in (180, 183, 200, 486)]
        inside = [
            caller.text(method, "sip:box@192.0.2.1", "Supported: timer\r\nSession-Expires: 100", body, to=answer.headers.get("to") or "", cseq=60 + number)
            for number, (method, body) in enumerate(
                [("ACK", SDP_PCMA), ("INVITE", SDP_PCMA), ("INVITE", ""), ("UPDATE", SDP_PCMA), ("INFO", SDP_PCMA), ("BYE", "")]
            )
        ]
        for _ in range(40):
            phone, originals = rng.choice(((caller, inside), (callee, says)))
            octets = mutated(rng.choice(originals), originals, rng)
            try:
                box.receive(octets, phone.flow)
                box.advance(rng.choice((0, 0, 1)))
            except Exception as error:
                raise AssertionError(f"{error!r} for {octets!r}") from error
        ends[f"{box.board.calls} calls left"] += 1
        box.board.hang_up_all(box.now)
        box.advance(800)
        assert box.media.open_ports() == 0
        assert box.board.calls == 0
        assert box.board.totals()["transactions"] == 0
        assert len(box.board._context.dialogs) == 0
        assert box.board.next_timer() is None
    print(f"\nmad phones: {400 * FACTOR * 40} inputs, seed {SEED + 2}: {dict(ends)}")
