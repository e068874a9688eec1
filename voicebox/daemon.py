"""The box: builds every object, wires them, owns the loop. [io]

    files -> identity, contacts, network, dial plan, accounts
    engine -> LiveDataPlane -> CircuitDriver -> StandingCircuits, Calls <- SipServer <- softphones

No other module of the box has anything global. Fail closed: whatever of this cannot be had stops the start; while it runs, a call
that has no circuit is refused. NOT here: decisions.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from voicebox.answering import Answering
from voicebox.b2bua.server import SipServer
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.circuits.agreement import Agreement
from voicebox.circuits.between import Words
from voicebox.circuits.call_setting import CallSetting
from voicebox.circuits.calls import COIN, Calls
from voicebox.circuits.cost import SAMPLE_S, Cost, CostMeter, promised
from voicebox.circuits.date_watch import LOOK_EVERY_S, DateWatch
from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.driver import CircuitDriver
from voicebox.circuits.dummies import Dummies, draw_answered, scale_of
from voicebox.circuits.gossip import Gossip
from voicebox.circuits.gossip_peer import Gossiping
from voicebox.circuits.gossip_rounds import GUARDS_ASKED, Times
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.network_state import keep_network, load_network, reread_network
from voicebox.circuits.pair_book import PairBook
from voicebox.circuits.pairing import Pairing
from voicebox.circuits.path import OwnView, junction_ids
from voicebox.circuits.path_report import circuit_status, path_report, way_of_calls
from voicebox.circuits.relay_cards import load_cards, relays_by_card
from voicebox.circuits.revocations import Revocations
from voicebox.circuits.standing import StandingCircuits
from voicebox.circuits.steps import ASK_EVERY_S
from voicebox.config.load import load_box, load_phones
from voicebox.config.model import BoxConfig
from voicebox.contacts.card import serialise_card
from voicebox.contacts.changes import Change, Step, What, decide, parse_change
from voicebox.contacts.contact import Trust
from voicebox.contacts.device_cert import told_revoked
from voicebox.contacts.device_certs import load_register, renew_due
from voicebox.contacts.identity import Identity, renewed
from voicebox.contacts.kept import Kept
from voicebox.contacts.store import StateDirectory
from voicebox.dataplane import LiveDataPlane
from voicebox.dialplan.load import load_dnd, load_plan
from voicebox.dialplan.match import incoming, outgoing
from voicebox.dialplan.model import DialPlan, House, IncomingDecision, OutgoingDecision, house_of
from voicebox.errors import HostError, UsageError
from voicebox.intercept.server import Interception
from voicebox.keeper import start_keeper
from voicebox.media_ports import EngineMediaPorts
from voicebox.naming.names import Names
from voicebox.offered_accounts import OfferedAccounts
from voicebox.paging import Paging
from voicebox.probe.prober import ANYBODY, Prober
from voicebox.probe.speech import unpacked_speech
from voicebox.relaying import Relaying
from voicebox.repeating import Repeating
from voicebox.sip.auth import Account, DigestAlgorithm
from voicebox.sip.tls import server_context
from voicebox.streams.offering import Offering
from voicebox.streams.server import StreamServer
from voicebox.tls_key import load_key
from voicebox.trunk_place import trunk_place
from voicebox.uplinking import Uplinking
from voicebox.waiting_texts import TextsThatWait

CERTIFICATE_CHECK_S = 86_400
KEEP_MISSED_S = 3_600
"""So often the list of missed calls is written, whether there are any or not, so that the file's time tells of none."""


