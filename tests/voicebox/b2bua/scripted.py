"""A box in virtual time and phones that say exactly what a test wants. No socket, no sleep."""

from __future__ import annotations

import base64
import random
from collections import deque
from collections.abc import Callable

from tests.voicebox.b2bua.loopback import LoopLeg, LoopNetwork, PlainMedia
from voicebox.b2bua.events import CallEvent, Codec, Offer
from voicebox.b2bua.switchboard import Switchboard, SwitchboardSettings
from voicebox.dialplan.model import CallContact, EchoTest, EmergencyCall, IncomingDecision, OutgoingDecision, RefuseCall, RingPhones
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account, DigestAlgorithm, digest_response, parse_digest
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.headers import Headers, parse_name_addr
from voicebox.sip.message import Malformed, SipMessage, SipRequest, SipResponse, parse_message, serialise_response

REALM = "voicebox"
PASSWORD = b"correct horse"
BOX = "192.0.2.1"
SDP_PCMA = "v=0\r\no=alice-device 5 6 IN IP4 192.0.2.20\r\ns=Planted\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=tool:planted\r\n"
SDP_SAVP = SDP_PCMA.replace("RTP/AVP", "RTP/SAVP") + f"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{base64.b64encode(bytes(range(30))).decode()}\r\n"
SDP_OPUS = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 4000 RTP/AVP 111 8\r\na=rtpmap:111 opus/48000/2\r\n"


