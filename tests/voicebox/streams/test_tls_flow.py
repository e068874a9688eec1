"""A program and a service over one flow, in memory, with the library at all four ends: in order, in pieces, and in every disorder."""

from __future__ import annotations

import ssl
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.tls_services import ALICE, LOCAL, NOW, End, contact, program_context, service_context
from voicebox.contacts.identity import end_certificate
from voicebox.streams.tls_checks import ALERTS, Cause, ServiceRefused, check_service
from voicebox.streams.tls_flow import ENOUGH_OCTETS, HALF_CLOSED_S, HANDSHAKE_S, MAX_HELLO_OCTETS, NEVER, TABLE, State, Step, TlsFlow
from voicebox.streams.tls_words import MAX_SHOWN_OCTETS, Begin, Ending, Good, Hello, Lead, Over, Refuse, Shown, Word
from voicebox.tls_key import load_key

NAME = "nas.alice.privacy"


class Town:
    """One flow between a program and a service, and a box that says what it is told to."""

    def __init__(self, program: ssl.SSLContext | None = None, service: ssl.SSLContext | None = None, name: str | None = NAME, piece: int = 1 << 20) -> None:
        context = program or program_context()
        if name is None:
            context.check_hostname = False
        self.program, self.service = End(context, name), End(service or service_context(), server=True)
        self.flow, self.piece = TlsFlow(Begin(7, b""), 0.0), piece
        self.said: list[Word] = []
        self.told = 0
        """Octets that the program heard."""
        self.waiting = b"", b""
        """What the program and the service said and the flow does not read yet."""
        self.answers: dict[type[Word], Word] = {Hello: Lead(7, "nas", LOCAL.server((NAME,), NOW)), Shown: Good(7)}

    def run(self) -> None:
        """Carry everything until nothing moves."""
        moved = True
        while moved:
            moved = False
            self.waiting = self.waiting[0] + self.program.take(), self.waiting[1] + self.service.take()
            while self.waiting[0] and self.flow.reads_program:
                moved, octets = True, self.waiting[0][: self.piece]
                self.waiting = self.waiting[0][self.piece :], self.waiting[1]
                self.flow.receive_program(octets, 0.0)
                self.answer()
            while self.waiting[1] and self.flow.reads_service:
                moved, octets = True, self.waiting[1][: self.piece]
                self.waiting = self.waiting[0], self.waiting[1][self.piece :]
                self.flow.receive_service(octets, 0.0)
                self.answer()
            moved |= self.answer()
            for out, end in ((self.flow.to_program, self.program), (self.flow.to_service, self.service)):
                if out:
                    moved = True
                    self.told += len(out) if end is self.program else 0
                    end.feed(bytes(out))
                    out.clear()

    def answer(self) -> bool:
        words, self.flow.words = self.flow.words, []
        self.said += words
        for word in words:
            if type(word) in self.answers:
                self.flow.obey(self.answers[type(word)])
        return bool(words)

    @property
    def ending(self) -> Ending | None:
        return next((word.ending for word in self.said if isinstance(word, Over)), None)


def alert_in(error: ssl.SSLError | None) -> str:
    assert error is not None
    return str(error.reason)


@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
def test_what_one_says_the_other_hears_and_both_know_for_whom(piece: int) -> None:
    town = Town(piece=piece)
    town.run()
    assert (town.flow.state, town.flow.until) == (State.OPEN, NEVER)
    assert town.said[0] == Hello(7, NAME)
    assert town.program.tls.getpeercert()["subjectAltName"] == (("DNS", NAME),)  # type: ignore[index] # it was checked, so there is one
    assert town.service.tls.version() == "TLSv1.3"
    question, answer = Random(1).randbytes(50_000), Random(2).randbytes(100_000)
    town.program.say(question)
    town.service.say(answer)
    town.run()
    assert (town.service.heard, town.program.heard) == (question, answer)


