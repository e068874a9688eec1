"""What a capture shows of a call's SIP: when it rang, when it was answered, where its sound goes. Pure.

Only as much of SIP and SDP as measuring needs, and nothing of the project's own stack, which is what is being measured. What does not
parse is passed over. Spec: RFC 3261 §7, RFC 4566.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from voicebox.demo.datagrams import Datagram, Endpoint

STATIC_CODECS = {0: "pcmu", 8: "pcma"}
"""RFC 3551 §6: payload types that need no rtpmap."""
CLOCK_RATES_HZ = {"pcmu": 8000, "pcma": 8000, "opus": 48000}
MAX_SIP_OCTETS = 65535


@dataclass(frozen=True, slots=True)
class SipView:
    """One SIP message. status 0: a request; method: of the request, or the one a response is for (CSeq)."""

    method: str
    status: int
    call_id: str
    cseq: int
    credentials: bool
    sdp: str


@dataclass(frozen=True, slots=True)
class MediaView:
    """Where one side wants its sound, and the first codec in its answer or offer."""

    endpoint: Endpoint
    payload_type: int
    codec: str


@dataclass(frozen=True, slots=True)
class CallView:
    """One call between two phones, each seen at its own socket. Times in nanoseconds of the capture's clock; None: never seen.

    invited: the caller's INVITE, the one with credentials where there is one; ringing: 180 or 183 at the caller; callee_answered: the 200 that
    the callee's phone sent; answered: the 200 at the caller; ended: the first BYE of either.
    """

    invited_ns: int
    ringing_ns: int | None
    callee_answered_ns: int | None
    answered_ns: int | None
    ended_ns: int | None
    caller_media: MediaView | None
    callee_media: MediaView | None


def view_sip(payload: bytes) -> SipView | None:
    """Return the SIP message in a datagram, or None."""
    if not payload or len(payload) > MAX_SIP_OCTETS or not 0x41 <= payload[0] <= 0x5A or b"SIP/2.0" not in payload[:1024]:
        return None
    head, _, body = payload.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    number, _, method = headers.get("cseq", "").partition(" ")
    words = first.split(" ")
    if not number.isascii() or not number.isdigit() or len(number) > 10 or len(words) < 3:
        return None
    status = int(words[1]) if words[0] == "SIP/2.0" and words[1].isascii() and words[1].isdigit() and len(words[1]) == 3 else 0
    if not status and words[-1] != "SIP/2.0":
        return None
    credentials = "authorization" in headers or "proxy-authorization" in headers
    return SipView(method.strip(), status, headers.get("call-id", headers.get("i", "")), int(number), credentials, body)


def view_media(sdp: str) -> MediaView | None:
    """Return where an SDP wants the sound to go, or None where it holds no audio we know."""
    address, port, payload_type = "", 0, -1
    codecs = dict(STATIC_CODECS)
    for line in sdp.splitlines():
        key, _, value = line.strip().partition("=")
        words = value.split()
        if key == "c" and len(words) == 3:
            address = words[2].partition("/")[0]
        elif key == "m" and len(words) >= 4 and words[0] == "audio" and words[1].isdigit() and words[3].isdigit():
            port, payload_type = int(words[1][:6]), int(words[3][:4])
        elif key == "a" and value.startswith("rtpmap:") and len(words) == 2 and words[0][7:].isdigit():
            codecs[int(words[0][7:][:4])] = words[1].partition("/")[0].lower()
    codec = codecs.get(payload_type, "")
    return MediaView(Endpoint(address, port), payload_type, codec) if address and port and codec in CLOCK_RATES_HZ else None


def at(endpoint: Endpoint, described: Endpoint) -> bool:
    """Return whether an endpoint is the described one; port 0 in the description is any port."""
    return endpoint == described or (described.port == 0 and endpoint.address == described.address)


class _Sightings:
    """The SIP messages at one phone, in order: (time, sent by the phone, message)."""

    def __init__(self) -> None:
        self.all: list[tuple[int, bool, SipView]] = []

    def first(self, *, sent: bool, method: str, statuses: range, from_ns: int = 0) -> tuple[int, SipView] | None:
        return next(
            ((time, view) for time, mine, view in self.all if mine is sent and time >= from_ns and view.method == method and view.status in statuses), None
        )


def find_calls(datagrams: Iterable[Datagram], caller: Endpoint, callee: Endpoint) -> list[CallView]:
    """Return the calls that the phone at `caller` began, in order. caller, callee: the phones' SIP sockets, port 0 meaning any."""
    at_caller, at_callee = _Sightings(), _Sightings()
    for datagram in datagrams:
        for phone, sightings in ((caller, at_caller), (callee, at_callee)):
            sent = at(datagram.source, phone)
            if sent or at(datagram.destination, phone):
                view = view_sip(datagram.payload)
                if view is not None:
                    sightings.all.append((datagram.time_ns, sent, view))
    starts: dict[str, int] = {}
    for time, sent, view in at_caller.all:
        if sent and view.method == "INVITE" and not view.status:
            starts.setdefault(view.call_id, time)
    edges = [*sorted(starts.values()), 1 << 63]
    return [_one_call(at_caller, at_callee, call_id, (begin, edges[edges.index(begin) + 1])) for call_id, begin in starts.items()]


def _one_call(caller: _Sightings, callee: _Sightings, call_id: str, span_ns: tuple[int, int]) -> CallView:
    begin, end = span_ns
    mine, theirs = _Sightings(), _Sightings()
    mine.all = [sighting for sighting in caller.all if sighting[2].call_id == call_id]
    theirs.all = [sighting for sighting in callee.all if begin <= sighting[0] < end]
    requests = [(time, view) for time, sent, view in mine.all if sent and view.method == "INVITE" and not view.status]
    # A re-INVITE within the dialog comes after the answer; what counts is the first transmission of the one that rang.
    with_credentials = [(time, view) for time, view in requests if view.credentials]
    invited_ns, invite = (with_credentials or requests)[0]
    ringing = mine.first(sent=False, method="INVITE", statuses=range(180, 200), from_ns=invited_ns)
    answered = mine.first(sent=False, method="INVITE", statuses=range(200, 300), from_ns=invited_ns)
    callee_answer = theirs.first(sent=True, method="INVITE", statuses=range(200, 300))
    byes = [time for time, _, view in (*mine.all, *theirs.all) if view.method == "BYE"]
    return CallView(
        invited_ns=invited_ns,
        ringing_ns=ringing[0] if ringing else None,
        callee_answered_ns=callee_answer[0] if callee_answer else None,
        answered_ns=answered[0] if answered else None,
        ended_ns=min(byes) if byes else None,
        caller_media=_negotiated(invite.sdp, answered[1].sdp if answered else ""),
        callee_media=view_media(callee_answer[1].sdp) if callee_answer else None,
    )


def _negotiated(offer: str, answer: str) -> MediaView | None:
    # The caller's socket is in its offer, the codec in the answer it got: an offer lists more than one.
    offered, chosen = view_media(offer), view_media(answer)
    if offered is None or chosen is None:
        return offered
    return MediaView(offered.endpoint, chosen.payload_type, chosen.codec)
