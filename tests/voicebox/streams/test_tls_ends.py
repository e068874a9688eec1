"""The process that speaks TLS, as the box has it: real connections, a service in a thread, and whatever goes wrong at either end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.tls_services import BOB, NOW, SUFFIXES, contact, service_context
from voicebox.contacts.contact import Contact
from voicebox.contacts.local_authority import LocalAuthority
from voicebox.contacts.local_authority_file import LOCAL_AUTHORITY, local_authority
from voicebox.contacts.revoked import Revoked
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HostError
from voicebox.streams import tls_ends as module
from voicebox.streams import tls_process
from voicebox.streams.tls_checks import TlsService
from voicebox.streams.tls_ends import TlsEnds

TO = TlsService("alice", "web", "nas")
NAME = "nas.alice.privacy"
WAIT_S = 60


class House:
    """A box's ends, its contacts, and what programs of it trust."""

    def __init__(self, home: Path) -> None:
        self.store = StateDirectory(home)
        self.contacts: dict[str, Contact] = {"alice": contact()}
        self.ends = TlsEnds(self.store, SUFFIXES, self.contacts.get)
        self.trusted = ssl.create_default_context(cadata=local_authority(self.store, SUFFIXES, NOW).to_install.decode())
        self.services: list[threading.Thread] = []

    def flow(self, serve: Callable[[socket.socket], None], to: TlsService = TO, first: bytes = b"", room: int | None = None) -> socket.socket:
        """Begin a flow to a service; return the program's end. room: octets that wait for the program outside of the process, about."""
        (program, its), (service, far) = socket.socketpair(), socket.socketpair()
        if room is not None:
            its.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        program.settimeout(WAIT_S)
        far.settimeout(WAIT_S)
        with its, service, contextlib.ExitStack() as held:
            held.enter_context(program)
            held.enter_context(far)
            self.ends.take(its, service, to, first)
            held.pop_all()

        def work() -> None:
            with far, contextlib.suppress(OSError):
                serve(far)

        self.services.append(threading.Thread(target=work, daemon=True))
        self.services[-1].start()
        return program

    async def asked(self, program: socket.socket, name: str | None = NAME) -> str:
        """Ask as a program does; return the answer, or why there was none."""
        context = self.trusted
        if name is None:
            context = ssl.create_default_context(cadata=local_authority(self.store, SUFFIXES, NOW).to_install.decode())
            context.check_hostname = False

        def ask() -> str:
            try:
                with context.wrap_socket(program, server_hostname=name, suppress_ragged_eofs=False) as wrapped:
                    wrapped.sendall(b"a question\n")
                    return wrapped.makefile("rb").read().decode()
            except ssl.SSLError as error:
                return str(error.reason)
            except OSError as error:
                return type(error).__name__

        return await asyncio.to_thread(ask)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not what():  # noqa: ASYNC110 - what becomes of a process has no event of ours
                await asyncio.sleep(0.01)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    made.ends.close()
    for service in made.services:
        await asyncio.to_thread(service.join, WAIT_S)


def answering(context: ssl.SSLContext, answer: bytes = b"an answer", *, tells_end: bool = True) -> Callable[[socket.socket], None]:
    """Return a service that answers one line."""

    def serve(far: socket.socket) -> None:
        with context.wrap_socket(far, server_side=True) as wrapped:
            wrapped.makefile("rb").readline()
            wrapped.sendall(answer)
            if tells_end:
                wrapped.unwrap()

    return serve


async def test_a_program_asks_and_has_the_answer(house: House) -> None:
    program = house.flow(answering(service_context(), b"x" * 300_000))
    assert await house.asked(program) == "x" * 300_000
    await house.until(lambda: house.ends.flows == 0)
    assert house.ends.counters == {"tls_done": 1}


async def test_without_a_name_it_is_for_whom_it_connected_to(house: House) -> None:
    assert await house.asked(house.flow(answering(service_context())), None) == "an answer"
    bare = house.flow(answering(service_context("web")), TlsService("alice", "web", ""))
    assert await house.asked(bare, "alice.privacy") == "an answer"


