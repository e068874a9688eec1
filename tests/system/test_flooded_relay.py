"""A relay that carries calls, flooded by fifty neighbours with junk and whole handshakes: it counts them, and its calls go on. [io]

The rates are small, so that a busy machine can send them; `make bench PART=flood` has those that are asked for, and looks at how late the ticks leave.
"""

from __future__ import annotations

import pytest

from tools.bench.flood import carry
from tools.cargo import build

pytestmark = pytest.mark.alone

CALLS, SECONDS = 10, 3.0
JUNK_PER_S, HANDSHAKES_PER_S = 8_000, 400
MOST_BEGUN = 2 * 200 * (SECONDS + 2)
"""A listener begins at most 200 handshakes a second (PROTOCOL.md §2.1); an allowance that was not used is there beside it."""


def test_a_flood_of_junk_and_handshakes_costs_no_call() -> None:
    build("-p", "voicebox-node", "--example", "relay_load")
    found = carry(CALLS, SECONDS, JUNK_PER_S, HANDSHAKES_PER_S)
    flood = found["flood"]
    print(f"\n{flood['junk_per_s']:.0f} datagrams and {flood['handshakes_per_s']:.0f} handshakes a second, {flood['handshakes_stood']} stood; {found}")
    assert flood["junk_per_s"] > JUNK_PER_S / 4
    assert flood["handshakes_per_s"] > HANDSHAKES_PER_S / 4
    for kind, counted in flood["counted"].items():
        assert counted >= 0.5 * flood["junk"][kind], kind
    assert 0 < flood["handshakes_stood"] <= MOST_BEGUN
    assert found["handshakes_discarded"] + found["handshakes_refused"] > 0
    assert (found["calls_lost"], found["links_lost"], found["panics"]) == (0, 0, 0)
    assert found["loss_pct"] < 10
