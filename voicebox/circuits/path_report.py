"""What `voicebox path` and `status` tell of circuits: the relays of those in use, and what their choice went by.

Of a contact's half of a path nothing is known here but its junction. NOT here: probabilities (exposure.py), words (cli/path.py). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from voicebox.circuits.calls import Calls
from voicebox.circuits.circuit import Circuit, Stage
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.guards import DAY_S
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.path import Pool
from voicebox.circuits.scores import FLOOR_BITS, delay_counts
from voicebox.circuits.standing import StandingCircuits


def path_report(standing: StandingCircuits, network: VerifiedNetwork, *, middle: bool, compared: dict[str, int]) -> dict[str, Any]:
    """Return it for the owner of the box alone: it names operators. delay_ms: from the box to the junction, one way, as it was when the circuit was made.

    compared: what contacts' boxes said of the junctions that they know (agreement.py).
    """
    terms, pool = network.terms, standing.pool
    junctions = Pool(network, Role.JUNCTION, pool.date)
    return {
        "circuits": [_circuit(circuit) for circuit in standing.present() if circuit.stage is Stage.STANDING],
        "guards": [guard.operator for guard in standing.guards()],
        "by_card": {"known": len(pool.by_card), "unlisted": len(pool.unlisted), "guards": sum(guard.relay_id in pool.by_card for guard in standing.guards())},
        "own_relay": standing.avoids,
        "middle": middle,
        "entropy_bits": {"guards": round(pool.entropy_bits, 1), "junctions": round(junctions.entropy_bits, 1), "floor": FLOOR_BITS},
        "delay_counts": middle and delay_counts(pool.entropy_bits),
        "relays": {"guards": len(pool.relays), "junctions": len(junctions.relays)},
        "compared": compared,
        "threshold": terms.threshold,
        "distinct": {"operators": terms.distinct_operators, "prefixes": terms.distinct_prefixes},
        "epochs_per_day": DAY_S / terms.epoch_s,
    }


def circuit_status(circuit: Circuit, *, present: bool, show_path: bool) -> dict[str, Any]:
    """Return what `voicebox status` tells of a circuit. show_path: who runs its relays too."""
    in_call = circuit.busy and not (circuit.gives_way is not None and circuit.gives_way.is_dummy)
    told: dict[str, Any] = {
        "state": circuit.stage.name.lower(),
        "present": present,
        "in_call": in_call,
        "spare": in_call and circuit.gives_way is not None,
    }
    if show_path:
        told["relays"] = [relay.operator for relay in circuit.path.relays]
    return told


def way_of_calls(jitter: Iterable[tuple[int, int]], calls: Calls | None) -> dict[str, Any]:
    """Return what the way adds to sound, without a name of any relay or contact. steps_us: of each link (Engine.jitter); round_trips_ms: of each call in which people talk, as it began."""
    return {"steps_us": [step_us for _, step_us in jitter], "round_trips_ms": [] if calls is None else calls.round_trips_ms()}


def _circuit(circuit: Circuit) -> dict[str, Any]:
    path = circuit.path
    roles = [("guard", path.guard), *([("middle", path.middle)] if path.middle is not None else []), ("junction", path.junction)]
    return {"relays": [_relay(role, relay) for role, relay in roles], "delay_ms": round(circuit.round_trips_us[-1] / 2_000) if circuit.round_trips_us else None}


def _relay(role: str, relay: Descriptor) -> dict[str, Any]:
    return {"role": role, "operator": relay.operator, "mbit_s": relay.mbit_s}
