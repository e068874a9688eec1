"""TLS of one connection, from octets to octets: the library without its socket. Pure.

Drivers: transport.py feeds what came and sends what take() gives, after each call. NOT here: sockets, time limits, certificates (contacts/phone_authority.py).
Spec: RFC 8446, RFC 5246. Bounds: TLS 1.2 at least, no renegotiation, no tickets, no compression; a record at a time.
"""

from __future__ import annotations

import contextlib
import ssl

from voicebox.sip.framing import StreamBroken
from voicebox.tls_key import load_key

READ_OCTETS = 65_536


def server_context(key_and_certificate: bytes) -> ssl.SSLContext:
    """Return what all connections of phones share. key_and_certificate: PEM. Raises OSError (of which SSLError is one) where they will not do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # phones with older libraries have no 1.3
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    load_key(context, key_and_certificate)
    return context


def client_context(authority: str | None) -> ssl.SSLContext:
    """Return what connections to a server are made with. authority: PEM of who vouches for it, None for the system's. Raises OSError (of which SSLError is one)."""
    context = ssl.create_default_context(cadata=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    return context


class TlsWire:
    """One connection. Contract: after feed(), seal() and close() send what take() returns. After StreamBroken or is_over throw it away.

    server_name: of the server that is connected to, which its certificate must name, and then feed(b"") begins; None where we are the server.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server_name is None, server_hostname=server_name)
        self.is_ready = False
        """The handshake is done."""
        self.is_over = False
        """The phone has said that nothing more comes."""

    def feed(self, octets: bytes) -> bytes:
        """Take octets of the phone and return what it said in them. Raises StreamBroken."""
        self._in.write(octets)
        said = bytearray()
        try:
            if not self.is_ready:
                self._tls.do_handshake()
                self.is_ready = True
            while piece := self._tls.read(READ_OCTETS):
                said += piece
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_over = True
        except ssl.SSLError:
            raise StreamBroken("no TLS that is spoken here") from None  # its text may name the peer's certificate
        return bytes(said)

    def peer_certificate(self) -> bytes | None:
        """Return the certificate that the peer showed, DER, of whose key it has proved to have the private one. Only when is_ready."""
        return self._tls.getpeercert(binary_form=True)

    def seal(self, octets: bytes) -> None:
        """Encipher octets for the phone. Only when is_ready; the queue in memory takes all."""
        self._tls.write(octets)

    def take(self) -> bytes:
        """Return what is to be sent, and forget it."""
        return self._out.read()

    def close(self) -> None:
        """Say that nothing more comes."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