def test_the_service_is_asked_for_its_label_and_never_for_the_petname() -> None:
    context, asked = service_context(), list[str | None]()
    context.sni_callback = lambda _tls, name, _context: asked.append(name)
    town = Town(service=context)
    town.run()
    assert (asked, town.flow.state) == (["nas"], State.OPEN)


def test_a_program_of_tls_1_2_is_served_and_older_ones_and_older_services_are_not() -> None:
    older = program_context()
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    town = Town(program=older)
    town.run()
    assert (town.flow.state, town.program.tls.version()) == (State.OPEN, "TLSv1.2")
    service = service_context()
    service.maximum_version = ssl.TLSVersion.TLSv1_2
    town = Town(service=service)
    town.run()
    assert (town.ending, alert_in(town.program.error)) == (Ending.NO_SERVICE, "SSLV3_ALERT_HANDSHAKE_FAILURE")


def test_a_program_that_says_no_name_is_heard_so() -> None:
    town = Town(name=None)
    town.run()
    assert (town.said[0], town.flow.state) == (Hello(7, None), State.OPEN)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause.NAME, "TLSV1_UNRECOGNIZED_NAME"),
        (Cause.CONTACT, "TLSV1_ALERT_ACCESS_DENIED"),
        (Cause.FOREIGN, "TLSV1_ALERT_UNKNOWN_CA"),
        (Cause.EXPIRED, "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
        (Cause.REVOKED, "SSLV3_ALERT_CERTIFICATE_REVOKED"),
        (Cause.OTHER_NAME, "SSLV3_ALERT_BAD_CERTIFICATE"),
        (Cause.OWN, "TLSV1_ALERT_INTERNAL_ERROR"),
    ],
)
@pytest.mark.parametrize("asked", [Hello, Shown])
def test_a_refusal_is_an_alert_and_nothing_of_a_certificate_was_shown(cause: Cause, reason: str, asked: type[Word]) -> None:
    town = Town()
    town.answers[asked] = Refuse(7, ALERTS[cause])
    town.run()
    assert (town.flow.state, town.ending, alert_in(town.program.error)) == (State.ENDING, Ending.REFUSED, reason)
    assert town.told == 7, "one record of two octets"


def test_a_certificate_without_end_is_told_in_part() -> None:
    key = Ed25519PrivateKey.generate()
    builder = end_certificate(ALICE.authority_certificate, key.public_key(), "nas", NOW, 30)
    long = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(60_000)), critical=False).sign(key, None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key(context, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + long.public_bytes(Encoding.PEM))
    town = Town(service=context)
    town.run()
    shown = [word.certificate for word in town.said if isinstance(word, Shown)]
    assert [len(each) for each in shown] == [MAX_SHOWN_OCTETS]
    with pytest.raises(ServiceRefused):
        check_service(shown[0], "nas", contact(), NOW)


def test_what_the_service_says_first_waits_for_the_program() -> None:
    town = Town()
    town.answers.pop(Shown)
    town.run()
    assert (town.flow.state, town.flow.reads_service) == (State.CHECKING, False)
    town.service.say(b"220 ready\r\n")
    town.run()
    town.flow.obey(Good(7))
    town.run()
    assert town.program.heard == b"220 ready\r\n"


def test_the_end_is_told_in_tls_and_one_may_end_before_the_other() -> None:
    town = Town()
    town.run()
    town.program.say(b"the question")
    town.program.close()
    town.run()
    assert (town.service.heard, town.service.over, town.flow.state) == (b"the question", True, State.OPEN)
    assert town.flow.until == HALF_CLOSED_S
    town.flow.receive_program(b"", 1.0)
    assert town.flow.state is State.OPEN, "it said before that nothing more comes"
    town.service.say(b"the answer")
    town.service.close()
    town.run()
    assert (town.program.heard, town.program.over, town.ending) == (b"the answer", True, Ending.DONE)


def test_an_end_that_was_not_told_is_not_told_on() -> None:
    town = Town()
    town.run()
    town.flow.receive_service(b"", 0.0)
    town.run()
    assert (town.ending, town.program.over, town.flow.to_program) == (Ending.DONE, False, bytearray())


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(40), b"SSH-2.0-x\r\n" * 3])
def test_what_is_no_client_hello_ends_at_once_and_the_service_hears_nothing(octets: bytes) -> None:
    town = Town()
    town.flow.receive_program(octets, 0.0)
    town.flow.receive_program(bytes(MAX_HELLO_OCTETS), 0.0)
    town.answer()
    assert (town.flow.state, town.ending, town.flow.to_service) == (State.ENDING, Ending.NO_PROGRAM, bytearray())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a name that is no text: the library refuses it, and says so
