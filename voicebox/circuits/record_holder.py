"""What a relay holds of others' records: one for each place, the latest; nothing that was rolled back, forged, or is over.

A holder is asked by junctions only, and knows nothing of boxes. It tells what is at a place to whoever names the place, and lists none. Bounds: 16 384 records in all (33 MB),
half of them brought by one junction in a period. On disk: 16 files of whole records, by the first digit of the place. NOT here: connections (record_peer.py), files
(record_files.py). Pure: takes `now_us`, network time, through the period. Spec: PROTOCOL.md §12.5.
"""

from __future__ import annotations

from collections import Counter

from voicebox.circuits.record import LIVES_PERIODS, RECORD_OCTETS, Record, parse_record
from voicebox.circuits.record_question import Answer, Get, Put
from voicebox.errors import HandshakeError

MAX_RECORDS = 16_384
MAX_OF_ONE = MAX_RECORDS // 2
SHARDS = 16
MAX_SHARD_OCTETS = 2 * MAX_RECORDS // SHARDS * RECORD_OCTETS
"""Places are keys, which whoever likes can choose: more than that of one file is not written."""


class Holder:
    """The records of one relay. counters: totals, by what became of questions."""

    def __init__(self, network_id: bytes, counters: Counter[str], *, most: int = MAX_RECORDS) -> None:
        self._network_id, self.counters, self._most = network_id, counters, most
        self._records: dict[tuple[int, bytes], Record] = {}
        self._brought: Counter[tuple[int, bytes]] = Counter()
        """New places of a period by the junction that brought them."""
        self._period = 0
        self._changed: set[int] = set()

    def __len__(self) -> int:
        return len(self._records)

    def answer(self, asked: Put | Get, junction_id: bytes, period: int) -> Answer:
        """Answer a question. period: the present one."""
        self._forget_over(period)
        if isinstance(asked, Put):
            refusal = self._put(asked.record, junction_id, period)
            self.counters[f"records_{refusal or 'taken'}"] += 1
            return Answer(0 if refusal else 1)
        self.counters["records_asked"] += 1
        return Answer(1, self._records.get((asked.period, asked.place)))

    def _put(self, record: Record, junction_id: bytes, period: int) -> str | None:
        """Keep a record, or return why not. One of the next period is early by a clock, one of the last is late by one."""
        if abs(record.period - period) > 1:
            return "of_another_time"
        name = record.period, record.place
        before = self._records.get(name)
        if before is not None and (record.sequence < before.sequence or (record.sequence == before.sequence and record != before)):
            return "rolled_back"
        if before is None:
            if len(self._records) >= self._most or self._brought[record.period, junction_id] >= min(MAX_OF_ONE, self._most):
                return "too_many"
            self._brought[record.period, junction_id] += 1
        self._records[name] = record
        self._changed.add(_shard(record.place))
        return None

    def _forget_over(self, period: int) -> None:
        if period == self._period:
            return
        self._period = period
        for name in [name for name in self._records if name[0] + LIVES_PERIODS <= period]:
            del self._records[name]
            self._changed.add(_shard(name[1]))
        self._brought = Counter({key: count for key, count in self._brought.items() if key[0] + LIVES_PERIODS > period})

    # --------------------------------------------------------------------------------------------------------------- on disk

    def changed_shards(self) -> dict[int, bytes]:
        """Return the files that are to be written anew: by number, all records of each; and forget that they changed."""
        shards: dict[int, list[bytes]] = {shard: [] for shard in self._changed}
        self._changed = set()
        for (_, place), record in self._records.items():
            if _shard(place) in shards:
                shards[_shard(place)].append(record.serialise())
        return {shard: b"".join(records)[:MAX_SHARD_OCTETS] for shard, records in shards.items()}

    def load(self, octets: bytes, period: int) -> None:
        """Take a file's records, as far as they are good and not over; what is not is counted."""
        self._period = period
        for at in range(0, min(len(octets), MAX_SHARD_OCTETS), RECORD_OCTETS):
            try:
                record = parse_record(self._network_id, octets[at : at + RECORD_OCTETS])
            except HandshakeError:
                self.counters["records_damaged"] += 1
                continue
            if abs(record.period - period) < LIVES_PERIODS and len(self._records) < self._most:
                self._records[record.period, record.place] = record


def _shard(place: bytes) -> int:
    return place[0] * SHARDS // 256
