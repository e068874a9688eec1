"""A relay's part in records: it holds those of others, and asks holders for the boxes whose circuits end at it. [io]

NOT here: decisions (circuits/record_holder.py, record_ring.py), connections (circuits/record_peer.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from voicebox.circuits.gossip_peer import GossipListener
from voicebox.circuits.record_holder import SHARDS, Holder
from voicebox.circuits.record_peer import Questions, RecordsServer, Station
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HostError

WRITE_EVERY_S = 600
"""A record is put anew every half hour, so what a crash loses comes again."""
FOLDER = "records"


class Holding:
    """The records of one relay. say(link, circuit, number, payload): answer a box. Loading raises FileProblem."""

    def __init__(self, store: StateDirectory, me: Station, listener: GossipListener, say: Callable[[int, int, int, bytes], None]) -> None:
        self._store = store
        self.counters: Counter[str] = Counter()
        network = me.network()
        self._holder = Holder(network.network_id, self.counters)
        for shard in range(SHARDS):
            if store.exists(name := f"{FOLDER}/{shard:x}"):
                self._holder.load(store.read(name), network.period_at(me.now_us()))
        self.questions = Questions(me, self._holder, self.counters, say)
        listener.serve_records = RecordsServer(me, self._holder).serve

    def write(self) -> None:
        """Write what has changed; a disk that does not take it is counted, for the others hold the same."""
        for shard, octets in self._holder.changed_shards().items():
            try:
                self._store.write(f"{FOLDER}/{shard:x}", octets)
            except HostError:
                self.counters["records_not_written"] += 1

    async def stop(self) -> None:
        """Ask no more, and write; idempotent."""
        await self.questions.stop()
        self.write()

    def told(self) -> dict[str, Any]:
        """Return what the relay says of it: a total."""
        return {"held": len(self._holder)}