class Box:
    """A Switchboard with a clock, an outbox sorted by flow, and a peer network object that stands for all contacts."""

    def __init__(self, settings: SwitchboardSettings | None = None, users: tuple[str, ...] = ("alice", "carol"), seed: int = 1) -> None:
        self.now = 1_000.0
        self.posted: deque[Callable[[float], None]] = deque()
        self.network = LoopNetwork("me")
        self.far = LoopNetwork("bob")
        self.network.contacts["bob"] = self.far
        self.far.contacts["me"] = self.network
        self.far_heard: list[CallEvent] = []
        self.offers: list[Offer] = []
        self.far.on_call(self._far_accepts)
        self.media = PlainMedia()
        source = random.Random(seed)
        accounts = [Account.from_password(user, Secret(PASSWORD), REALM) for user in users]
        accounts.append(Account.from_password("sha", Secret(PASSWORD), REALM, DigestAlgorithm.SHA_256))
        accounts.append(Account.from_password("discreet", Secret(PASSWORD), REALM, clear=False))
        accounts.append(Account.from_password("shaken", Secret(PASSWORD), REALM, dtls=True))
        self.dialled: list[str] = []
        self.plan: dict[str, OutgoingDecision] = {name: CallContact("bob") for name in ("bob", "712")}
        self.plan |= {"ghost": CallContact("ghost"), "*43": EchoTest(), "112": EmergencyCall()}
        self.plan |= {user: RingPhones(((user,),)) for user in users}
        self.incoming: IncomingDecision = RingPhones((users,))
        self.board = Switchboard(
            accounts, self.network, self.media, self._resolve, lambda petname: self.incoming, self.posted.append, source.randbytes, settings
        )
        self.outbox: list[tuple[Flow, SipMessage]] = []
        self.octets: list[bytes] = []
        self.phones: dict[Flow, Phone] = {}

    def _resolve(self, dialled: str) -> OutgoingDecision:
        self.dialled.append(dialled)
        return self.plan.get(dialled, RefuseCall(404))

    def _far_accepts(self, petname: str, offer: Offer, leg: object) -> Callable[[CallEvent], None]:
        self.offers.append(offer)
        return self.far_heard.append

    @property
    def far_leg(self) -> LoopLeg:
        """The far box's end of the latest circuit."""
        return self.far.legs[-1]

    def far_calls(self, *codecs: Codec) -> LoopLeg:
        """Let the contact call this box; return the far end."""
        leg = self.far.call("me", Offer(codecs or (Codec.PCMA,)), self.far_heard.append)
        self.settle()
        assert isinstance(leg, LoopLeg)
        return leg

    def far_says(self, event: CallEvent) -> None:
        """Let the contact's box say something on the latest circuit."""
        self.far_leg.send(event)
        self.settle()

    def receive(self, octets: bytes, flow: Flow) -> None:
        """Deliver octets to the box."""
        self.board.receive(octets, flow, self.now)
        self.settle()

    def settle(self) -> None:
        """Run what was posted and take what is to be sent."""
        while True:
            for transmit in self.board.poll():
                self.octets.append(transmit.octets)
                try:
                    message = parse_message(transmit.octets)
                except Malformed:
                    continue  # an answer to a malformed request repeats its malformed fields
                self.outbox.append((transmit.flow, message))
                if transmit.flow in self.phones:
                    self.phones[transmit.flow].inbox.append(message)
            if not self.posted:
                return
            self.board.run(self.posted.popleft(), self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        while (deadline := self.board.next_timer()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.board.handle_timer(self.now)
            self.settle()
        self.now = end


class Phone:
    """One phone. Its messages carry values that must reach no other phone."""

    def __init__(self, box: Box, user: str, number: int = 1, transport: Transport = Transport.UDP, password: bytes = PASSWORD, *, ipv6: bool = False) -> None:
        self.box, self.user, self.password = box, user, password
        self.address = f"2001:db8::{number}" if ipv6 else f"192.0.2.{19 + number}"
        self.host = f"[{self.address}]" if ipv6 else self.address
        self.flow = Flow(transport, number, "2001:db8::ffff" if ipv6 else BOX, 5060, self.address, 5062)
        self.inbox: list[SipMessage] = []
        self.cseq = 0
        self.branches = 0
        self.call_id = f"planted-call-id-{user}-{number}"
        box.phones[self.flow] = self

    def sdp(self, codec: str = "PCMA", direction: str = "sendrecv") -> str:
        """Return a description of this phone, RTP at its port 4000."""
        formats, more = {"PCMA": ("8 0 101", ""), "OPUS": ("111 101", "a=rtpmap:111 opus/48000/2\r\n")}[codec]
        return (
            f"v=0\r\no=planted 5 6 IN IP4 {self.address}\r\ns=Planted\r\nc=IN IP4 {self.address}\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n"
            f"{more}a=rtpmap:101 telephone-event/8000\r\na=tool:planted\r\na={direction}\r\n"
        )

    @property
    def contact(self) -> str:
        return f"<sip:{self.user}-0xdeadbeef@{self.host}:5062>"

    def branch(self) -> str:
        self.branches += 1
        return f"z9hG4bKplanted{self.user}{self.flow.number}x{self.branches}"

    def text(
        self, method: str, uri: str, extra: str = "", body: str = "", *, to: str = "", cseq: int | None = None, branch: str = "", contact: bool = True
    ) -> bytes:
        """Return the octets of a request."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.flow.transport.value} {self.host}:5062;rport;branch={branch or self.branch()}",
            "Max-Forwards: 70",
            f'From: "Planted Name" <sip:{self.user}@{REALM}>;tag=planted{self.user}',
            f"To: {to or f'<{uri}>'}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {cseq} {method}",
            "User-Agent: PlantedPhone/9.9",
        ]
        if contact:
            lines.append(f"Contact: {self.contact}")
        if extra:
            lines.append(extra)
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def send(self, octets: bytes) -> list[SipMessage]:
        """Send octets and return what came back because of them."""
        before = len(self.inbox)
        self.box.receive(octets, self.flow)
        return self.inbox[before:]

    def authorised(self, method: str, uri: str, extra: str = "", body: str = "", **how: str) -> list[SipMessage]:
        """Send a request, answer the challenge, and return what came then. An INVITE's 401 is acknowledged."""
        branch = self.branch()
        first = self.send(self.text(method, uri, extra, body, branch=branch, **how))  # type: ignore[arg-type]  # only texts are handed through
        challenge = first[-1]
        assert isinstance(challenge, SipResponse)
        if challenge.status != 401:
            return first
        if method == "INVITE":
            to = challenge.headers.get("to") or ""
            self.send(self.text("ACK", uri, to=to, cseq=self.cseq, branch=branch))
        authorization = self.credentials(challenge, method, uri)
        return self.send(self.text(method, uri, "\r\n".join(filter(None, [authorization, extra])), body, **how))  # type: ignore[arg-type]  # as above

    def credentials(self, challenge: SipResponse, method: str, uri: str, count: str = "00000001") -> str:
        """Return an Authorization line for a challenge."""
        fields = parse_digest(challenge.headers.get("www-authenticate") or "")
        algorithm = DigestAlgorithm(fields["algorithm"])
        ha1 = algorithm.digest(f"{self.user}:{fields['realm']}:".encode() + self.password).encode()
        answer = {"uri": uri, "nonce": fields["nonce"], "nc": count, "cnonce": "abc", "qop": "auth"}
        response = digest_response(algorithm, ha1, method, answer)
        return (
            f'Authorization: Digest username="{self.user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", '
            f'response="{response}", algorithm={algorithm.value}, qop=auth, nc={count}, cnonce="abc"'
        )

    def register(self, extra: str = "Expires: 300") -> SipResponse:
        """Register and return the final answer."""
        answer = self.authorised("REGISTER", f"sip:{REALM}", extra, to=f"<sip:{self.user}@{REALM}>")[-1]
        assert isinstance(answer, SipResponse)
        return answer

    def invite(self, uri: str = "sip:bob.privacy", body: str = SDP_PCMA, extra: str = "") -> list[SipMessage]:
        """Call, with credentials, and return what came after those."""
        return self.authorised("INVITE", uri, extra, body)

    # ----------------------------------------------------------------------------------- inside a dialog, as the caller

    def inside(self, method: str, answer: SipResponse, extra: str = "", body: str = "", *, cseq: int | None = None, branch: str = "") -> list[SipMessage]:
        """Send a request inside the dialog that a response of the box made."""
        target = parse_name_addr(answer.headers.get("contact") or "").uri
        return self.send(self.text(method, target, extra, body, to=answer.headers.get("to") or "", cseq=cseq, branch=branch))

    def ack(self, answer: SipResponse, body: str = "") -> list[SipMessage]:
        """Acknowledge a 2xx."""
        return self.inside("ACK", answer, body=body, cseq=answer.cseq.number)

    # ------------------------------------------------------------------------------------------------------ as the callee

    def last_request(self, method: str) -> SipRequest:
        """Return the latest request of a method that came."""
        return next(message for message in reversed(self.inbox) if isinstance(message, SipRequest) and message.method == method)

    def requests(self, method: str) -> list[SipRequest]:
        """Return all requests of a method that came."""
        return [message for message in self.inbox if isinstance(message, SipRequest) and message.method == method]

    def answer(self, request: SipRequest, status: int, body: str = "", tag: str = "calleetag", extra: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer a request of the box."""
        echo = [(name, value) for name, value in request.headers if name in {"via", "from", "to", "call-id", "cseq"}]
        fields = [("contact", self.contact), ("server", "PlantedPhone/9.9"), *extra]
        if body:
            fields.append(("content-type", "application/sdp"))
        self.send(serialise_response(status, Headers(echo), tag, fields, body.encode()))

    def from_callee(self, method: str, invite: SipRequest, extra: str = "", body: str = "", tag: str = "calleetag") -> list[SipMessage]:
        """Send a request inside the dialog of an INVITE of the box that this phone answered."""
        self.cseq += 1
        target = parse_name_addr(invite.headers.get("contact") or "").uri
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/{self.flow.transport.value} {self.host}:5062;rport;branch={self.branch()}",
            f"From: {invite.headers.get('to')};tag={tag}",
            f"To: {invite.headers.get('from')}",
            f"Call-ID: {invite.call_id}",
            f"CSeq: {self.cseq} {method}",
            f"Contact: {self.contact}",
            *([extra] if extra else []),
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return self.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def statuses(messages: list[SipMessage]) -> list[int]:
    """Return the statuses of the responses among messages."""
    return [message.status for message in messages if isinstance(message, SipResponse)]


def final(messages: list[SipMessage]) -> SipResponse:
    """Return the last response, which must be a final one."""
    message = [message for message in messages if isinstance(message, SipResponse)][-1]
    assert message.status >= 200
    return message
