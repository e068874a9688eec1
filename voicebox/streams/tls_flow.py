"""A program's TLS connection that is ended here, and the one to the contact's service in its place: octets to octets. Pure: takes `now`, in seconds of the monotonic clock.

    HELLO      the program's ClientHello comes                     -> Hello to the box
    NAMING     the box says for whom to ask, and what to show      <- Lead
    SERVICE    the handshake with the service, TLS 1.3             -> Shown to the box
    CHECKING   the box looks at the service's certificate          <- Good
    LOCAL      the handshake with the program, TLS 1.2 at least
    OPEN       what one says is said to the other
    ENDING     what is left is sent, then both are closed; the only end

Nothing is answered to the program before the service is known to be good: where it is not, the answer to its ClientHello is an alert. Nothing is decided here of names and
certificates: the box does (tls_checks.py). NOT here: sockets (tls_process.py). Spec: RFC 8446 §4.1.2, §6; RFC 6066 §3. Departure: no ALPN, so HTTP/1.1 is what both speak.
"""

from __future__ import annotations

import ssl
from enum import Enum, auto, unique

from voicebox.sip.framing import StreamBroken
from voicebox.sip.tls import TlsWire, server_context
from voicebox.streams.tls_words import MAX_SHOWN_OCTETS, Begin, Ending, Good, Hello, Lead, Over, Refuse, Shown, Word

HANDSHAKE_S = 60.0
"""As long as a stream may take to be opened: the line may be given up for people who talk."""
HALF_CLOSED_S = 120.0
"""So long nothing may come of the one after the other has said that nothing more comes."""
MAX_HELLO_OCTETS = 32_768
ENOUGH_OCTETS = 65_536
"""So much waits to be sent to one at most; then the other is not read."""
NEVER = float("inf")
NOT_THERE = ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
LATE = ssl.AlertDescription.ALERT_DESCRIPTION_USER_CANCELLED


@unique
class State(Enum):
    """In their order."""

    HELLO = auto()
    NAMING = auto()
    SERVICE = auto()
    CHECKING = auto()
    LOCAL = auto()
    OPEN = auto()
    ENDING = auto()


@unique
class Step(Enum):
    """What leads on."""

    HEARD = auto()
    LED = auto()
    SHOWN = auto()
    GOOD = auto()
    READY = auto()
    ENDED = auto()


TABLE: dict[tuple[State, Step], State] = {
    (State.HELLO, Step.HEARD): State.NAMING,
    (State.NAMING, Step.LED): State.SERVICE,
    (State.SERVICE, Step.SHOWN): State.CHECKING,
    (State.CHECKING, Step.GOOD): State.LOCAL,
    (State.LOCAL, Step.READY): State.OPEN,
    **{(state, Step.ENDED): State.ENDING for state in State if state is not State.ENDING},
}
READS_PROGRAM = frozenset({State.HELLO, State.LOCAL, State.OPEN})
READS_SERVICE = frozenset({State.SERVICE, State.OPEN})