class BoxDaemon:
    """One running box. Contract: start(), then `failed` or the caller's signal, then stop()."""

    def __init__(self, home: Path) -> None:
        now = dt.datetime.now(dt.UTC)
        self._store = StateDirectory(home)
        self._config: BoxConfig = load_box(home)
        self._identity = identity = self._renewed(self._store.load_identity(now), now)
        self._network: VerifiedNetwork = load_network(self._store)
        times = Times(self._network.terms.epoch_s, is_relay=False)
        self._gossip = Gossip(self._network, time.time(), times.settled_s)
        self._uplinking = uplinking = Uplinking(self._store, self._config, lambda: self._network, lambda: self._plane)
        self._gossiping = Gossiping(self._gossip, times, random.SystemRandom(), self._guards_asked, self._config.link_address, uplinking.uplink_to)
        self._gossip.on_changed = self._list_changed
        born = self._network.terms.born_unix_us
        if time.time() * 1e6 < born:
            raise UsageError("The network begins in the future, so this machine's clock is wrong.")
        self._accounts = self._load_accounts()
        self._plan, self._dnd = self._load_plan(self._users()), load_dnd(home)
        self._dates = DateWatch(born)
        self._plane = self._new_plane()
        self._realtime = False
        self.failed = asyncio.Event()
        self._book = PairBook(identity, self._network.network_id, self._store.load_contacts(now), self._store.save_contact)
        epoch_us = self._network.epoch_us
        self._pairing = Pairing(self._book, serialise_card(identity), self._add_contact, self._now_us, random.SystemRandom(), epoch_us, self._store)
        self._driver: CircuitDriver | None = None
        self._standing: StandingCircuits | None = None
        self._calls: Calls | None = None
        self._prober: Prober | None = None
        self._streams: StreamServer | None = None
        self._offering = Offering(self._store, self._config, self._petnames, self._book.get)
        self._names = Names(self._store, self._config, self._petnames, self._offering.use_doors)
        self._names.learn = self._offering.learn
        self._interception = Interception(self._store.home, self._config, self._names, lambda: self._streams, lambda: self._server)
        self._media = EngineMediaPorts(self._plane)
        self._server: SipServer | None = None
        self._tls: ssl.SSLContext | None = None
        self._meter = CostMeter()
        self._offered = OfferedAccounts(home, self._config)
        self._kept = Kept(self._store, self._today)
        self._kept.use(self._kept.opened() if self._plan.mailboxes else None, keeps_missed=self._plan.keeps_missed)
        self._waiting = TextsThatWait(self._store, self._book, identity.contact_id, lambda: self._server)
        self._agreement = Agreement(lambda: self._network, self._now_us)
        self._revocations = Revocations(lambda: told_revoked(load_register(self._store), dt.datetime.now(dt.UTC)), self._book.keep_revoked)
        self._repeating = Repeating()
        self._relaying = Relaying(self._store, self._config.relay, lambda: self._network, self._guards_to_reach)
        self._paging = Paging(self._store, self._config)
        self._answering = Answering(self._store, self._config, self._network.network_id, lambda: self._identity, self._book.contacts, self.reload, self._revoke)
        self.counters: Counter[str] = Counter()

    # ------------------------------------------------------------------------------------------------------------ running

    async def start(self) -> None:
        """Start the engine, the circuits, then the SIP side. Raises HostError; then nothing runs."""
        await self._uplinking.enter()
        self._start_plane()
        try:
            self._start_circuits()
            await self._start_sip()
            await self._names.start()
            self._interception.start()
            self._gossiping.start()
            self._repeating.every(CERTIFICATE_CHECK_S, self._look_at_certificate)
            self._repeating.every(SAMPLE_S, self._look_at_meter)
            self._repeating.every(ASK_EVERY_S, self._look_at_jitter)
            self._repeating.every(LOOK_EVERY_S, self._look_at_date)
            self._repeating.every(KEEP_MISSED_S, self._kept.write_missed)
            self._repeating.every(KEEP_MISSED_S, self._waiting.expire)
            self._relaying.start(self._config.link_address)
            self._uplinking.watch(self._repeating)
        except BaseException:
            await self.stop()
            raise

    def _new_plane(self) -> LiveDataPlane:
        with start_keeper() as keeper:
            born, metered = self._network.terms.born_unix_us, self._config.profile.is_metered
            return LiveDataPlane(born_unix_us=born, realtime=self._config.realtime, metered=metered, keeper=keeper.fileno())

    def _start_plane(self) -> None:
        self._plane.bind(self._config.link_address)
        self._realtime = self._plane.start()

    def _start_circuits(self) -> None:
        born, words = self._network.terms.born_unix_us, Words(agreement=self._agreement, revocations=self._revocations)
        setting = CallSetting(self._plane, self._identity, self._network.network_id, born, self._book, self._plane.now_us, words)
        rng = random.SystemRandom()
        self._calls = calls = Calls(setting, self._wake, lambda: rng.random() < COIN)
        config, count, now_us = self._config, self._config.profile.circuits, self._plane.now_us()
        guards, metered = self._uplinking.guards(), config.profile.is_metered
        own, uplinks, middle = self._own_view(self._network), self._uplinking.uplinks, config.middle
        standing = StandingCircuits(
            self._plane, self._network, count, guards, calls.make_tokens, rng, now_us, middle=middle, metered=metered, own=own, uplinks=uplinks
        )
        calls.use(standing)
        self._standing = standing
        dummies = Dummies(calls.begin_dummy, self._book.petnames, rng, self._network.epoch_us, now_us)
        calls.on_dummy_over = dummies.over
        self._pairing.use(calls)
        records = self._waiting.rounds(lambda: self._network, standing, rng, now_us, metered=metered)
        self._driver = driver = CircuitDriver(standing, calls, dummies, records, self._plane.now_us, self.failed.set)
        self._uplinking.use(standing, driver)
        scale = scale_of(self._network.epoch_us)
        self._prober = Prober(calls, self._media, self._plane.now_us, lambda: draw_answered(rng, scale).length_us / 1e6, answers=self._config.probe)
        self._streams = streams = StreamServer(self._plane, calls, self._config.suffixes, self._petnames, rng.uniform, self._offering.tls)
        self._offering.serve(streams)
        streams.attend(calls)
        calls.on_scarce = self._make_room
        self._plane.route_streams(streams.handle_event)
        self._plane.attach(self._driver.handle_event)
        self._driver.start()

    def _make_room(self) -> None:
        if self._prober is not None and self._streams is not None:
            self._prober.stop()
            self._streams.give_way()

    def _petnames(self) -> frozenset[str]:
        return frozenset(contact.petname for contact in self._book.contacts())

    async def _start_sip(self) -> None:
        assert self._calls is not None
        settings = SwitchboardSettings(
            realm=self._config.sip_realm,
            suffixes=self._config.suffixes,
            algorithms=self._algorithms(),
            hosts=frozenset(endpoint.address for endpoint in self._config.sip_listen),
        )
        listen = [(transport, endpoint.address, endpoint.port) for endpoint in self._config.sip_listen for transport in ("udp", "tcp")]
        if self._config.tls_listen:
            self._tls = self._phone_tls()
            listen += [("tls", endpoint.address, endpoint.port) for endpoint in self._config.tls_listen]
        self._server = SipServer(
            self._accounts,
            self._calls,
            self._media,
            self._resolve,
            self._admit,
            settings,
            on_bug=self._count_bug,
            tls=self._tls,
            missed=self._kept.note_missed,
        )
        self._server.use_messages(self._kept.messages, self._mailboxes_of)
        self._server.use_keeper(self._waiting)
        self._kept.on_messages = self._server.messages_changed
        await self._server.start(listen)
        self._server.use_trunk(trunk_place(self._config.trunk, self._store.home))

    def _phone_tls(self) -> ssl.SSLContext:
        fresh = self._store.renew_phone_tls(self._config.tls_addresses, dt.datetime.now(dt.UTC))
        try:
            return server_context(fresh.server)
        except OSError:
            raise HostError("This machine's TLS library does not take the box's certificate for phones.") from None

    async def stop(self) -> None:
        """Hang up, and fall silent; idempotent."""
        self._repeating.stop()
        self._uplinking.stop()
        self._offered.close()
        try:
            await self._gossiping.stop()
            self._interception.stop()
            if self._server is not None:
                await self._server.stop()
                self._server = None
                self._kept.write_missed()
        finally:
            self._stop_circuits()
            await self._relaying.stop()
            await self._paging.stop()
            await self._names.stop()

    def _stop_circuits(self) -> None:
        if self._prober is not None:
            self._prober.stop()
            self._prober = None
        self._offering.serve(None)
        if self._streams is not None:
            self._plane.route_streams(None)
            self._streams.stop()
            self._streams = None
        if self._driver is not None:
            self._driver.stop()
            self._driver = None
        self._plane.detach()
        self._plane.stop()

    def _renewed(self, identity: Identity, now: dt.datetime) -> Identity:
        """Return the identity with a box certificate that is good for a month at least; a fresh one is stored first."""
        fresh = renewed(identity, now)
        if fresh is None:
            return identity
        self._store.save_identity(fresh)
        return fresh

    def _look_at_certificate(self) -> None:
        assert self._calls is not None
        now = dt.datetime.now(dt.UTC)
        self._identity = self._renewed(self._identity, now)
        self._calls.renew_identity(self._identity)
        renew_due(self._store, self._identity, now)
        if self._tls is not None:
            load_key(self._tls, self._store.renew_phone_tls(self._config.tls_addresses, now).server)

    def _today(self) -> dt.date:
        return dt.datetime.now(self._plan.zone).date()

    def _look_at_meter(self) -> None:
        counters = self._plane.counters()
        self._meter.sample(self._plane.now_us(), counters.get("link_cells_out", 0), counters.get("link_cells_in", 0))

    def _look_at_jitter(self) -> None:
        assert self._standing is not None
        self._standing.take_jitter(self._plane.jitter())

    def _look_at_date(self) -> None:
        """Begin anew on the network's side, with calls ended and phones still registered, where the machine slept or its date was set."""
        if self._dates.look(time.time(), self._plane.now_us()):
            self.counters["date_set"] += 1
            self._begin_anew()

    def _begin_anew(self) -> None:
        assert self._server is not None
        self._server.hang_up_all()
        self._stop_circuits()
        self._meter = CostMeter()
        self._dates.anew()
        try:
            self._plane = self._new_plane()
            self._media = EngineMediaPorts(self._plane)
            self._start_plane()
            self._start_circuits()
        except HostError:
            self.failed.set()
            return
        assert self._calls is not None
        self._server.use(self._calls, self._media)

    def _guards_asked(self) -> list[Descriptor]:
        """Return the guards that are asked for the list of relays: more than one, also where there is one circuit, so that none can keep news from the box."""
        return self._guards()[:GUARDS_ASKED]

    def _list_changed(self) -> None:
        """Keep what guards told. It counts from the next epoch on; at once where a box that was off for long finds only now which junctions this epoch has."""
        before, self._network = self._network, self._gossip.network
        if self._standing is not None and self._calls is not None:
            self._standing.use(self._network, self._own_view(self._network))
            epoch = self._standing.epoch
            if not self._gossiping.first_done and not self._calls.active() and junction_ids(before, epoch) != junction_ids(self._network, epoch):
                self._begin_anew()
        keep_network(self._store, self._network)

    def _now_us(self) -> int:
        return self._plane.now_us()

    def _own_view(self, network: VerifiedNetwork) -> OwnView:
        """Return what is known of relays beside the list. Raises FileProblem."""
        return OwnView(self._relaying.ids(), relays_by_card(network, load_cards(self._store)))

    def _guards(self) -> list[Descriptor]:
        return self._standing.guards() if self._standing is not None else []

    def _guards_to_reach(self) -> list[Descriptor]:
        """Return the guards that are asked whether others reach this machine: from its own port, over no uplink in particular, so none where uplinks were chosen."""
        return [] if self._uplinking.uplinks.chosen else self._guards()

    def _wake(self) -> None:
        if self._driver is not None:
            self._driver.wake()

    def _count_bug(self, error: Exception) -> None:
        self.counters[f"bug_{type(error).__name__}"] += 1

    # ---------------------------------------------------------------------------------------------------------- questions

    def _resolve(self, dialled: str) -> OutgoingDecision:
        """Ask the dial plan what a phone dialled."""
        return outgoing(self._plan, dialled, self._house())

    def _admit(self, petname: str) -> IncomingDecision:
        """Ask the dial plan what rings for a contact."""
        return incoming(self._plan, petname, self._house(), dt.datetime.now(dt.UTC))

    def _mailboxes_of(self, user: str) -> frozenset[str]:
        return self._plan.mailboxes_of(user)

    def _house(self) -> House:
        return house_of(self._users(), self._book.contacts(), self._dnd)

    def _users(self) -> tuple[str, ...]:
        return tuple(account.user for account in self._accounts)

    def ready(self) -> bool:
        """Return whether every circuit of the profile stands."""
        return self._standing is not None and self._standing.ready()

    def status(self, *, show_path: bool = False) -> dict[str, Any]:
        """Return what the box says of itself: counts and states, no names, addresses or ids. show_path: who runs the relays of each circuit too."""
        assert self._standing is not None
        assert self._calls is not None
        assert self._server is not None
        circuits = self._standing.all()
        present = self._standing.present()
        dummies, dummies_last_hour = self._calls.dummies(self._plane.now_us())
        now = dt.datetime.now(dt.UTC)
        return {
            "kind": "box",
            "ready": self.ready(),
            "profile": self._config.profile.value,
            "epoch": self._standing.epoch,
            "epoch_s": self._network.terms.epoch_s,
            "epoch_left_s": round(self._network.left_s(self._standing.epoch, self._plane.now_us())),
            "circuits": [circuit_status(circuit, present=circuit in present, show_path=show_path) for circuit in circuits],
            "no_path": self._standing.no_path,
            "links": len(circuits),
            "list": {
                "relays": len(self._network.valid(now)),
                "value": self._network.value_told(now),
                **self._gossiping.rounds.told(time.time(), [guard.relay_id for guard in self._guards_asked()]),
            },
            "compared": self._agreement.told(),
            "calls": self._calls.but_probes(),
            "transcoding": {"possible": self._media.transcodes, "now": self._media.transcoding, "calls": self._media.transcoded},
            "dummies": {"now": dummies, "last_hour": dummies_last_hour},
            "contacts": len(self._book.contacts()),
            "contacts_verified": sum(contact.trust is Trust.VERIFIED for contact in self._book.contacts()),
            "contacts_changed": sum(contact.trust is Trust.CHANGED for contact in self._book.contacts()),
            "contacts_blocked": sum(contact.blocked for contact in self._book.contacts()),
            "invitations": self._pairing.waiting(),
            "other_copy": self._calls.has_copy(self._plane.now_us()),
            "phones": [{"user": phone.user, "transport": phone.transport, "clear": phone.clear} for phone in self._server.registrations()],
            "seen": {user: round(ago_s) for user, ago_s in self._server.seen().items()},
            "messages": self._kept.count(),
            "texts": self._waiting.told(),
            "dnd": {"everybody": self._dnd.everybody, "phones": sorted(self._dnd.phones)},
            "relay": self._relaying.told(),
            "trunk": state.value if (state := self._server.trunk_state()) is not None else None,
            "uplinks": self._uplinking.told(),
            "realtime": self._realtime,
            "cost": {"promised": self._promised().told(), "measured": None if (measured := self._meter.measured()) is None else measured.told()},
            "engine": self._plane.counters(),
            "sip": self._server.counters(),
            "circuit_counters": dict(self._calls.counters),
            "probes": dict(self._prober.counters) if self._prober is not None else {},
            "streams": self._streams.status() if self._streams is not None else {},
            "names": self._names.status(),
            "interception": self._interception.status(),
            "counters": dict(self.counters + self._gossip.counters + self._gossiping.rounds.counters),
        }

    def _promised(self) -> Cost:
        return promised(self._config.profile.circuits, metered=self._config.profile.is_metered)

    def _path(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return how paths are chosen now: of the box, and of a call to a contact, whose guards nobody here knows. Raises UsageError for somebody unknown."""
        assert self._standing is not None
        contact = str(asked.get("contact") or "")
        if contact and self._book.get(contact) is None:
            raise UsageError("There is no contact of that petname; `voicebox contact list` prints them.")
        return {"path": path_report(self._standing, self._network, middle=self._config.middle, compared=self._agreement.told())}

    def reload(self) -> None:
        """Take phones, dial plan, do-not-disturb and contacts of the directory: new ones are added, missing ones forgotten; and the relays, from the next epoch on.

        Calls that there are go on, but those of phones that are gone or have another password.

        Raises FileProblem, ProblemsFound, HostError; then nothing has changed.
        """
        accounts = self._load_accounts()
        users = tuple(account.user for account in accounts)
        now = dt.datetime.now(dt.UTC)
        plan, dnd, network = self._load_plan(users), load_dnd(self._store.home), reread_network(self._store, self._network, now)
        offered = self._offering.read()
        messages, own = self._kept.opened() if plan.mailboxes else None, self._own_view(network)
        there = {contact.petname: contact for contact in self._store.load_contacts(now)}
        known = {contact.petname: contact for contact in self._book.contacts()}
        self._offering.use(offered)  # before contacts go, of whom nothing is left in it then
        self._kept.use(messages, keeps_missed=plan.keeps_missed)  # likewise
        for petname in known.keys() - there.keys():
            self._take(Step(known[petname], None))
        for petname in there.keys() - known.keys():
            self._take(Step(None, there[petname]))
        is_newer = network is not self._network
        self._plan, self._dnd, self._network, self._accounts = plan, dnd, network, accounts
        if self._server is not None:
            self._server.use_accounts(accounts)
            self._server.use_messages(messages, self._mailboxes_of)
        self._gossip.use(network, now.timestamp())
        if self._standing is not None:
            self._standing.use(network, own)
        if is_newer:
            self._relaying.hand_on()
        self._kept.write_missed()

    @property
    def answers(self) -> Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        """Return what else a box can be asked on its control socket."""
        return {
            "contact": self._change_contact,
            "compare": self._compare,
            "path": self._path,
            "probe": self._probe,
            **self._pairing.answers,
            **self._answering.answers,
            **self._uplinking.answers,
        } | {
            "page": self._paging.answer,
            "jitter": lambda _asked: way_of_calls(self._plane.jitter(), self._calls),
            "offer": self._offered.offer,
            "offered": self._offered.tell,
            "revoke": self._revoke,
            "offering": self._offering.change,
            "services": self._offering.tell_services,
            "interception": lambda _asked: self._interception.plan().told(),
            "relay": self._offer_relay,
            "missed": self._kept.tell_missed,
            "voicemail": self._kept.tell_messages,
        }

    def _revoke(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Serve a phone no longer, whose file is gone. Unlike a reload this looks at nothing else that might stand in the way."""
        user = str(asked.get("user"))
        self._offered.withdraw(user)
        self._accounts = [account for account in self._accounts if account.user != user]
        if self._server is not None:
            self._server.use_accounts(self._accounts)
        return {"done": True}

    def _offer_relay(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        self._relaying.offer(self._config.link_address)
        return {"done": True}

    def _probe(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Begin, look at or end a probe; step says which. What is answered to a look is the prober's, and what the report says of the path."""
        if self._prober is None or self._standing is None:
            raise UsageError("The box is just starting.")
        match asked:
            case {"step": "begin", "petname": str(petname), "codec": str(codec), "seconds": int(seconds)}:
                contact = self._book.get(petname) or (self._book.drawn() if petname == ANYBODY else None)
                if contact is None:
                    raise UsageError("There is no contact of that petname with whom there are calls; `voicebox contact list` prints them.")
                begun = self._prober.begin(contact.petname, codec, seconds, unpacked_speech(asked.get("speech")))
                relays = max((len(circuit.path.relays) for circuit in self._standing.present()), default=0)
                return {"begun": begun, "petname": contact.petname, "verified": contact.verified, "relays_at_least": relays + 1}
            case {"step": "look", "there": int(there), "back": int(back), "trips": int(trips)} if min(there, back, trips) >= 0:
                return self._prober.look(there, back, trips, show_path=asked.get("show_path") is True)
            case {"step": "end"}:
                self._prober.end()
                return {"done": True}
            case _:
                raise UsageError("A probe is begun, looked at and ended by `voicebox probe`.")

    def _change_contact(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Change the list of contacts: what, petname, value as in contacts/changes.py."""
        self._change(parse_change(asked))
        return {"done": True}

    def _add_contact(self, petname: str, card: str) -> None:
        self._change(Change(What.ADD, petname, card))

    def _change(self, change: Change) -> None:
        """Carry a change out: on disk first, so that what is done is not undone by a crash."""
        step = decide(change, self._book.contacts(), self._identity.contact_id, dt.datetime.now(dt.UTC))
        self._store.keep(step)
        self._take(step)

    def _compare(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for the code of the call with a contact; digits is empty until the contact has asked too. id: with whom."""
        contact = self._book.get(str(asked.get("petname")))
        if contact is None or self._calls is None:
            raise UsageError("There is no contact of that petname with whom there are calls.")
        code = self._calls.compare(contact.petname)
        return {"digits": code.digits if code is not None else "", "id": contact.contact_id.hex()}

    def _take(self, step: Step) -> None:
        self._book.take(step)
        self._names.contacts_changed()
        if step.before is not None:
            petname, to = step.before.petname, step.after.petname if step.after is not None and step.after.open else None
            if self._server is not None:
                self._server.contact_changed(petname, to)
            if self._streams is not None:
                self._streams.contact_changed(petname, to)
        if self._calls is not None and self._standing is not None:
            self._calls.contact_changed(step, self._plane.now_us())
            if step.doors_change:
                self._standing.renew_tokens(self._plane.now_us(), at_once=True)
            self._wake()
        self._waiting.contact_changed(step)
        if step.renamed is not None:  # last: a disk that does not take it keeps no door open
            self._names.renamed(*step.renamed)
            self._offering.renamed(*step.renamed)
            self._kept.renamed(*step.renamed)

    def _load_plan(self, users: tuple[str, ...]) -> DialPlan:
        return load_plan(self._store.home / self._config.dialplan, users, self._config.suffixes)

    def _load_accounts(self) -> list[Account]:
        realm, algorithms = self._config.sip_realm, self._algorithms()
        return [
            Account.from_password(phone.user, phone.password, realm, *algorithms, clear=phone.clear, dtls=phone.dtls) for phone in load_phones(self._store.home)
        ]

    def _algorithms(self) -> tuple[DigestAlgorithm, ...]:
        return tuple(DigestAlgorithm(name.upper()) for name in self._config.sip_digest)
