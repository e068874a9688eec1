"""A whole network on one machine: six relays, two boxes, each a process of its own, set up by the commands a user would type. [io]

The same daemons, files and command line as everywhere; only addresses, ports and the length of an epoch are chosen here.
NOT here: phones (phones.py), what to do with the network (run.py, the tests, the benchmarks).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from voicebox.config.model import with_option
from voicebox.control import ask
from voicebox.demo.datagrams import Endpoint
from voicebox.demo.measure import LinkRole
from voicebox.demo.phones import Login
from voicebox.errors import HostError, UsageError
from voicebox.sensitive import Secret

COMMAND_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 5.0
STATUS_PAUSE_S = 0.2
LOG_TAIL_LINES = 8

GUARDS = ("guard-1", "guard-2", "guard-3", "guard-4")
JUNCTIONS = ("junction-1", "junction-2")
BOXES = ("alice", "bob")


@dataclass(frozen=True, slots=True)
class Plan:
    """Addresses of the embedded network. Every node has its own loopback address, so that a capture tells them apart.

    epoch_s: length of an epoch; first_port: relays listen from here on; sip_port: both boxes, each on its own address. ipv6: each on ::1 as well, at ports
    of their own.
    """

    first_port: int = 47_000
    sip_port: int = 5_060
    epoch_s: int = 3_600
    profile: str = "home"
    boxes: tuple[str, ...] = BOXES
    prefix: str = "127.0.77"
    guards: tuple[str, ...] = GUARDS
    junctions: tuple[str, ...] = JUNCTIONS
    ipv6: bool = False

    def box_sip6(self, name: str) -> Endpoint:
        """Return where a box listens for phones over IPv6, where it does."""
        return Endpoint("::1", self.sip_port + 20 + 10 * self.boxes.index(name))

    def relay_address(self, name: str) -> Endpoint:
        """Return where a relay listens."""
        index = (*self.guards, *self.junctions).index(name)
        return Endpoint(f"{self.prefix}.{10 + index}", self.first_port + index)

    def box_address(self, name: str) -> str:
        """Return the address of a box, for its phones and for its links."""
        return f"{self.prefix}.{100 + self.boxes.index(name)}"

    def guards_of(self, name: str) -> tuple[str, ...]:
        """Return the guards that a box may use. Each has two of its own, so that no guard stands at both ends of a path; in a large network chance sees to that."""
        return self.guards[:2] if self.boxes.index(name) % 2 == 0 else self.guards[2:]

    def phone_sip(self, name: str) -> Endpoint:
        """Return where the phone of a box listens. All share one address: some phones bind their sound to any, and on a loopback that is this one."""
        return Endpoint("127.0.0.1", 5_070 + 10 * self.boxes.index(name))

    def phone_rtp_port(self, name: str) -> int:
        """Return the first port of the sound of a box's phone."""
        return 20_000 + 1_000 * self.boxes.index(name)

    def links(self) -> tuple[LinkRole, ...]:
        """Return every link there can be, access links first."""
        relays = {name: self.relay_address(name) for name in (*self.guards, *self.junctions)}
        access = [LinkRole(f"{box} - {guard}", Endpoint(self.box_address(box), 0), relays[guard], access=True) for box in self.boxes for guard in self.guards]
        inner = [
            LinkRole(f"{guard} - {junction}", Endpoint(relays[guard].address, 0), relays[junction], access=False)
            for guard in self.guards
            for junction in self.junctions
        ]
        return (*access, *inner)


@dataclass
class Node:
    """One running daemon. wrapper: a command in front of it, which becomes it."""

    name: str
    home: Path
    command: str
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()