class ClientHello:
    """Reads a ClientHello, as the library does, and refuses it. alert: with which."""

    def __init__(self, alert: int = ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sni_callback = self._told
        self._alert = alert
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self.is_whole = False
        self.name: str | None = None
        self.refusal = b""
        """What to send to the program to refuse it; where it is set and is_whole is not, that was no ClientHello."""

    def _told(self, _tls: object, name: str | None, _context: object) -> int:
        self.is_whole, self.name = True, name
        return self._alert

    def feed(self, octets: bytes) -> bool:
        """Take octets of the program; return whether that is all that is needed. Raises StreamBroken for what is no ClientHello of TLS 1.2 or later."""
        self._in.write(octets)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            self.refusal = self._out.read()
        if not self.is_whole:
            raise StreamBroken("no TLS that is spoken here")
        return True


class TlsFlow:
    """One program and one service.

    to_program, to_service: octets to be sent; words: for the box. Contract: after each call send these and forget what was sent; read a side where reads_program or reads_service
    says so, and call receive_program() or receive_service() with what came, b"" for its end; call handle_timer() at `until`. In ENDING send what is left and close both.
    """

    def __init__(self, begin: Begin, now: float) -> None:
        self._number = begin.flow
        self.state = State.HELLO
        self.until = now + HANDSHAKE_S
        self.to_program, self.to_service = bytearray(), bytearray()
        self.words: list[Word] = []
        self._hello, self._reader = bytearray(), ClientHello()
        self._program: TlsWire | None = None
        self._service: TlsWire | None = None
        self._own = b""
        self._held = b""
        """What the service said before the program could hear it."""
        self._program_ended = self._service_told = False
        if begin.first:
            self.receive_program(begin.first, now)

    @property
    def reads_program(self) -> bool:
        """Return whether anything of the program is wanted."""
        return self.state in READS_PROGRAM and not self._program_ended and len(self.to_service) < ENOUGH_OCTETS

    @property
    def reads_service(self) -> bool:
        """Return whether anything of the service is wanted."""
        return self.state in READS_SERVICE and len(self.to_program) < ENOUGH_OCTETS

    def _go(self, step: Step) -> None:
        self.state = TABLE[self.state, step]

    def _end(self, ending: Ending) -> None:
        self._go(Step.ENDED)
        self.until = NEVER
        self.words.append(Over(self._number, ending))

    def _refuse(self, alert: int, ending: Ending) -> None:
        """Refuse the program, which has been answered nothing yet."""
        refusal = ClientHello(alert)
        refusal.feed(bytes(self._hello))
        self.to_program += refusal.refusal
        self._end(ending)

    # ---------------------------------------------------------------------------------------------------------- the box

    def obey(self, word: Word) -> None:
        """Take what the box says. What does not belong there means nothing: the flow ended meanwhile."""
        match word, self.state:
            case Lead(label=label, own=own), State.NAMING:
                self._own = own
                self._go(Step.LED)
                self._service = TlsWire(_service_context(), label)
                self._from_service(self._service, b"")
            case Good(), State.CHECKING:
                self._go(Step.GOOD)
                self._program = TlsWire(server_context(self._own))
                self._from_program(self._program, bytes(self._hello))
            case Refuse(alert=alert), State.NAMING | State.CHECKING:
                self._refuse(alert, Ending.REFUSED)
            case _:
                pass

    # ------------------------------------------------------------------------------------------------------ the program

    def receive_program(self, octets: bytes, now: float) -> None:
        """Take what the program sent; b"": nothing more comes."""
        if not octets:
            self._program_ended = True
            if self._program is None or not self._program.is_over:  # else it said so before, and may still hear
                self._end(Ending.DONE if self.state is State.OPEN else Ending.GONE)
        elif self.state is State.HELLO:
            self._read_hello(octets)
        elif self._program is not None and self.state in READS_PROGRAM:
            self._from_program(self._program, octets)
            if self._program.is_over and self.state is State.OPEN:
                self.until = now + HALF_CLOSED_S

    def _read_hello(self, octets: bytes) -> None:
        self._hello += octets
        try:
            if self._reader.feed(octets):
                self._go(Step.HEARD)
                self.words.append(Hello(self._number, self._reader.name))
                return
        except StreamBroken:
            self.to_program += self._reader.refusal
            self._end(Ending.NO_PROGRAM)
            return
        if len(self._hello) > MAX_HELLO_OCTETS:
            self._end(Ending.NO_PROGRAM)

    def _from_program(self, program: TlsWire, octets: bytes) -> None:
        try:
            said = program.feed(octets)
        except StreamBroken:
            said = None
        self.to_program += program.take()
        if said is None:
            self._end(Ending.NO_PROGRAM if self.state is State.LOCAL else Ending.DONE)
            return
        if self.state is State.LOCAL:
            if not program.is_ready:
                return
            self._go(Step.READY)
            self.until = NEVER
            self._say(program, self._held)
            self._held = b""
        service = self._service
        assert service is not None
        if said:
            service.seal(said)
        if program.is_over and not self._service_told:
            self._service_told = True
            service.close()
        self.to_service += service.take()
        if service.is_over:  # it had ended before the program could hear it
            self._close_program(program)

    def _say(self, program: TlsWire, octets: bytes) -> None:
        if octets:
            program.seal(octets)
            self.to_program += program.take()

    def _close_program(self, program: TlsWire) -> None:
        program.close()
        self.to_program += program.take()
        self._end(Ending.DONE)

    # ------------------------------------------------------------------------------------------------------ the service

    def receive_service(self, octets: bytes, now: float) -> None:
        """Take what the service sent; b"": nothing more comes, and where it did not say so in TLS, the program is not told so either."""
        if self.state not in READS_SERVICE or self._service is None:
            return
        if octets:
            if self.until < NEVER and self.state is State.OPEN:
                self.until = now + HALF_CLOSED_S
            self._from_service(self._service, octets)
        elif self.state is State.SERVICE:
            self._refuse(NOT_THERE, Ending.NO_SERVICE)
        else:
            self._end(Ending.DONE)

    def _from_service(self, service: TlsWire, octets: bytes) -> None:
        try:
            said = service.feed(octets)
        except StreamBroken:
            self.to_service += service.take()
            if self.state is State.SERVICE:
                self._refuse(NOT_THERE, Ending.NO_SERVICE)
            else:
                self._end(Ending.DONE)
            return
        self.to_service += service.take()
        if self.state is State.SERVICE:
            self._held += said
            certificate = service.peer_certificate() if service.is_ready else None
            if certificate is not None:
                self._go(Step.SHOWN)
                self.words.append(Shown(self._number, certificate[:MAX_SHOWN_OCTETS]))
            return
        program = self._program
        assert program is not None
        self._say(program, said)
        if service.is_over:
            self._close_program(program)

    def lose(self, *, is_program: bool) -> None:
        """Take that nothing can be sent to one of them any more."""
        if self.state is State.OPEN:
            self._end(Ending.DONE)
        elif is_program:
            self._end(Ending.GONE)
        elif self.state is State.LOCAL:
            self._end(Ending.NO_SERVICE)  # the program is in its handshake, and can be told nothing else
        else:
            self._refuse(NOT_THERE, Ending.NO_SERVICE)

    # ------------------------------------------------------------------------------------------------------------- time

    def handle_timer(self, now: float) -> None:
        """End it where it is time."""
        if now < self.until:
            return
        if self.state is State.OPEN:
            self._end(Ending.DONE)
        elif self.state in {State.NAMING, State.SERVICE, State.CHECKING}:
            self._refuse(LATE, Ending.LATE)
        else:
            self._end(Ending.LATE)


def _service_context() -> ssl.SSLContext:
    """Return what the connection to a service is made with. Whose its certificate is the box finds out, which knows more of that than the library."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
