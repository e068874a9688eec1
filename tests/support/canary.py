"""A caller who plants a value of its own in every field that a phone can fill. [io]

Plain sockets and text, so that what goes out is exactly what stands here. Each planted value is random, so a hit anywhere else is a leak.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field

from voicebox.demo.phones import Login

HEADERS = (
    "Subject", "Organization", "User-Agent", "Server", "Call-Info", "Alert-Info", "Error-Info", "In-Reply-To", "Reply-To", "P-Asserted-Identity",
    "P-Preferred-Identity", "Remote-Party-ID", "P-Associated-URI", "P-Called-Party-ID", "P-Served-User", "Diversion", "History-Info", "Referred-By",
    "Identity", "Identity-Info", "User-to-User", "Session-ID", "P-Charging-Vector", "P-Charging-Function-Addresses", "P-Access-Network-Info",
    "P-Visited-Network-ID", "Geolocation", "X-Real-IP", "X-Serialnumber", "X-Asterisk-HangupCause", "X-FS-Support", "P-RTP-Stat", "X-RTP-Stat",
    "Accept-Contact", "Reject-Contact", "Request-Disposition", "Feature-Caps", "Recv-Info", "Answer-Mode", "Reason", "SIP-ETag", "Date", "Accept-Language",
    "Warning", "Path", "Service-Route", "Max-Breadth", "Content-ID", "Content-Disposition", "Content-Language", "MIME-Version", "Accept", "Accept-Encoding", "Allow",
    "Allow-Events", "Supported", "Unsupported", "Geolocation-Routing", "Geolocation-Error", "Security-Client", "Security-Verify", "Authentication-Info",
    "Proxy-Authenticate", "WWW-Authenticate", "Priority", "Privacy", "Refer-Sub", "Target-Dialog", "Join", "Policy-ID", "Trigger-Consent", "X-Canary", "P-Early-Media",
    "P-Media-Authorization", "P-User-Database", "P-DCS-Trace-Party-ID", "P-Refused-URI-List", "Suppress-If-Match", "Info-Package", "Encryption", "Hide",
)  # fmt: skip
NUMBERS = ("Timestamp", "Expires", "Min-SE", "Retry-After", "RSeq", "RAck", "Min-Expires", "Flow-Timer")
"""Fields that hold a number: one of ten digits."""
SDP_LINES = (
    "s={}", "i={}", "u=http://{}/", "e={}@example.com", "p=+{}", "b=X-{}:64", "k=clear:{}", "a=tool:{}", "a=cat:{}", "a=keywds:{}", "a=charset:{}", "a=lang:{}",
    "a=sdplang:{}", "a=type:{}", "a=X-nat:{}", "a=x-google-flag:{}", "a=X-cap:{}", "a=group:BUNDLE {}", "a=ice-options:{}", "a=tls-id:{}", "a=identity:{}", "a=msid-semantic:{}",
    "a=source-filter: incl IN IP4 * {}", "a=key-mgmt:mikey {}",
)  # fmt: skip
SDP_MEDIA_LINES = (
    "i={}", "a=ssrc:{n} cname:{}", "a=ssrc-group:FID {n} {}", "a=msid:{} {}", "a=label:{}", "a=mid:{}", "a=ice-ufrag:{}", "a=ice-pwd:{}", "a=fingerprint:sha-256 {}", "a=setup:{}",
    "a=crypto:1 {} inline:{}", "a=candidate:1 1 UDP 1 {} 9 typ host raddr {} rport 9", "a=zrtp-hash:1.10 {}", "a=extmap:1 urn:{}", "a=rtcp-fb:* {}", "a=rtcp-xr:{}", "a=rtcp-rsize:{}",
    "a=content:{}", "a=record:{}", "a=rid:{} send", "a=simulcast:send {}", "a=imageattr:{}", "a=T38FaxVersion:{}", "a=silenceSupp:{} - - - -", "a=sctp-port:{}", "a=fmtp:8 {}",
    "a=remote-candidates:1 {} 9", "a=end-of-candidates:{}", "a=minptime:{}", "a=quality:{}",
)  # fmt: skip
SDES_ITEMS = {1: "CNAME", 2: "NAME", 3: "EMAIL", 4: "PHONE", 5: "LOC", 6: "TOOL", 7: "NOTE", 8: "PRIV"}
IN_INVITE = 72
"""Of the headers; a message has at most 128, so the others are in the BYE."""
VALUE_LETTERS = 24
PIECES = 3
SLOT_S = 0.02
REPLY_TIMEOUT_S = 8.0


@dataclass
class Planted:
    """The values that were planted, by the field they stand in. numbers: of RTP, as octets."""

    values: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, bytes] = field(default_factory=dict)

    def make(self, where: str, length: int = VALUE_LETTERS) -> str:
        """Return a fresh value for a field, of letters and digits."""
        value = "".join(secrets.choice("abcdefghkmnpqrstuvwxyz23456789") for _ in range(length))
        self.values[where] = value
        return value

    def number(self, where: str) -> str:
        """Return a fresh number of ten digits for a field, below 2^31."""
        self.values[where] = str(1_000_000_000 + secrets.randbelow(1_147_000_000))
        return self.values[where]

    def octets(self, where: str, length: int) -> bytes:
        """Return fresh octets for a field of RTP or RTCP, none of them zero."""
        self.numbers[where] = bytes(1 + secrets.randbelow(255) for _ in range(length))
        return self.numbers[where]

    def leaks(self, octets: bytes) -> list[str]:
        """Return the fields whose value stands in octets, in any spelling, or a part of it."""
        found = [where for where, value in self.values.items() if any(form in octets for form in (*spellings(value), *pieces(value)))]
        return found + [where for where, value in self.numbers.items() if value in octets or value[::-1] in octets]


def pieces(value: str) -> list[bytes]:
    """Return the parts of a long value that would show if it leaked split."""
    length = len(value) // PIECES
    return [value[start : start + length].encode() for start in range(0, length * PIECES, length)] if len(value) >= VALUE_LETTERS else []


def spellings(value: str) -> list[bytes]:
    """Return the forms in which a value could leak: raw, hex, base64 at any alignment, reversed, upper case."""
    raw = value.encode()
    cut = [base64.b64encode(bytes(shift) + raw)[4:-4] for shift in range(3)]  # the octets before it decide how base64 cuts it
    return [raw, raw[::-1], raw.upper(), raw.hex().encode(), raw.hex().upper().encode(), *cut]


def md5(text: str) -> str:
    """Return H(text) of RFC 2617 §3.2.1."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def bound(address: str, timeout_s: float) -> socket.socket:
    """Return a UDP socket at an address, on any port."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.settimeout(timeout_s)
    return made


class CanaryCaller:
    """Registers, calls, talks and hangs up, planting as it goes."""

    def __init__(self, login: Login, address: str) -> None:
        self.login, self.planted = login, Planted()
        self.box = (login.host, login.port)
        self.sip, self.rtp, self.rtcp = (bound(address, REPLY_TIMEOUT_S) for _ in range(3))
        self.address, self.port = self.sip.getsockname()
        plant = self.planted.make
        self.user, self.call_id = plant("Contact user"), plant("Call-ID")
        self.tag = plant("From tag")
        self.from_uri = f"sip:{plant('From user')}@{plant('From host')}.invalid"
        self.ssrc = int.from_bytes(self.planted.octets("RTP source", 4))
        self.cseq = int(self.planted.number("CSeq of the REGISTER")) - 1
        self.to = ""

    # SIP

    def _via(self) -> str:
        branch = self.planted.make(f"Via branch {secrets.token_hex(3)}")
        host = self.planted.make(f"Via host {branch}")
        return f"Via: SIP/2.0/UDP {host}.invalid:{self.port};branch=z9hG4bK{branch};rport"

    def _request(self, method: str, uri: str, extra: list[str], body: str = "") -> str:
        """Return a request. Its To carries the display name planted for it."""
        display, plant = self.planted.make(f"{method} From display name"), self.planted.make
        lines = [
            f"{method} {uri} SIP/2.0", self._via(), "Max-Forwards: 61",
            f'From: "{display}" <{self.from_uri if method != "REGISTER" else self.own_uri}>;tag={self.tag}',
            f"To: {plant(f'{method} To display name')} <{uri if method != 'REGISTER' else self.own_uri}>{self.to}",
            f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} {method}",
            self._contact(method),
            *extra, f"Content-Length: {len(body)}",
        ]  # fmt: skip
        return "\r\n".join([*lines, "", body])

    def _contact(self, method: str) -> str:
        rinstance, line, instance, gruu, feature, flow = (
            self.planted.make(f"{method} Contact {name}") for name in ("rinstance", "line", "instance", "pub-gruu", "feature", "reg-id")
        )
        parameters = f'+sip.instance="<urn:uuid:{instance}>";pub-gruu="sip:x@x;gr={gruu}";+g.3gpp.icsi-ref="{feature}";reg-id={flow}'
        return f"Contact: <sip:{self.user}@{self.address}:{self.port};ob;rinstance={rinstance};line={line}>;{parameters}"

    @property
    def own_uri(self) -> str:
        """Its address at its box."""
        return f"sip:{self.login.user}@{self.login.host}"

    def _exchange(self, method: str, uri: str, extra: list[str], body: str = "") -> str:
        """Send a request, with credentials once it is challenged, and return the final response."""
        credentials: list[str] = []
        for _ in range(3):
            self.cseq += 1
            self.sip.sendto(self._request(method, uri, [*extra, *credentials], body).encode(), self.box)
            final = self._final(method)
            status = int(final.split(" ")[1])
            if method == "INVITE" and status >= 300:
                self._ack(uri, final)
            if status not in (401, 407):
                return final
            credentials = [self._credentials(method, uri, final)]
        raise AssertionError(f"the box went on challenging a {method}")

    def _final(self, method: str) -> str:
        end = time.monotonic() + REPLY_TIMEOUT_S
        while time.monotonic() < end:
            text = self.sip.recv(65_536).decode()
            if text.startswith("SIP/2.0 ") and text.split(" ")[1] >= "200" and re.search(rf"CSeq: *{self.cseq} {method}", text, re.IGNORECASE):
                return text
        raise AssertionError(f"no final response to a {method}")

    def _credentials(self, method: str, uri: str, challenge: str) -> str:
        fields = dict(re.findall(r'(\w+)="?([^",\r\n]+)"?', re.search(r"(?:WWW|Proxy)-Authenticate: Digest (.*)", challenge).group(1)))  # type: ignore[union-attr]  # a challenge without it fails the test anyway
        cnonce, name = self.planted.make(f"{method} cnonce"), "Authorization" if "WWW-Auth" in challenge else "Proxy-Authorization"
        secret = md5(f"{self.login.user}:{fields['realm']}:{self.login.password.reveal().decode()}")
        answer = md5(f"{secret}:{fields['nonce']}:00000001:{cnonce}:auth:{md5(f'{method}:{uri}')}")
        opaque = f', opaque="{fields["opaque"]}"' if "opaque" in fields else ""
        return (
            f'{name}: Digest username="{self.login.user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{uri}", response="{answer}", '
            f'cnonce="{cnonce}", qop=auth, nc=00000001, algorithm=MD5{opaque}'
        )

    def _ack(self, uri: str, response: str) -> None:
        to = re.search(r"^(?:To|t): *(.*)\r$", response, re.MULTILINE | re.IGNORECASE)
        via = re.search(r"^(?:Via|v): *(.*?);", response, re.MULTILINE | re.IGNORECASE)
        branch = re.search(r"branch=([^;\s]+)", response)
        assert to
        assert via
        assert branch
        fresh = response.startswith("SIP/2.0 2")
        first = self._via() if fresh else f"Via: {via.group(1)};branch={branch.group(1)};rport"
        lines = [f"ACK {uri} SIP/2.0", first, "Max-Forwards: 61", f"From: <{self.from_uri}>;tag={self.tag}", f"To: {to.group(1)}"]
        self.sip.sendto("\r\n".join([*lines, f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} ACK", "Content-Length: 0", "", ""]).encode(), self.box)

    def register(self) -> None:
        """Register with the box."""
        final = self._exchange("REGISTER", f"sip:{self.login.host}", ["Expires: 300"])
        assert final.startswith("SIP/2.0 200"), final

    def _sdp(self) -> str:
        plant = self.planted.make
        number = self.planted.number
        head = ["v=0", f"o={plant('SDP o= user')} {number('SDP o= session')} {number('SDP o= version')} IN IP4 {plant('SDP o= host')}.invalid"]
        session = [line.format(plant(f"SDP {line}")) for line in SDP_LINES]
        media = [f"m=audio {self.rtp.getsockname()[1]} RTP/AVP 8 0 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000"]
        media += [line.format(plant(f"SDP media {line}"), plant(f"SDP media {line} second"), n=self.ssrc) for line in SDP_MEDIA_LINES]
        media += [f"a=rtcp:{self.rtcp.getsockname()[1]} IN IP4 {self.address}", "a=sendrecv"]
        ordered = [*[line for line in session if line[0] in "siuep"], f"c=IN IP4 {self.address}"]
        ordered += [
            *[line for line in session if line[0] == "b"],
            f"t={number('SDP t= start')} {number('SDP t= stop')}",
            f"r={number('SDP r=')} 1 0",
            f"z={number('SDP z=')} -1h",
        ]
        ordered += [line for line in session if line[0] in "ka"]
        # `second` is planted only where a line has two places; the rest is forgotten again.
        text = "\r\n".join([*head, *ordered, *media, ""])
        for where in [where for where, value in self.planted.values.items() if where.startswith("SDP media") and value not in text]:
            del self.planted.values[where]
        return text

    def call(self, uri: str) -> None:
        """Call, planting a value in every header, and wait for the answer."""
        self.call_id = self.planted.make("INVITE Call-ID")
        self.cseq = int(self.planted.number("CSeq of the INVITE")) - 1
        headers = [f"{name}: {self.planted.make(name)}" for name in HEADERS[:IN_INVITE]] + [f"{name}: {self.planted.number(name)}" for name in NUMBERS]
        headers += [f"Content-Type: application/sdp;charset={self.planted.make('Content-Type parameter')}"]
        final = self._exchange("INVITE", uri, headers, self._sdp())
        assert final.startswith("SIP/2.0 200"), final
        to = re.search(r"^To:.*(;tag=[^;\r\n]+)", final, re.MULTILINE | re.IGNORECASE)
        media = re.search(r"m=audio (\d+)", final)
        assert to
        assert media
        self.to, self.box_rtp = to.group(1), (self.login.host, int(media.group(1)))
        contact = re.search(r"^Contact: *<([^>]+)>", final, re.MULTILINE | re.IGNORECASE)
        assert contact
        self.remote, self.uri = contact.group(1), uri
        self._ack(self.remote, final)

    # Sound

    def talk(self, seconds: float) -> None:
        """Send RTP with a known SSRC, sequence and timestamp start, and RTCP with a planted CNAME."""
        sequence, stamp = secrets.randbits(15), int.from_bytes(self.planted.octets("RTP timestamp", 4))
        sources, extension, padding = (
            self.planted.octets("RTP contributing sources", 8),
            self.planted.octets("RTP extension", 8),
            self.planted.octets("RTP padding", 7),
        )
        for other in (self._zrtp(), self._stun(), self._dtls()):
            self.rtp.sendto(other, self.box_rtp)
        begun = time.monotonic()
        for index in range(int(seconds / SLOT_S)):
            # Padding, extension (RFC 6464's form) and two contributing sources.
            header = struct.pack("!BBHII", 0xB2, 8, (sequence + index) % 2**16, (stamp + 160 * index) % 2**32, self.ssrc)
            more = sources + struct.pack("!HH", 0xBEDE, 2) + extension
            self.rtp.sendto(header + more + secrets.token_bytes(160) + padding + b"\x08", self.box_rtp)
            if index % 50 == 0:
                self.rtcp.sendto(self._rtcp(), (self.box_rtp[0], self.box_rtp[1] + 1))
            time.sleep(max(0.0, begun + (index + 1) * SLOT_S - time.monotonic()))

    def _rtcp(self) -> bytes:
        """Return a compound packet with something of its own in every field. Spec: RFC 3550 §6.4, §6.5, §6.6, §6.7; RFC 3611."""
        plant, octets = self.planted.make, self.planted.octets
        source = struct.pack("!I", self.ssrc)
        report = source + octets("RTCP NTP time", 8) + octets("RTCP RTP timestamp", 4) + octets("RTCP packets and octets", 8) + octets("RTCP report block", 24)
        items = b"".join(bytes([kind, VALUE_LETTERS]) + plant(f"RTCP {name}").encode() for kind, name in SDES_ITEMS.items())
        chunk = source + items + bytes(4 - len(items) % 4)
        why = plant("RTCP BYE reason").encode()
        goodbye = source + bytes([len(why)]) + why + bytes(3 - len(why) % 4)
        application = source + b"CNRY" + plant("RTCP APP").encode()
        extended = source + struct.pack("!BBH", 7, 0, 6) + plant("RTCP XR").encode()
        parts = ((0x81, 200, report), (0x81, 202, chunk), (0x81, 203, goodbye), (0x80, 204, application), (0x80, 207, extended))
        return b"".join(struct.pack("!BBH", first, kind, len(body) // 4) + body for first, kind, body in parts)

    def _zrtp(self) -> bytes:
        """Return a Hello (RFC 6189 §5.1, §5.2): client name and the number that its phone has for ever."""
        return (
            struct.pack("!HH4sI", 0x1000, 1, b"ZRTP", self.ssrc)
            + b"PZ\0\x17Hello   1.10"
            + self.planted.make("ZRTP client").encode()
            + self.planted.octets("ZRTP ZID", 12)
            + bytes(8)
        )

    def _stun(self) -> bytes:
        """Return a binding request (RFC 5389): user name and software."""
        attributes = b"".join(
            struct.pack("!HH", kind, VALUE_LETTERS) + self.planted.make(f"STUN {name}").encode() for kind, name in ((6, "user name"), (0x8022, "software"))
        )
        return struct.pack("!HHI", 1, len(attributes), 0x2112A442) + self.planted.octets("STUN transaction", 12) + attributes

    def _dtls(self) -> bytes:
        """Return the beginning of a handshake record (RFC 6347 §4.1) with a certificate's name in it."""
        return b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", VALUE_LETTERS) + self.planted.make("DTLS certificate").encode()

    def hang_up(self) -> None:
        """End the call with a BYE that carries planted statistics."""
        headers = [f"X-RTP-Stat: CS=0;{self.planted.make('BYE X-RTP-Stat')}", f"Reason: Q.850;text={self.planted.make('BYE Reason')}"]
        headers += [f"{name}: {self.planted.make(name)}" for name in HEADERS[IN_INVITE:]]
        final = self._exchange("BYE", self.remote, headers)
        assert final.startswith("SIP/2.0 200"), final

    def close(self) -> None:
        """Unregister, so that the box has no phone of ours for the tests that follow, and close the sockets."""
        self.to = ""
        final = self._exchange("REGISTER", f"sip:{self.login.host}", ["Expires: 0"])
        assert final.startswith("SIP/2.0 200"), final
        for each in (self.sip, self.rtp, self.rtcp):
            each.close()
