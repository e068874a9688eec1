"""Houses behind routers that masquerade and let nothing in, on an internet of this machine's own. [io]

    house (192.168.1.10) -- lan | router, nft masquerade | wan (198.51.100.2, .6, ...) -- internet (203.0.113.0/24: relays)

Every house has the same addresses inside, as houses do. Needs what tools/lab/namespaces.py needs, and nft(8).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.lab.namespaces import Namespace, wait_carries
from voicebox.errors import HostError

INSIDE, ROUTER = "192.168.1.10", "192.168.1.1"
GUEST, GUEST_ROUTER = "192.168.2.20", "192.168.2.1"
"""Of who comes from another house."""
NFT_TIMEOUT_S = 30.0
RULES = """
table ip house {
    counter masqueraded {}
    chain out { type nat hook postrouting priority srcnat; oifname "wan" counter name masqueraded masquerade fully-random; }
    chain through { type filter hook forward priority filter; policy drop; ct state established,related accept; iifname { "lan", "guest" } accept; }
    chain in { type filter hook input priority filter; policy drop; ct state established,related accept; }
}
"""


class Internet:
    """The middle, with all addresses of relays. Contract: enter it, then house(); leaving it takes the houses down too."""

    def __init__(self, relay_addresses: list[str]) -> None:
        self._relay_addresses = relay_addresses
        self.houses: list[House] = []

    def __enter__(self) -> Self:
        self.namespace = Namespace()
        self.namespace.ip(f"address add {address}/32 dev lo" for address in self._relay_addresses)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for house in self.houses:
            house.close()
        self.namespace.close()

    def house(self) -> House:
        """Build one more house."""
        house = House(self.namespace, len(self.houses))
        self.houses.append(house)
        return house


class House:
    """One house. inside: where its box and phones are; street: the interface of the internet at which what leaves the house arrives."""

    def __init__(self, internet: Namespace, number: int) -> None:
        self.inside, self._router = Namespace(), Namespace()
        near, far, self.street = f"198.51.100.{4 * number + 2}", f"198.51.100.{4 * number + 1}", f"house{number}"
        self.internet = internet
        street = self.street
        self._router.ip(
            [
                f"link add wan type veth peer name {street} netns {internet.path}",
                f"link add lan type veth peer name eth0 netns {self.inside.path}",
                f"address add {near}/30 dev wan",
                f"address add {ROUTER}/24 dev lan",
                "link set wan up",
                "link set lan up",
            ]
        )
        internet.ip([f"address add {far}/30 dev {street}", f"link set {street} up"])
        self.inside.ip([f"address add {INSIDE}/24 dev eth0", "link set eth0 up", f"route add default via {ROUTER}"])
        self._router.ip([f"route add default via {far}"])
        self._router.run(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        self._nft("-f", "-", given=RULES)

    def gets_ready_for(self, other: House) -> None:
        """Lay a line into another house's network, with no address yet: a line that is laid may take a second until it carries anything."""
        self.inside.ip([f"link add eth1 type veth peer name guest netns {other._router.path}", "link set eth1 up"])
        other._router.ip([f"address add {GUEST_ROUTER}/24 dev guest", "link set guest up"])
        wait_carries(self.inside, "eth1")
        wait_carries(other._router, "guest")

    def moves(self) -> None:
        """Let the own line be gone without a word, and an address and a gateway be there on the other one."""
        self.inside.ip(["link set eth0 down", f"address add {GUEST}/24 dev eth1", f"route add default via {GUEST_ROUTER}"])

    def has_another_line(self, other: House, metric: int) -> None:
        """Let there be an address and a gateway on the line that gets_ready_for() laid, too, behind those of the own line."""
        self.inside.ip([f"address add {GUEST}/24 dev eth1", f"route add default via {GUEST_ROUTER} metric {metric}"])
        wait_carries(other._router, "guest")

    def pull(self, line: str = "lan") -> None:
        """Take the carrier of a line, at the router's end of it."""
        self._router.ip([f"link set {line} down"])

    def leads_nowhere(self) -> None:
        """Let the router hand nothing on, while its end of the line stays as it is."""
        self._nft("flush", "chain", "ip", "house", "through")

    def masqueraded(self) -> int:
        """Return how many flows the router masqueraded."""
        told = json.loads(self._nft("-j", "list", "counter", "ip", "house", "masqueraded"))
        return int(next(each["counter"]["packets"] for each in told["nftables"] if "counter" in each))

    def _nft(self, *arguments: str, given: str = "") -> str:
        command = [*self._router.wrapper, "nft", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=NFT_TIMEOUT_S, check=False)
        if done.returncode:
            raise HostError(f"the router's rules cannot be made: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """Take it down; it ends with the last process in it."""
        self.inside.close()
        self._router.close()
