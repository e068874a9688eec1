"""The embedded network in namespaces: the same daemons, commands and files, each node behind a wire of its own. [io]

    with Lab(load_network(NETWORKS / "continent.yaml"), directory) as lab, lab.wires() as wires:
        lab.nodes.start()
        lab.nodes.wait_ready()
        with lab.phone("alice", ...) as caller: ...
    wires.report, wires.sent(), wires.arrived()

Call enter_private_network() first, before the process has a second thread.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from tools.lab.namespaces import Namespace, join, wait_running
from tools.lab.plan import LabNetwork, LabPlan
from tools.lab.wire import Wires
from voicebox.demo.network import EmbeddedNetwork
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for


class Lab:
    """A network's namespaces, its nodes (set up, not started) and its wires, below one directory."""

    def __init__(self, network: LabNetwork, directory: Path) -> None:
        self.network, self.directory = network, directory
        self.plan = LabPlan.of(network)
        self.nodes = EmbeddedNetwork(directory / "nodes", self.plan)
        self._internet: Namespace | None = None
        self._namespaces: dict[str, Namespace] = {}
        self._interfaces = {name: f"wire{number}" for number, name in enumerate(network.nodes())}

    def __enter__(self) -> Self:
        try:
            self._internet = Namespace()
            for name, interface in self._interfaces.items():
                self._namespaces[name] = Namespace()
                join(self._namespaces[name], self._internet, self.network.address(name), interface)
            for name, node in {**self.nodes.relays, **self.nodes.boxes}.items():
                node.wrapper = self._namespaces[name].wrapper
            self.nodes.set_up()
            for name, interface in self._interfaces.items():
                wait_running(self._namespaces[name], self._internet, interface)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        self.nodes.stop()
        for namespace in (*self._namespaces.values(), self._internet):
            if namespace is not None:
                namespace.close()
        self._namespaces.clear()

    def wires(self, network: LabNetwork | None = None, name: str = "wires") -> Wires:
        """Return the wires, to be entered; network: other wires between the same nodes. name: of the directory of the captures."""
        assert self._internet is not None
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        return Wires(network or self.network, self._interfaces, self._internet.wrapper, folder)

    def inside(self, name: str) -> Namespace:
        """Return the namespace of a node."""
        return self._namespaces[name]

    def phone(
        self, box: str, play: Path, *, codec: str = "pcma", ring_s: float | None = None, login: bool = True, directory: Path | None = None
    ) -> PhoneDriver:
        """Return the first phone of a box, in its own namespace. login false: it takes and makes calls without its box."""
        sip, name = self.plan.phone_sip(box), self.plan.phone_of(box)
        setup = PhoneSetup(
            name=name,
            login=self.nodes.login(box) if login else None,
            address=sip.address,
            sip_port=sip.port,
            rtp_port=self.plan.phone_rtp_port(box),
            play=play,
            codec=codec,
            ring_s=ring_s,
            place=self._namespaces[name],
        )
        return phone_for(setup, (directory or self.directory) / f"phone-{name}")
