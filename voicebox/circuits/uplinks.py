"""Over which of this machine's interfaces the links of a box leave, where its user chose: one guard's links over each of two.

    none chosen     a link leaves as the system sends
    one             over that one, or not at all
    two             those of the i-th way over the i-th; what is lost there goes on over the other, and stays; later circuits begin over their own again

    voicebox uplinks 1
    uplink     the name of an interface, in the order of ways; at most two, none for "as the system sends"

NOT here: which interfaces lead anywhere (addresses.py), circuits (circuit.py, standing.py), disks. Pure. Spec: PROTOCOL.md §6.5, §10.5.
"""

from __future__ import annotations

from collections.abc import Collection

from voicebox.circuits.lines import LineReader
from voicebox.config.model import parse_uplink
from voicebox.errors import HostError, UsageError

UPLINKS_FILE = "uplinks"
MAX_UPLINKS = 2
SILENT_US = 2_000_000
"""A link on which nothing valid came for so long, a hundred cells, is silent."""
SHOWN = (
    "With a second uplink one guard's links leave over each, so that a call goes on when either fails.\n"
    "It shows more of you than one does:\n"
    "- The second provider, and whoever watches its line, see what the first ones see: that a box is here, always on, and which guard it has.\n"
    "- Your box has an address at each of them. Whoever sees both lines, or both guards at the same moment, sees that both addresses are one household's:\n"
    "  the links begin and end together, and when one line fails its link is at once on the other.\n"
    "- Whoever can cut one line finds the other by that: the link of the first appears there.\n"
    "- On a line of a mobile provider this traffic is volume, and the place where you are is known.\n"
    "Who is called, and whether anybody is, it shows to neither."
)
"""What somebody is told before a second uplink is used."""
_HINT = "Choose anew, with `voicebox uplinks use` or `voicebox uplinks off`."


class Uplinks:
    """Which uplink a link leaves over. Contract: see() whenever the machine's interfaces changed; choose() where the user did."""

    def __init__(self, chosen: tuple[str, ...] = ()) -> None:
        self.choose(chosen)

    def choose(self, chosen: tuple[str, ...]) -> None:
        """Take what the user chose: at most MAX_UPLINKS, none twice. None of them is there until see() says so."""
        assert len(set(chosen)) == len(chosen) <= MAX_UPLINKS
        self.chosen: tuple[str, ...] = chosen
        self.there: frozenset[str] = frozenset()

    def see(self, there: Collection[str]) -> None:
        """Take which interfaces have a carrier and lead to relays."""
        self.there = frozenset(there) & frozenset(self.chosen)

    def own(self, way: int) -> str | None:
        """Return the uplink of a way, there or not; None: as the system sends."""
        return self.chosen[way % len(self.chosen)] if self.chosen else None

    def to_begin(self, way: int, tries: int = 0) -> str | None:
        """Return over which uplink a way's circuit is begun; tries: how often it failed. Its own, and, where that failed, the others in turn.

        None: as the system sends. Raises HostError where none of those chosen is there.
        """
        there = [uplink for uplink in self._from(way) if uplink in self.there]
        if self.chosen and not there:
            raise HostError("none of the uplinks that were chosen leads to a relay")
        return there[tries % len(there)] if there else None

    def to_stay(self, way: int, over: str | None) -> tuple[str | None, ...]:
        """Return over which uplinks a standing circuit may go on, the best first: that over which it is, its own, the other. (None,): as the system sends."""
        if not self.chosen:
            return (None,)
        return tuple(uplink for uplink in dict.fromkeys((over, *self._from(way))) if uplink in self.there)

    def _from(self, way: int) -> tuple[str, ...]:
        place = way % len(self.chosen) if self.chosen else 0
        return self.chosen[place:] + self.chosen[:place]


def serialise_uplinks(chosen: tuple[str, ...]) -> str:
    """Return the file of what was chosen."""
    return "voicebox uplinks 1\n" + "".join(f"uplink {name}\n" for name in chosen)


def parse_uplinks(text: str, path: str) -> tuple[str, ...]:
    """Read what serialise_uplinks() wrote. Raises FileProblem."""
    reader = LineReader(text, path, _HINT, max_characters=256)
    reader.exactly("voicebox", "uplinks 1")
    chosen: list[str] = []
    while not reader.at_end():
        name = reader.value("uplink")
        wrong = reader.problem("an uplink is the name of an interface; there are two at most, none twice")
        try:
            chosen.append(parse_uplink(name))
        except UsageError:
            raise wrong from None
        if name == "any" or len(set(chosen)) != len(chosen) or len(chosen) > MAX_UPLINKS:
            raise wrong
    return tuple(chosen)