async def test_what_was_said_before_is_heard(house: House) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = house.trusted.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with house.flow(answering(service_context()), first=outgoing.read()) as program:
        incoming.write(await asyncio.to_thread(program.recv, 65_536))
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        assert tls.version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("name", "TLSV1_UNRECOGNIZED_NAME"),
        ("contact", "TLSV1_ALERT_ACCESS_DENIED"),
        ("foreign", "TLSV1_ALERT_UNKNOWN_CA"),
        ("revoked", "SSLV3_ALERT_CERTIFICATE_REVOKED"),
        ("other_name", "SSLV3_ALERT_BAD_CERTIFICATE"),
        ("own", "TLSV1_ALERT_INTERNAL_ERROR"),
    ],
)
async def test_what_is_wrong_is_an_alert_and_counted(house: House, cause: str, reason: str) -> None:
    context, heard = service_context("tv" if cause == "other_name" else "nas"), list[bytes]()
    if cause == "contact":
        house.contacts.clear()
    if cause == "foreign":
        house.contacts["alice"] = contact(BOB)
    if cause == "own":
        house.store.write(LOCAL_AUTHORITY, b"damaged")
    if cause == "revoked":
        shown = x509.load_pem_x509_certificate(ssl.DER_cert_to_PEM_cert(_shown_by(context)).encode())
        house.contacts["alice"] = replace(contact(), revoked=Revoked(1, (shown.serial_number,)))

    def serve(far: socket.socket) -> None:
        with context.wrap_socket(far, server_side=True) as wrapped:
            heard.append(wrapped.recv(100))

    name = "other.alice.privacy" if cause == "name" else NAME
    assert await house.asked(house.flow(serve), name) == reason
    assert house.ends.counters == {f"tls_refused_{cause}": 1}
    await house.until(lambda: house.ends.flows == 0)
    house.ends.close()
    assert heard in ([], [b""]), "nothing of what the program says"


def _shown_by(context: ssl.SSLContext) -> bytes:
    one, other = socket.socketpair()
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE

    def serve() -> None:
        with contextlib.suppress(OSError), context.wrap_socket(other, server_side=True):
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    with asking.wrap_socket(one) as wrapped:
        der = wrapped.getpeercert(binary_form=True)
    thread.join()
    assert der is not None
    return der


@pytest.mark.parametrize("what", [b"HTTP/1.1 400 no TLS\r\n\r\n", b"", b"\x15\x03\x03\x00\x02\x02\x28"])
async def test_a_service_that_speaks_no_tls_is_said_so(house: House, what: bytes) -> None:
    assert await house.asked(house.flow(lambda far: far.sendall(what))) == "SSLV3_ALERT_HANDSHAKE_FAILURE"
    await house.until(lambda: house.ends.flows == 0)
    assert house.ends.counters == {"tls_no_service": 1}


@pytest.mark.parametrize("what", [b"GET / HTTP/1.1\r\nHost: nas.alice.privacy\r\n\r\n", bytes(100_000), b"\x16\x03\x01"])
async def test_a_program_that_speaks_none_ends_and_the_service_hears_nothing(house: House, what: bytes) -> None:
    heard = list[bytes]()
    program = house.flow(lambda far: heard.append(far.recv(100)))
    with program, contextlib.suppress(OSError):
        await asyncio.to_thread(program.sendall, what)
        program.shutdown(socket.SHUT_WR)
        assert len(await asyncio.to_thread(program.recv, 100)) < 10
    await house.until(lambda: house.ends.flows == 0)
    await house.until(lambda: len(heard) == 1)
    assert heard == [b""]
    assert house.ends.counters in ({"tls_no_program": 1}, {"tls_gone": 1})


async def test_an_answer_that_was_cut_off_is_not_taken_for_whole(house: House) -> None:
    assert await house.asked(house.flow(answering(service_context(), tells_end=False))) == "UNEXPECTED_EOF_WHILE_READING"


