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
)  # fmt: skip
SDP_LINES = (
    "s={}", "i={}", "u=http://{}/", "e={}@example.com", "p=+{}", "a=tool:{}", "a=cat:{}", "a=keywds:{}", "a=charset:{}", "a=lang:{}", "a=X-nat:{}", "a=x-google-flag:{}",
)  # fmt: skip
SDP_MEDIA_LINES = (
    "i={}", "a=ssrc:{n} cname:{}", "a=msid:{} {}", "a=label:{}", "a=mid:{}", "a=ice-ufrag:{}", "a=ice-pwd:{}", "a=fingerprint:sha-256 {}", "a=crypto:1 {} inline:{}", "a=candidate:1 1 UDP 1 {} 9 typ host",
    "a=zrtp-hash:1.10 {}", "a=extmap:1 urn:{}", "a=rtcp-fb:* {}", "a=content:{}", "a=record:{}", "a=fmtp:8 {}",
)  # fmt: skip
SLOT_S = 0.02
REPLY_TIMEOUT_S = 8.0


@dataclass
class Planted:
    """The values that were planted, by the field they stand in."""

    values: dict[str, str] = field(default_factory=dict)

    def make(self, where: str, length: int = 14) -> str:
        """Return a fresh value for a field, of letters and digits."""
        value = "".join(secrets.choice("abcdefghkmnpqrstuvwxyz23456789") for _ in range(length))
        self.values[where] = value
        return value


def spellings(value: str) -> list[bytes]:
    """Return the forms in which a value could leak: raw, hex, base64 at any alignment, reversed, upper case."""
    raw = value.encode()
    cut = [base64.b64encode(bytes(shift) + raw)[4:-4] for shift in range(3)]  # the octets before it decide how base64 cuts it
    return [raw, raw[::-1], raw.upper(), raw.hex().encode(), raw.hex().upper().encode(), *cut]


