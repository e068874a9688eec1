"""The SIP server of a box: sockets, the clock and the loop around a Switchboard. [io]

It decides nothing: what comes is fed in, what the switchboard wants is sent, its timer is armed. Everything runs in one loop's thread.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from voicebox.b2bua.messages import MailboxesOf
from voicebox.b2bua.ports import MediaPorts, Network, TextKeeper
from voicebox.b2bua.registrar import Registration
from voicebox.b2bua.switchboard import Admit, Resolve, Switchboard, SwitchboardSettings
from voicebox.b2bua.trunk import Trunk, TrunkAccount, TrunkState
from voicebox.b2bua.voicemail import KeptMessages
from voicebox.errors import HostError, UsageError, VoiceboxError
from voicebox.sip.auth import Account
from voicebox.sip.flow import Flow, Taken, Transport
from voicebox.sip.transport import Say, SipTransports, TransportLimits


@dataclass(frozen=True, slots=True)
class TrunkPlace:
    """Where a trunk's provider is, and the account there. tls: for Transport.TLS."""

    account: TrunkAccount
    transport: Transport
    host: str = field(repr=False)
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False)


LAST_WORDS_S = 0.2
"""How long stop() lets BYEs leave and be answered."""


class SipServer:
    """A registrar and B2BUA for the phones of one box.

    accounts: each with its HA1 under settings.realm. resolve(dialled), admit(petname): see switchboard.Resolve, Admit; missed: see Switchboard. Whatever goes wrong inside is counted
    as `bugs` and costs the one message, which is answered with 500, never the server; on_bug gets the exception for whoever may look at it. tls: for phones that speak it.
    """

    def __init__(
        self,
        accounts: list[Account],
        network: Network,
        media: MediaPorts,
        resolve: Resolve,
        admit: Admit,
        settings: SwitchboardSettings | None = None,
        limits: TransportLimits | None = None,
        on_bug: Callable[[Exception], None] | None = None,
        tls: ssl.SSLContext | None = None,
        missed: Callable[[str], None] = lambda _petname: None,
    ) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._counters: Counter[str] = Counter()
        self._on_bug, self._tls = on_bug, tls
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None
        self._place: TrunkPlace | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._transports = SipTransports(self._receive, self._closed, limits)
        self._board = Switchboard(accounts, network, media, resolve, admit, self._post, secrets.token_bytes, settings, missed)

    async def start(self, listen: Iterable[tuple[str, str, int]]) -> list[int]:
        """Listen on (transport "udp", "tcp" or "tls", literal address, port); return the ports. Raises HostError, UsageError; then nothing listens."""
        self._loop = asyncio.get_running_loop()
        ports: list[int] = []
        try:
            for transport, address, port in listen:
                if transport.upper() not in Transport.__members__:
                    raise UsageError(f"SIP over {transport!r} is not spoken; udp, tcp and tls are")
                kind = Transport[transport.upper()]
                ports.append(await self._transports.listen(kind, address, port, self._tls if kind is Transport.TLS else None))
        except VoiceboxError:
            self._transports.close()
            raise
        return ports

    async def stop(self) -> None:
        """Hang up all calls and close everything; idempotent."""
        if self._loop is None:
            return
        busy = self._board.calls
        self.use_trunk(None)
        self.hang_up_all()
        if busy:
            await asyncio.sleep(LAST_WORDS_S)
        self._transports.close()
        await asyncio.sleep(0)  # lets the loop call connection_lost
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop = None

    def take(self, octets: bytes, phone: tuple[str, int], provider: tuple[str, int], say: Say, *, admitted: bool) -> bool:
        """Serve a datagram of a phone that was taken on its way to its provider. say: by which it is answered as from there; admitted: whether the phone may call."""
        contact_user = f"box.{self._board.settings.suffixes[0]}"
        return self._loop is not None and self._transports.take(octets, phone, Taken(*provider, contact_user, admitted), say)

    def hang_up_all(self) -> None:
        """End all calls; who is registered stays so."""
        self._guarded(lambda: self._board.hang_up_all(time.monotonic()))

    def use(self, network: Network, media: MediaPorts) -> None:
        """Make later calls with these. Contract: there is no call."""
        self._board.use(network, media)

    def use_accounts(self, accounts: Iterable[Account]) -> None:
        """Serve these phones from now on; calls of others end."""
        self._guarded(lambda: self._board.use_accounts(accounts, time.monotonic()))

    def use_messages(self, kept: KeptMessages | None, mailboxes_of: MailboxesOf) -> None:
        """Keep messages of contacts there from now on, or take none. mailboxes_of(user): which a phone plays and shows."""
        self._guarded(lambda: self._board.use_messages(kept, mailboxes_of, time.monotonic()))

    def use_trunk(self, place: TrunkPlace | None) -> None:
        """Make calls to ordinary numbers over this provider from now on; None: over nobody. Contract: between start() and stop()."""
        self._place = place
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        self._on_trunk(lambda trunk, _: trunk.use(None if place is None else place.account, self._connect_trunk))

    def trunk_state(self) -> TrunkState | None:
        """Return how the trunk stands, None where there is none."""
        return self._board.trunk.state

    def _on_trunk(self, step: Callable[[Trunk, float], None]) -> None:
        self._guarded(lambda: self._board.run(lambda now: step(self._board.trunk, now), time.monotonic()))

    def _connect_trunk(self) -> None:
        if self._place is not None and self._loop is not None and self._connecting is None:
            self._connecting = self._loop.create_task(self._connect(self._place))

    async def _connect(self, place: TrunkPlace) -> None:
        try:
            flow = await self._transports.connect(place.transport, place.host, place.port, place.tls)
        except HostError:
            self._connecting = None
            self._on_trunk(lambda trunk, now: trunk.failed(now))
        else:
            self._connecting = None
            self._on_trunk(lambda trunk, now: trunk.connected(flow, now))

    def contact_changed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname, or, None, that nothing of him is wanted any more."""
        self._board.contact_changed(petname, to)

    def use_keeper(self, keeper: TextKeeper) -> None:
        """Let texts to contacts whose boxes are off wait there."""
        self._board.contact_texts.keeper = keeper

    def text_found(self, petname: str, number: int, text: bytes, *, perhaps_here: bool) -> bool:
        """Take a text that a contact left at relays; see contact_texts.py."""
        taken: list[bool] = []
        self._guarded(
            lambda: self._board.run(
                lambda now: taken.append(self._board.contact_texts.found(petname, number, text, now, perhaps_here=perhaps_here)), time.monotonic()
            )
        )
        return taken == [True]

    def messages_changed(self) -> None:
        """Let phones show how many messages there are."""
        self._guarded(lambda: self._board.messages_changed(time.monotonic()))

    def seen(self) -> dict[str, float]:
        """Return how many seconds ago a phone of each account last showed its password, for the owner's status; who has not yet is not in it."""
        now = time.monotonic()
        return {user: now - at for user, at in self._board.registrar.seen().items()}

    def registrations(self) -> list[Registration]:
        """Return the live registrations, for the owner's status."""
        return self._board.registrations(time.monotonic())

    def counters(self) -> dict[str, int]:
        """Return totals since the start; nothing in them names anybody."""
        totals = Counter(self._board.totals())
        totals.update(self._counters)
        totals.update(self._transports.counters)
        return dict(totals)

    def _receive(self, octets: bytes, flow: Flow) -> None:
        self._guarded(lambda: self._board.receive(octets, flow, time.monotonic()))

    def _closed(self, flow: Flow) -> None:
        self._guarded(lambda: self._board.flow_closed(flow, time.monotonic()))

    def _post(self, function: Callable[[float], None]) -> None:
        if self._loop is not None:
            self._loop.call_soon(lambda: self._guarded(lambda: self._board.run(function, time.monotonic())))

    def _tick(self) -> None:
        self._timer = self._armed_for = None
        self._guarded(lambda: self._board.handle_timer(time.monotonic()))

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run one step of the switchboard, send what it says and arm its timer."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  # the boundary: a defect met by one message must not end every call of the box
            self._counters["bugs"] += 1
            if self._on_bug is not None:
                self._on_bug(error)
        for transmit in self._board.poll():
            if not self._transports.send(transmit.flow, transmit.octets):
                self._counters["unsendable"] += 1
        self._arm()

    def _arm(self) -> None:
        deadline = self._board.next_timer()
        if deadline == self._armed_for and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = deadline
        if deadline is not None and self._loop is not None:
            self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self._tick)