async def test_who_takes_the_last_octets_late_has_them_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_process, "CLOSE_S", 0.1)  # it runs in a thread here
    monkeypatch.setattr(module, "start_apart", _in_a_thread)
    program = house.flow(answering(service_context(), b"x" * 90_000), room=8_000)
    wrapped = await asyncio.to_thread(house.trusted.wrap_socket, program, server_hostname=NAME)
    with wrapped:
        await asyncio.to_thread(wrapped.sendall, b"a question\n")
        await house.until(lambda: house.ends.flows == 0)
        await asyncio.sleep(1)
        assert len(await asyncio.to_thread(wrapped.makefile("rb").read)) == 90_000


def _in_a_thread(_arguments: list[str], descriptor: int) -> None:
    control = socket.socket(fileno=socket.dup(descriptor))

    def work() -> None:
        with control:
            tls_process.TlsProcess(control).run()

    threading.Thread(target=work, daemon=True).start()  # it ends when the box closes its end


async def test_another_authority_that_the_user_wants_is_used_from_then_on(house: House) -> None:
    assert await house.asked(house.flow(answering(service_context()))) == "an answer"
    house.store.remove(LOCAL_AUTHORITY)
    assert await house.asked(house.flow(answering(service_context()))) == "CERTIFICATE_VERIFY_FAILED"
    await house.until(lambda: house.ends.flows == 0)
    assert house.ends.counters == {"tls_done": 1, "tls_no_program": 1}


async def test_a_flow_that_the_library_cannot_have_costs_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(LocalAuthority, "server", lambda _authority, _names, _now: b"no key")
        assert await house.asked(house.flow(answering(service_context()))) != "an answer"
    await house.until(lambda: house.ends.flows == 0)
    assert await house.asked(house.flow(answering(service_context()))) == "an answer"
    assert house.ends.counters["tls_process_ended"] == 0


async def test_there_is_a_bound_and_one_that_ends_makes_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FLOWS", 3)
    waiting = [house.flow(lambda far: None) for _ in range(3)]
    with pytest.raises(HostError, match="Too many"):
        house.flow(answering(service_context()))
    assert (house.ends.flows, house.ends.counters) == (3, {"tls_too_many": 1})
    waiting.pop().close()
    await house.until(lambda: house.ends.flows == 2)
    assert await house.asked(house.flow(answering(service_context()))) == "an answer"
    for each in waiting:
        each.close()


async def test_flows_beside_each_other_do_not_wait_for_each_other(house: House) -> None:
    def listens(far: socket.socket) -> None:
        far.recv(100)

    silent = [house.flow(listens) for _ in range(20)]
    answers = await asyncio.gather(*(house.asked(house.flow(answering(service_context(), b"%d" % number))) for number in range(10)))
    assert answers == [str(number) for number in range(10)]
    for each in silent:
        each.close()


async def test_a_process_that_died_costs_its_flows_and_the_next_begins_another(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROCESS", "voicebox.errors")  # ends at once
    with contextlib.suppress(HostError):
        house.flow(lambda far: None).close()
    await house.until(lambda: house.ends.flows == 0 and house.ends.counters.total() > 0)
    monkeypatch.undo()
    assert await house.asked(house.flow(answering(service_context()))) == "an answer"


async def test_a_process_that_says_what_it_cannot_is_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[socket.socket] = []
    monkeypatch.setattr(module, "start_apart", lambda _arguments, descriptor: told.append(socket.socket(fileno=socket.dup(descriptor))))
    for said in (b"{}", b"[", b'{"good": 1}', b'{"shown": 1, "certificate": ""}', b'{"hello": 1, "name": 5}', b"\xff", b'{"over": 1, "ending": "well"}'):
        ends = TlsEnds(house.store, SUFFIXES, house.contacts.get)
        one, other = socket.socketpair()
        with one, other:
            ends.take(one, other, TO, b"")
        told[-1].send(said)
        await house.until(lambda ends=ends: ends.flows == 0)  # type: ignore[misc] # bound now, for each of them
        assert ends.counters == {"tls_process_ended": 1}
        told[-1].close()
