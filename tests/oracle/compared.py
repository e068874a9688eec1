"""A node of the model with the engine's core beside it: both get the same inputs, and have to do the same."""

from __future__ import annotations

from relay.model.node import Node, Output
from relay.model.owner import MAX_MATES
from relay.model.slots import COMPOSE_US
from voicebox import _relay


class EngineLayer:
    """The layer permutation of the engine, in the model's place for it: the two are compared elsewhere, and this one is fast."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    def encipher(self, tweak: bytes, body: bytes) -> bytes:
        """Return the image of body under (key, tweak)."""
        return _relay.hctr2_encipher(self.key, tweak, body)

    def decipher(self, tweak: bytes, body: bytes) -> bytes:
        """Undo encipher."""
        return _relay.hctr2_decipher(self.key, tweak, body)


class Compared(Node):
    """Node whose every output and count is compared with the core's. inputs: how many were; coupled: how often two circuits were; tripled: and a third one."""

    def __init__(self, seed: bytes, *, metered: bool = False) -> None:
        super().__init__(seed, EngineLayer, max_circuits=24, metered=metered)
        self.core = _relay.CoreMachine(seed, 24, metered)
        self.inputs = self.coupled = self.tripled = 0

    def handle(self, now_us: int, given: tuple[object, ...]) -> None:
        """Give an input to both. Raises AssertionError where they differ."""
        refused = self.counters["bad_command"]
        super().handle(now_us, given)
        if given[:2] == ("command", "couple") and self.counters["bad_command"] == refused:
            self.coupled += 1
            own = self.links[given[2]].own if isinstance(given[2], int) else None
            self.tripled += own is not None and own.own is not None and len(own.own.mates) == MAX_MATES
        core = self.core.handle(now_us, given)
        self.inputs += 1
        assert self._outputs == core, difference(given, self._outputs, core)
        # Woken when the core asks, nothing is put together later than 1 ms before it is due; what is passed on leaves at once.
        times_us = [at_us for name, *_, at_us in core if name == "send" and isinstance(at_us, int)]
        assert all(at_us == now_us or at_us >= now_us + COMPOSE_US for at_us in times_us), given

    def next_timer(self) -> int | None:
        """Return when the core wants to be woken, so that a deadline it forgets is seen."""
        return self.core.next_timer()

    def compare_counters(self) -> None:
        """Compare all counts of drops. Raises AssertionError where they differ."""
        core = self.core.counters()
        assert {name: self.counters[name] for name in DROPS} == {name: core[name] for name in DROPS}


DROPS = (
    "unknown_link", "unknown_circuit", "outside_layers", "speech_malformed", "speech_stale", "creates_full", "circuits_full", "before_created", "clear_inside",
    "slot_late", "slot_ahead", "slot_twice", "slot_odd", "queue_full", "unknown_token", "knock_unsettled", "knock_spliced", "knock_limit", "speech_full", "unknown_join", "join_not_free",
    "unasked", "owner_unknown_circuit", "owner_replayed", "owner_ahead", "end_to_end_malformed", "end_to_end_replayed", "broke_protocol", "bad_command", "fast_unasked", "answer_late",
)  # fmt: skip
"""All the reasons for which the model drops."""


def difference(given: tuple[object, ...], model: list[Output], core: list[Output]) -> str:
    """Tell where two lists of outputs first differ."""
    index = next((i for i, (left, right) in enumerate(zip(model, core, strict=False)) if left != right), min(len(model), len(core)))
    return f"after {given!r}: output {index} of {len(model)} and {len(core)}: model {model[index : index + 1]!r}, core {core[index : index + 1]!r}"
