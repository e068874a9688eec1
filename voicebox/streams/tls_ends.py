"""The box's side of its process that speaks TLS: starts it, hands it connections, and decides what it asks. [io]

    a program's connection and one to the service -> Begin -> Hello: for which name? -> Lead -> Shown: is that the contact's? -> Good -> Over
                                                                       |                             |
                                                                       '-> Refuse, with an alert   <-'

A contact is looked up when it is decided, so what their box told of revocations a moment ago counts. NOT here: which names and certificates are good (tls_checks.py), TLS (tls_flow.py).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import socket
from collections import Counter
from collections.abc import Callable

from voicebox.contacts.contact import Contact
from voicebox.contacts.local_authority import LocalAuthority
from voicebox.contacts.local_authority_file import local_authority
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, HostError, RemoteError
from voicebox.streams.tls_checks import ALERTS, Cause, ServiceRefused, TlsService, asked_name, check_service
from voicebox.streams.tls_words import (
    MAX_FIRST_OCTETS,
    MAX_WORD_OCTETS,
    Begin,
    Ending,
    Good,
    Hello,
    Lead,
    Over,
    Refuse,
    Shown,
    Word,
    parse_word,
    serialise_word,
)
from voicebox.transcoder import start_apart

MAX_FLOWS = 256
WORDS_AT_ONCE = 64
PROCESS = "voicebox.streams.tls_process"


class TlsEnds:
    """All TLS connections that a box ends for programs of its machine.

    contact_of(petname): None where there are no calls with them. Contract: take() on the running loop; close() ends all, and the next take() begins anew.
    """

    def __init__(self, store: StateDirectory, suffixes: tuple[str, ...], contact_of: Callable[[str], Contact | None]) -> None:
        self._store, self._suffixes, self._contact_of = store, suffixes, contact_of
        self._authority: LocalAuthority | None = None
        self._control: socket.socket | None = None
        self._numbers = itertools.count(1)
        self._flows: dict[int, TlsService] = {}
        self._labels: dict[int, str] = {}
        self.counters: Counter[str] = Counter()
        """Flows by how they ended: tls_done and so on; where they were refused, by why: tls_refused_expired and so on."""

    @property
    def flows(self) -> int:
        """Return how many there are."""
        return len(self._flows)

    def take(self, program: socket.socket, service: socket.socket, to: TlsService, first: bytes) -> None:
        """Have a program's connection ended, and the service spoken to in its place; both stay the caller's. first: what the program said already. Raises HostError."""
        if len(self._flows) >= MAX_FLOWS or len(first) > MAX_FIRST_OCTETS:
            self.counters["tls_too_many"] += 1
            raise HostError("Too many programs use contacts' services over TLS.")
        control = self._control or self._start()
        number = next(self._numbers)
        try:
            socket.send_fds(control, [serialise_word(Begin(number, first))], [program.fileno(), service.fileno()])
        except OSError as error:  # it is stuck, or just gone
            self.counters["tls_too_many"] += 1
            raise HostError("The process that speaks TLS takes no connection.") from error
        self._flows[number] = to

    def close(self) -> None:
        """End the process and all flows; idempotent."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None
        self._flows.clear()
        self._labels.clear()

    def _start(self) -> socket.socket:
        control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        with its:
            try:
                start_apart(["-m", PROCESS], its.fileno())
            except OSError as error:
                control.close()
                raise HostError("No process could be started that speaks TLS.") from error
        asyncio.get_running_loop().add_reader(control, self._receive, control)
        self._control = control
        return control

    def _receive(self, control: socket.socket) -> None:
        try:
            for _ in range(WORDS_AT_ONCE):
                said = control.recv(MAX_WORD_OCTETS)
                word = parse_word(said)  # nothing: it is gone
                if word.flow in self._flows:
                    self._hear(control, word)
        except BlockingIOError:
            return
        except (OSError, RemoteError):  # it ended, or says what it cannot, or hears nothing
            self.counters["tls_process_ended"] += 1
            self.close()

    def _hear(self, control: socket.socket, word: Word) -> None:
        if isinstance(word, Over):
            del self._flows[word.flow]
            self._labels.pop(word.flow, None)
            if word.ending is not Ending.REFUSED:
                self.counters[f"tls_{word.ending.value}"] += 1
            return
        try:
            answer = self._decided(word, dt.datetime.now(dt.UTC))
        except ServiceRefused as refused:
            self.counters[f"tls_refused_{refused.cause.value}"] += 1
            answer = Refuse(word.flow, ALERTS[refused.cause])
        try:
            control.send(serialise_word(answer))
        except BlockingIOError:
            raise RemoteError("it hears nothing") from None

    def _decided(self, word: Word, now: dt.datetime) -> Word:
        """Decide what the process asks. Raises ServiceRefused; RemoteError for what is no question."""
        to = self._flows[word.flow]
        match word:
            case Hello(flow, name) if flow not in self._labels:
                asked = asked_name(to, name, self._suffixes)
                own = self._own(asked.names, now)
                self._labels[flow] = asked.label
                return Lead(flow, asked.label, own)
            case Shown(flow, certificate) if flow in self._labels:
                check_service(certificate, self._labels[flow], self._contact_of(to.petname), now)
                return Good(flow)
            case _:
                raise RemoteError("this is no question")

    def _own(self, names: tuple[str, ...], now: dt.datetime) -> bytes:
        try:
            kept = local_authority(self._store, self._suffixes, now)  # each time, for the user may want another one
        except (FileProblem, HostError):
            raise ServiceRefused(Cause.OWN) from None
        if self._authority is None or self._authority.certificate != kept.certificate:
            self._authority = kept
        return self._authority.server(names, now)
