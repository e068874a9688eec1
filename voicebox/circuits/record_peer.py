"""Questions about records between relays: a junction's connections to holders, and what a holder does at its end of them. [io]

    box -> (layers) -> junction: a whole `ask` -> ring -> up to eight holders at once, over TLS as gossip's (gossip_peer.py) -> the sum of their answers -> `answered` -> box

    client (junction)    hello 63 before TLS | proof 32 | relay id 32 | signature 64      then questions of 2 016 octets, one after the other
    server (holder)                                                                       then answers of 2 016 octets, in their order

A holder sees a junction, and no box; a junction sees a place, and not whose it is. NOT here: what is kept (record_holder.py), where (record_ring.py). Spec: PROTOCOL.md §12.4,
§12.5.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.gossip_messages import records_proof
from voicebox.circuits.gossip_peer import CONNECT_S, FAILURES, PROOF_S, binding_of, check_pin, client_context, connect
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.record_holder import Holder
from voicebox.circuits.record_question import NOTHING, QUESTION_OCTETS, Answer, Get, Put, best, parse_answer, parse_question
from voicebox.circuits.record_ring import FEWEST, Rings
from voicebox.circuits.relay import RelayKeys
from voicebox.errors import HandshakeError, RemoteError

LINE_S = 60.0
"""So long a connection to a holder is used; a server ends one after 120 s."""
ANSWER_S = 3.0
"""So long a holder has for an answer, its connection included."""
RETRY_S = 3.0
"""After a connection that failed none is tried for so long, so that a holder that is off costs little."""
LATE_S = 0.4
"""So long the others are waited for once half of the holders answered."""
MAX_WAITING = 256
"""Questions under way to one holder, and of all boxes at a junction."""
MAX_LINES = 256
"""Holders that a junction has a connection to; who was asked longest ago gives way."""
MAX_JUNCTIONS, MAX_OF_JUNCTION = 32, 3
"""Connections that a holder serves, and of one junction."""
BURST, PER_S = 20.0, 1.0
"""What a box may ask over one circuit."""


@dataclass(frozen=True, slots=True)
class Station:
    """The relay itself. network(): the list now; now_us(): network time; local_host: the address to leave from, or a wildcard."""

    own: Descriptor
    keys: RelayKeys
    network: Callable[[], VerifiedNetwork]
    now_us: Callable[[], int]
    local_host: str


def _signed(network_id: bytes, binding: bytes) -> bytes:
    return b"voicebox/1 records of" + network_id + binding


class _Line:
    """A junction's connections to one holder, one at a time; questions go out as they come, answers come in their order."""

    def __init__(self, me: Station, holder: Descriptor) -> None:
        self._me, self.holder = me, holder
        self._attempt = 0
        self._opening = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._until_s = self._not_before_s = 0.0
        self._readers: set[asyncio.Task[None]] = set()

    async def ask(self, question: bytes) -> bytes:
        """Return what the holder answers. Raises one of FAILURES."""
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= MAX_WAITING:
            raise RemoteError("a holder does not keep up")
        async with self._opening:
            if self._writer is None or self._writer.is_closing() or loop.time() >= self._until_s:
                if loop.time() < self._not_before_s:
                    raise RemoteError("a holder is off")
                self._not_before_s = loop.time() + RETRY_S
                await self._open()
                self._not_before_s = 0.0
            assert self._writer is not None
            answer: asyncio.Future[bytes] = loop.create_future()
            self._waiting.append(answer)
            self._writer.write(question)
        return await answer

    async def _open(self) -> None:
        """Open a connection. A former one is read on until what was asked there is answered."""
        self._attempt += 1
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await connect(self.holder, self._attempt - 1, self._me.local_host, client_context())
            try:
                check_pin(writer, self.holder)
                network_id, binding = self._me.network().network_id, binding_of(writer)
                said = records_proof(network_id, binding) + self._me.own.relay_id + self._me.keys.identity.sign(_signed(network_id, binding))
                writer.write(said)
            except BaseException:
                writer.close()
                raise
        self._attempt -= 1  # this address is the first next time too
        self.close()
        self._writer, self._waiting, self._until_s = writer, deque(), asyncio.get_running_loop().time() + LINE_S
        task = asyncio.get_running_loop().create_task(self._read(reader, writer, self._waiting))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: deque[asyncio.Future[bytes]]) -> None:
        try:
            while writer is self._writer or waiting:
                answer = await reader.readexactly(QUESTION_OCTETS)
                if not waiting:
                    break
                asked = waiting.popleft()
                if not asked.done():
                    asked.set_result(answer)
        except FAILURES:
            pass
        finally:
            if writer is self._writer:
                self._writer = None
            writer.close()
            for asked in waiting:
                if not asked.done():
                    asked.set_exception(RemoteError("a holder went away"))
                    asked.exception()  # nobody may wait for it any more

    def close(self) -> None:
        """Use the connection no more; it is closed once what was asked is answered."""
        if self._writer is not None and not self._waiting:
            self._writer.close()
        self._writer = None

    async def stop(self) -> None:
        tasks = list(self._readers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Questions:
    """What a junction does with its boxes' questions. say(link, circuit, number, payload): the answer to the box. Contract: within the running loop; stop() at the end."""

    def __init__(self, me: Station, holder: Holder, counters: Counter[str], say: Callable[[int, int, int, bytes], None]) -> None:
        self._me, self._holder, self.counters, self._say = me, holder, counters, say
        self._rings = Rings()
        self._lines: OrderedDict[bytes, _Line] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[Answer | None]] = set()
        self._left: dict[tuple[int, int], tuple[float, float]] = {}
        """What each circuit may ask still, and since when."""

    def ask(self, link: int, circuit: int, number: int, payload: bytes) -> None:
        """Take a box's question. What is no question, or too much, is answered as one that no holder answers: a box is never told why."""
        self.counters["questions"] += 1
        try:
            asked = parse_question(self._me.network().network_id, payload)
        except RemoteError:
            asked = None
        if asked is None or not self._may(link, circuit) or len(self._tasks) >= MAX_WAITING:
            self.counters["questions_refused"] += 1
            self._say(link, circuit, number, NOTHING)
            return
        task = asyncio.get_running_loop().create_task(self._answer(link, circuit, number, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, link: int, circuit: int) -> None:
        """A circuit is gone."""
        self._left.pop((link, circuit), None)

    def _may(self, link: int, circuit: int) -> bool:
        now_s = asyncio.get_running_loop().time()
        left, at_s = self._left.get((link, circuit), (BURST, now_s))
        left = min(BURST, left + (now_s - at_s) * PER_S)
        may = left >= 1
        self._left[link, circuit] = (left - may, now_s)
        return may

    async def _answer(self, link: int, circuit: int, number: int, asked: Put | Get) -> None:
        answer = await self.of_holders(asked)
        self._say(link, circuit, number, answer.serialise())

    async def of_holders(self, asked: Put | Get) -> Answer:
        """Return what the holders of a place answer: all of them, or those who did LATE_S after half of them had. Where few do, those behind them are asked, too."""
        network, now_us = self._me.network(), self._me.now_us()
        if abs(asked.period - network.period_at(now_us)) > 1:
            return Answer(0)
        ring = self._rings.of(network, asked.period, now_us)
        answers = await self._of_all(ring.holders(asked.place), asked)
        if len(answers) < FEWEST:
            answers += await self._of_all(ring.others(asked.place), asked)
        return best(answers)

    async def _of_all(self, holders: list[Descriptor], asked: Put | Get) -> list[Answer]:
        loop = asyncio.get_running_loop()
        waiting = {loop.create_task(self._of_one(holder, asked)) for holder in holders}
        for task in waiting:  # some go on when this is over, for as long as a holder may take: a put that comes late is one all the same
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        end_s, answers = loop.time() + ANSWER_S, list[Answer]()
        while waiting and loop.time() < end_s:
            done, waiting = await asyncio.wait(waiting, timeout=end_s - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            answers += [answer for task in done if (answer := task.result()) is not None]
            if 2 * len(answers) >= len(holders):
                end_s = min(end_s, loop.time() + LATE_S)
        return answers

    async def _of_one(self, holder: Descriptor, asked: Put | Get) -> Answer | None:
        """Return what one holder answers; None where it does not, or lies."""
        try:
            if holder.relay_id == self._me.own.relay_id:
                return self._holder.answer(asked, self._me.own.relay_id, self._me.network().period_at(self._me.now_us()))
            async with asyncio.timeout(ANSWER_S):
                answer = parse_answer(self._me.network().network_id, asked, await self._line(holder).ask(asked.serialise()))
        except FAILURES:
            self.counters["holders_silent"] += 1
            return None
        return Answer(min(1, answer.count), answer.record)

    def _line(self, holder: Descriptor) -> _Line:
        """Return the line to a holder, a new one where its descriptor has changed."""
        line = self._lines.get(holder.relay_id)
        if line is None or line.holder != holder:
            if line is not None:
                line.close()
            line = self._lines[holder.relay_id] = _Line(self._me, holder)
        self._lines.move_to_end(holder.relay_id)
        if len(self._lines) > MAX_LINES:
            self._lines.popitem(last=False)[1].close()
        return line

    async def stop(self) -> None:
        """End what goes on; idempotent."""
        tasks = [*self._tasks, *self._asking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in self._lines.values():
            await line.stop()
        self._lines.clear()


class RecordsServer:
    """A holder's end of connections. Call serve() with what gossip's listener has accepted."""

    def __init__(self, me: Station, holder: Holder) -> None:
        self._me, self._holder = me, holder
        self._here: Counter[bytes] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, binding: bytes) -> None:
        """Answer a junction until it ends. Raises one of FAILURES."""
        async with asyncio.timeout(PROOF_S):
            junction_id, signature = await reader.readexactly(32), await reader.readexactly(64)
        self._check(junction_id, signature, binding)
        if self._here.total() >= MAX_JUNCTIONS or self._here[junction_id] >= MAX_OF_JUNCTION:
            raise RemoteError("a junction has connections enough")
        self._here[junction_id] += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError):  # it is done
                while True:
                    network = self._me.network()
                    asked = parse_question(network.network_id, await reader.readexactly(QUESTION_OCTETS))
                    answer = self._holder.answer(asked, junction_id, network.period_at(self._me.now_us()))
                    writer.write(answer.serialise())
                    await writer.drain()
        finally:
            self._here[junction_id] -= 1

    def _check(self, junction_id: bytes, signature: bytes, binding: bytes) -> None:
        network = self._me.network()
        relay = network.relay(junction_id)
        if relay is None or relay.role is not Role.JUNCTION or not relay.valid_at(network.date(self._me.now_us())):
            raise RemoteError("somebody who is no junction of the network asks about records")
        try:
            Ed25519PublicKey.from_public_bytes(relay.identity).verify(signature, _signed(network.network_id, binding))
        except (InvalidSignature, ValueError):
            raise HandshakeError("somebody shows another's name") from None