def _md5(text: str) -> str:
    """Return H(text) of RFC 2617 §3.2.1."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class CanaryCaller:
    """Registers, calls, talks and hangs up, planting as it goes."""

    def __init__(self, login: Login, address: str) -> None:
        self.login, self.planted = login, Planted()
        self.box = (login.host, login.port)
        self.sip = self._bound(address)
        self.rtp, self.rtcp = self._bound(address), self._bound(address)
        self.address, self.port = self.sip.getsockname()
        plant = self.planted.make
        self.user, self.call_id = plant("Contact user"), plant("Call-ID")
        self.tag, self.realm_seen = plant("From tag"), ""
        self.ssrc, self.cname = secrets.randbits(32), plant("RTCP CNAME")
        self.cseq = secrets.randbelow(2**20) + 70_000
        self.to = ""

    @staticmethod
    def _bound(address: str) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((address, 0))
        bound.settimeout(REPLY_TIMEOUT_S)
        return bound

    # SIP

    def _via(self) -> str:
        branch = self.planted.make(f"Via branch {secrets.token_hex(3)}")
        host = self.planted.make(f"Via host {branch}")
        return f"Via: SIP/2.0/UDP {host}.invalid:{self.port};branch=z9hG4bK{branch};rport"

    def _request(self, method: str, uri: str, extra: list[str], body: str = "") -> str:
        """Return a request. Its To carries the display name planted for it."""
        display = self.planted.make(f"{method} From display name")
        lines = [
            f"{method} {uri} SIP/2.0", self._via(), "Max-Forwards: 61",
            f'From: "{display}" <sip:{self.login.user}@{self.login.host}>;tag={self.tag}',
            f"To: <{uri if method != 'REGISTER' else f'sip:{self.login.user}@{self.login.host}'}>{self.to}",
            f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} {method}",
            f'Contact: <sip:{self.user}@{self.address}:{self.port};ob>;+sip.instance="<urn:uuid:{self.planted.make(f"{method} instance")}>"',
            *extra, f"Content-Length: {len(body)}",
        ]  # fmt: skip
        return "\r\n".join([*lines, "", body])

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
        secret = _md5(f"{self.login.user}:{fields['realm']}:{self.login.password.reveal().decode()}")
        answer = _md5(f"{secret}:{fields['nonce']}:00000001:{cnonce}:auth:{_md5(f'{method}:{uri}')}")
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
        lines = [f"ACK {uri} SIP/2.0", first, "Max-Forwards: 61", f"From: <sip:{self.login.user}@{self.login.host}>;tag={self.tag}", f"To: {to.group(1)}"]
        self.sip.sendto("\r\n".join([*lines, f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} ACK", "Content-Length: 0", "", ""]).encode(), self.box)

    def register(self) -> None:
        """Register with the box."""
        final = self._exchange("REGISTER", f"sip:{self.login.host}", ["Expires: 300"])
        assert final.startswith("SIP/2.0 200"), final

    def _sdp(self) -> str:
        plant = self.planted.make
        head = ["v=0", f"o={plant('SDP o= user')} {secrets.randbits(40)} 1 IN IP4 {self.address}"]
        session = [line.format(plant(f"SDP {line}")) for line in SDP_LINES]
        media = [f"m=audio {self.rtp.getsockname()[1]} RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000"]
        media += [line.format(plant(f"SDP media {line}"), plant(f"SDP media {line} second"), n=self.ssrc) for line in SDP_MEDIA_LINES]
        media += [f"a=rtcp:{self.rtcp.getsockname()[1]} IN IP4 {self.address}", "a=sendrecv"]
        ordered = [*[line for line in session if line[0] in "siuep"], f"c=IN IP4 {self.address}", "t=0 0", *[line for line in session if line[0] == "a"]]
        # `second` is planted only where a line has two places; the rest is forgotten again.
        text = "\r\n".join([*head, *ordered, *media, ""])
        for where in [where for where, value in self.planted.values.items() if where.startswith("SDP media") and value not in text]:
            del self.planted.values[where]
        return text

    def call(self, uri: str) -> None:
        """Call, planting a value in every header, and wait for the answer."""
        self.call_id = self.planted.make("INVITE Call-ID")
        headers = [f"{name}: {self.planted.make(name)}" for name in HEADERS]
        headers += ["Content-Type: application/sdp"]
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
        sequence, stamp = secrets.randbits(15), secrets.randbits(31)
        begun = time.monotonic()
        for index in range(int(seconds / SLOT_S)):
            header = struct.pack("!BBHII", 0x80, 8, (sequence + index) % 2**16, (stamp + 160 * index) % 2**32, self.ssrc)
            self.rtp.sendto(header + secrets.token_bytes(160), self.box_rtp)
            if index % 50 == 0:
                self.rtcp.sendto(self._rtcp(), (self.box_rtp[0], self.box_rtp[1] + 1))
            time.sleep(max(0.0, begun + (index + 1) * SLOT_S - time.monotonic()))

    def _rtcp(self) -> bytes:
        report = struct.pack("!BBHIIIIII", 0x80, 200, 6, self.ssrc, 1, 2, 3, 4, 5)
        item = bytes([1, len(self.cname)]) + self.cname.encode()
        chunk = struct.pack("!I", self.ssrc) + item + bytes(4 - len(item) % 4)
        return report + struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk

    def hang_up(self) -> None:
        """End the call with a BYE that carries planted statistics."""
        final = self._exchange(
            "BYE", self.remote, [f"X-RTP-Stat: CS=0;{self.planted.make('BYE X-RTP-Stat')}", f"Reason: Q.850;text={self.planted.make('BYE Reason')}"]
        )
        assert final.startswith("SIP/2.0 200"), final

    def close(self) -> None:
        """Unregister, so that the box has no phone of ours for the tests that follow, and close the sockets."""
        self.to = ""
        final = self._exchange("REGISTER", f"sip:{self.login.host}", ["Expires: 0"])
        assert final.startswith("SIP/2.0 200"), final
        for each in (self.sip, self.rtp, self.rtcp):
            each.close()
