"""A box or a relay for calls over six relays: the same program, but that a box puts two middles into its circuits, and a relay lets it. For octets.py, and not shipped. [io]

A relay of users lengthens a circuit that came from another relay to a junction only, so that no circuit is longer than three (PROTOCOL.md §10.5).

    python -m tools.bench.long_node PYTHON -m voicebox ARGUMENTS...     as a wrapper in front of a command
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass

from voicebox.circuits import relay, standing
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.path import Path, Pool, Rng, with_middle
from voicebox.cli.main import main
from voicebox.errors import PolicyError

TRIES = 50


@dataclass(frozen=True, slots=True)
class LongPath(Path):
    """A path with two relays between guard and junction."""

    second: Descriptor | None = None

    @property
    def relays(self) -> tuple[Descriptor, ...]:
        """Return the relays from the box on."""
        between = tuple(each for each in (self.middle, self.second) if each is not None)
        return (self.guard, *between, self.junction)


def with_two_middles(pool: Pool, path: Path, guards: Collection[Descriptor], rng: Rng, favour: Callable[[Descriptor], float]) -> Path:
    """Lengthen a path by two relays, not the same. Raises PolicyError where there are not two."""
    first = with_middle(pool, path, guards, rng, favour).middle
    for _ in range(TRIES):
        second = with_middle(pool, path, guards, rng, favour).middle
        if second != first:
            return LongPath(path.guard, path.junction, first, second)
    raise PolicyError("There are not two relays for the middle of a path.")


def lengthens(node: relay.Relay, _link: int, to: Descriptor) -> bool:
    """Return whether a relay lengthens a circuit: one of the role guard does, to any other."""
    own = node._own  # noqa: SLF001 - the rule that is replaced here is the relay's own
    return own.role is Role.GUARD and to.relay_id != own.relay_id


if __name__ == "__main__":
    setattr(standing, "with_middle", with_two_middles)  # noqa: B010 - a rebinding that a type checker would take for a mistake
    setattr(relay.Relay, "_may_extend", lengthens)  # noqa: B010 - likewise
    sys.exit(main(sys.argv[4:]))