def _each(step: Callable[[str, Node], object], nodes: Mapping[str, Node]) -> None:
    """Do a step for each node, some at a time: most of a command is the start of its interpreter."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(step, nodes.keys(), nodes.values()):
            pass


class EmbeddedNetwork:
    """Six relays and some boxes below one directory. set_up(), start(), wait_ready(); stop() ends every process started here."""

    def __init__(self, directory: Path, plan: Plan | None = None) -> None:
        self.directory = directory
        self.plan = plan or Plan()
        self.relays = {name: Node(name, directory / name, "relay run") for name in (*self.plan.guards, *self.plan.junctions)}
        self.boxes = {name: Node(name, directory / name, "run") for name in self.plan.boxes}
        self.network_line = ""

    # Setting up, as a user would

    def voicebox(self, *arguments: str, home: Path | None = None) -> str:
        """Run one voicebox command and return what it printed. Raises HostError with what it complained about."""
        command = [sys.executable, "-m", "voicebox", *arguments, *(["--home", str(home)] if home else [])]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
        if done.returncode:
            raise HostError(f"`voicebox {' '.join(arguments[:2])}` failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def set_up(self) -> None:
        """Make relays, their network, boxes that are each other's contacts, and one phone for each box."""
        self.directory.mkdir(parents=True, exist_ok=True)
        _each(self._init_relay, self.relays)
        self.sign()
        _each(self._init_box, self.boxes)
        _each(self.make_contacts, self.boxes)

    def _init_relay(self, name: str, node: Node) -> None:
        listen = self.plan.relay_address(name)
        role = "junction" if name in self.plan.junctions else "guard"
        self.voicebox("relay", "init", "--listen", f"{listen.address}:{listen.port}", "--role", role, "--operator", f"operator of {name}", home=node.home)

    def sign(self) -> None:
        """Make the network, vouch for the relays, and let them join."""
        file = str(self.directory / "network")
        self.network_line = self.voicebox("network", "create", file, "--epoch", str(self.plan.epoch_s)).split()[-1]
        self.voicebox("relay", "vouch", "--network", file, *(str(node.home / "descriptor") for node in self.relays.values()))
        _each(lambda _name, node: self.join(node), self.relays)

    def join(self, node: Node) -> None:
        """Let a node belong to the network."""
        self.voicebox("network", "join", self.network_line, str(self.directory / "network"), home=node.home)

    def _init_box(self, name: str, node: Node) -> None:
        address = self.plan.box_address(name)
        options = ["--name", name, "--sip", f"{address}:{self.plan.sip_port}", "--link-address", address, "--profile", self.plan.profile]
        if self.plan.ipv6:
            options += ["--sip", f"[{self.plan.box_sip6(name).address}]:{self.plan.box_sip6(name).port}"]
        for guard in self.plan.guards_of(name):
            options += ["--guards", f"operator of {guard}"]
        self.voicebox("init", *options, home=node.home)
        self.join(node)
        (self.directory / f"{name}.card").write_text(self.voicebox("contact", "card", home=node.home))
        (self.directory / f"{name}.phone.json").write_text(self.voicebox("phone", "add", "desk", "--transport", "udp", "--json", home=node.home))

    def configure(self, name: str, option: str, value: str) -> None:
        """Change an option of a box in its box.yaml, as a user does. Raises UsageError where it is not in a line of its own."""
        settings = self.boxes[name].home / "box.yaml"
        settings.write_text(with_option(settings.read_text(), option, value))

    def make_contacts(self, name: str, node: Node) -> None:
        """Add every other box as a contact, under its name."""
        for other in self.plan.boxes:
            if other != name:
                self.voicebox("contact", "add", other, str(self.directory / f"{other}.card"), home=node.home)

    def login(self, name: str, transport: str = "udp", *, ipv6: bool = False, dtls: bool = False) -> Login:
        """Return how the phone of a box reaches it. dtls: one of another account, which is for DTLS-SRTP."""
        account = self.directory / f"{name}.{'dtls' if dtls else 'phone'}.json"
        if dtls and not account.exists():
            account.write_text(self.voicebox("phone", "add", "cordless", "--transport", transport, "--keying", "dtls", "--json", home=self.boxes[name].home))
        phone = json.loads(account.read_text())
        sip = self.plan.box_sip6(name) if ipv6 else Endpoint(self.plan.box_address(name), self.plan.sip_port)
        authority, port = None, sip.port
        if transport == "tls":
            authority, port = self.directory / f"{name}.pem", port + 1
            if not authority.exists():
                self.voicebox("phone", "ca", str(authority), home=self.boxes[name].home)
        return Login(sip.address, port, phone["user"], Secret(phone["password"].encode()), transport, authority, dtls)

    # Running

    def start(self) -> None:
        """Start every daemon."""
        for node in (*self.relays.values(), *self.boxes.values()):
            self.start_node(node)

    def start_node(self, node: Node, wrapper: Sequence[str] = ()) -> None:
        """Start one daemon; its output goes to `log` in its directory. wrapper: one more command in front of it."""
        with (node.home / "log").open("ab") as log:
            command = [*wrapper, *node.wrapper, sys.executable, "-m", "voicebox", *node.command.split(), "--home", str(node.home)]
            environment = {**os.environ, **node.environment}
            node.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def status(self, node: Node, *, show_path: bool = False) -> Mapping[str, Any] | None:
        """Return what a daemon says of itself, or None while it does not answer; asked as `voicebox status --json` does, without a process for each question."""
        try:
            return dict(ask(node.home, "status", show_path=show_path)["status"])
        except (HostError, UsageError):
            return None

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> float:
        """Wait until both boxes have their standing circuits; return the seconds it took. Raises HostError with the reason."""
        begun = time.monotonic()
        waiting = set(self.boxes)
        while waiting:
            self._check_alive()
            waiting -= {name for name in waiting if (self.status(self.boxes[name]) or {}).get("ready")}
            if waiting and time.monotonic() - begun > timeout_s:
                raise HostError(f"the circuits of {' and '.join(sorted(waiting))} did not stand after {timeout_s:.0f} s.\n{self.log_tails()}")
            time.sleep(STATUS_PAUSE_S if waiting else 0)
        return time.monotonic() - begun

    def _check_alive(self) -> None:
        for node in (*self.relays.values(), *self.boxes.values()):
            if node.process is not None and node.process.poll() is not None:
                raise HostError(f"{node.name} ended by itself (exit code {node.process.returncode}).\n{self.log_tails(node)}")

    def log_tails(self, only: Node | None = None) -> str:
        """Return the last lines of the daemons' logs."""
        nodes = [only] if only else [*self.relays.values(), *self.boxes.values()]
        parts = []
        for node in nodes:
            with contextlib.suppress(OSError):
                lines = (node.home / "log").read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
                parts += [f"  {node.name}: {line}" for line in lines]
        return "\n".join(parts)

    def stop_node(self, node: Node, number: int = signal.SIGTERM) -> None:
        """End one daemon."""
        if node.process is None:
            return
        node.process.send_signal(number)
        try:
            node.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            node.process.kill()
            node.process.wait(STOP_TIMEOUT_S)
        node.process = None

    def stop(self) -> None:
        """End every daemon started here."""
        for node in (*self.boxes.values(), *self.relays.values()):
            if node.process is not None and node.process.poll() is None:
                node.process.terminate()
        for node in (*self.boxes.values(), *self.relays.values()):
            self.stop_node(node)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