def test_any_change_of_a_client_hello_is_served_as_it_is_or_refused(fuzz_inputs: int) -> None:
    rng, hello = Random(20_260), End(program_context(), NAME).take()
    endings = set[object]()
    for _ in range(max(200, fuzz_inputs // 50)):
        changed = bytearray(hello)
        for _ in range(rng.choice((1, 1, 3, 20))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        flow = TlsFlow(Begin(1, bytes(changed[: rng.randint(1, len(changed))])), 0.0)
        if flow.state is State.HELLO:
            flow.receive_program(b"", 1.0)
        endings |= {type(word) for word in flow.words} | {flow.state}
        assert flow.state in {State.NAMING, State.ENDING}
        assert len(flow.to_program) < 100
    assert {Hello, Over, State.NAMING, State.ENDING} <= endings


def test_a_program_that_does_not_trust_the_box_is_counted() -> None:
    town = Town(program=ssl.create_default_context(cadata=LOCAL.to_install.decode()), name="other.alice.privacy")
    town.run()
    assert "CERTIFICATE_VERIFY_FAILED" in alert_in(town.program.error)
    assert town.ending is Ending.NO_PROGRAM


@pytest.mark.parametrize("stage", [State.HELLO, State.NAMING, State.SERVICE, State.CHECKING, State.LOCAL])
def test_whoever_does_not_go_on_is_given_up(stage: State) -> None:
    town = Town()
    hello = town.program.take()
    if stage is not State.HELLO:
        town.flow.receive_program(hello, 0.0)
    if stage in {State.SERVICE, State.CHECKING, State.LOCAL}:
        town.flow.obey(town.answers[Hello])
    if stage in {State.CHECKING, State.LOCAL}:
        while town.flow.state is State.SERVICE:
            town.service.feed(bytes(town.flow.to_service))
            town.flow.to_service.clear()
            town.flow.receive_service(town.service.take(), 0.0)
    if stage is State.LOCAL:
        town.flow.obey(Good(7))
    assert town.flow.state is stage
    town.flow.handle_timer(HANDSHAKE_S - 1)
    assert town.flow.state is stage
    town.flow.handle_timer(HANDSHAKE_S)
    assert (town.flow.state, town.flow.until) == (State.ENDING, NEVER)
    assert town.flow.words[-1] == Over(7, Ending.LATE)


def test_who_is_not_read_stops_the_other() -> None:
    town = Town()
    town.run()
    while town.flow.reads_service:
        town.service.say(bytes(16_000))
        town.flow.receive_service(town.service.take(), 0.0)
    assert ENOUGH_OCTETS <= len(town.flow.to_program) < 2 * ENOUGH_OCTETS
    town.flow.to_program.clear()
    assert town.flow.reads_service


def test_words_that_do_not_belong_there_mean_nothing() -> None:
    town = Town()
    for word in (Good(7), Lead(7, "nas", b""), Refuse(7, 40), Over(7, Ending.DONE)):
        town.flow.obey(word)
        assert (town.flow.state, town.flow.words) == (State.HELLO, [])
    town.run()
    for word in (Good(7), Lead(7, "nas", b""), Refuse(7, 40)):
        town.flow.obey(word)
        assert town.flow.state is State.OPEN


def test_every_state_but_the_last_has_an_end() -> None:
    assert {state for state, step in TABLE if step is Step.ENDED} == set(State) - {State.ENDING}
    assert not [state for state, _ in TABLE if state is State.ENDING]
