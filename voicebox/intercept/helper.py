"""The helper: the one process with rights over the network. It puts the rules up, hands the box the sockets that they lead to, and takes them down. [io]

    python -m voicebox.intercept.helper '{"home": ..., ...}' with what Plan.told() says

It says one line on standard output, `on` or why not, and goes on by itself. Over a socket in the box's directory it is asked with one word, and answers with one line:

    status      {"box": true, "lan": false, "lan_resolved": null, "resolved": null}: whether a box has the sockets, whether devices are served, and how many packets to
                resolvers of DNS over HTTPS were refused to devices, and to programs of this host; null where none are
    sockets     the word `sockets`, and with it the sockets by which the box takes what is intercepted, for as long as the box keeps this connection; or `busy`
    door ADDRESS PORT   over that connection only, any number of times: `d`, and with it a socket for datagrams that is bound to this virtual address; or `n`
    calls       the word `calls`, and with it fresh sockets that take calls of phones which are registered elsewhere; nothing where none are taken
    off         `off`, once all is taken down, the fence too

It reads nothing that was intercepted and knows no contact. It binds those sockets since only it may stand for any address, and use ports below 1024. While no box has the sockets, nobody listens, and programs are refused at once. When it ends in another way than
by `off`, the kernel removes all but the fence (rules.py). NOT here: what the rules are (rules.py), what is done with connections (server.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from voicebox.errors import HostError, UsageError, VoiceboxError
from voicebox.intercept.datagram import ORIGINAL, TRANSPARENT
from voicebox.intercept.nftables import Nftables
from voicebox.intercept.privileges import keep_only_network
from voicebox.intercept.rules import (
    INTERFACE,
    LAN_RESOLVED,
    LOOKUP_PORT,
    RESOLVED,
    TABLE,
    Address,
    Network,
    Plan,
    fence,
    fenced,
    interface,
    no_fence,
    no_rules,
    not_serving,
    overlapping,
    own_address,
    plan_of,
    serving,
    table,
)
from voicebox.intercept.sip_rules import no_sip_fence, sip_fence, taking
from voicebox.short_path import short_path

SOCKET_NAME = "intercept.sock"
TUN = "/dev/net/tun"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
MAX_ASKING = 8
MAX_WORD_OCTETS = 64
MAX_WORDS_AT_ONCE = 64
DOOR, NO_DOOR = b"d", b"n"
WORD_S, LOOK_S = 2.0, 0.5
COMMAND_TIMEOUT_S = 10.0


def run_ip(lines: Iterable[str]) -> None:
    """Run commands of ip(8), each behind the version of IP that it is about. Raises HostError."""
    lines = list(lines)
    for version in ("-4", "-6"):
        batch = "".join(f"{line.removeprefix(version)}\n" for line in lines if line.startswith(version))
        if batch:
            _ip([version, "-batch", "-"], batch)


def _ip(arguments: list[str], given: str = "") -> str:
    try:
        done = subprocess.run(["ip", *arguments], input=given, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        raise HostError("Interception needs the program ip. Install it (Debian: iproute2) and try again.") from None
    if done.returncode:
        raise HostError("The kernel does not take the routes of interception: it needs the right CAP_NET_ADMIN, so start it as root, for example with sudo.")
    return done.stdout


def routes_now() -> list[dict[str, object]]:
    """Return all routes of this host. Raises HostError."""
    return [route for version in ("-4", "-6") for route in json.loads(_ip(["-json", version, "route", "show", "table", "all"]) or "[]")]


def clear() -> None:
    """Take down what does not go with the helper: the fences, and the rules for what is marked. Raises HostError."""
    run_ip([*_left_rules(), *no_fence(fenced(routes_now()))])
    nftables = Nftables()
    try:
        nftables.run(no_sip_fence())
    finally:
        nftables.close()


def _left_rules() -> list[str]:
    return [line for version in (4, 6) for line in no_rules(json.loads(_ip(["-json", f"-{version}", "rule"]) or "[]"), version)]


class Held:
    """What is put up, and goes with this process: table, interface, sockets. Raises HostError and UsageError; then nothing is left."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tun = _tun()
        self.listening: dict[int, socket.socket] = {}
        self.datagrams: dict[int, socket.socket] = {}
        self.lookups: list[socket.socket] = []
        self._call_ports: dict[int, int] = {}
        if overlapping(plan.ranges, routes_now()):
            raise UsageError(
                "A route of this machine, of a VPN perhaps, leads a part of the virtual addresses elsewhere, so programs would not reach contacts by them. Nothing was changed."
            )
        self._nftables = Nftables()
        try:
            run_ip([*fence(plan.ranges), *_left_rules()])  # those of a helper that was killed
            self._nftables.run(sip_fence(plan))
            for each in plan.ranges:
                self.listening[each.version] = _listening(each)
                self.datagrams[each.version] = _told_where(_bound(each, socket.SOCK_DGRAM))
                if plan.lan is not None:
                    self.lookups.append(_told_where(_bound(each, socket.SOCK_DGRAM, LOOKUP_PORT)))
            if plan.takes_calls:
                self._call_ports = {each.version: _drawn(each, socket.SOCK_DGRAM) for each in plan.ranges}
            calls = taking(plan, self._call_ports) if plan.takes_calls else ()
            self._nftables.run(table(plan, _ports(self.listening), calls))
            run_ip(interface(plan))
        except VoiceboxError:
            self.down()
            raise

    @property
    def sockets(self) -> list[socket.socket]:
        """Return what a box takes."""
        return [*self.listening.values(), *self.datagrams.values(), *self.lookups]

    def serve(self) -> None:
        """Hand datagrams over from now on. Raises HostError."""
        self._nftables.run(serving(self._plan, _ports(self.datagrams)))

    def refused_resolvers(self) -> dict[str, int | None]:
        """Return how many packets to known resolvers were refused. Raises HostError."""
        counted = self._nftables.counted(f"inet {TABLE}") if self._plan.resolvers else {}
        told = {LAN_RESOLVED: self._plan.lan is not None, RESOLVED: self._plan.resolvers_here}
        return {name: counted.get(name, 0) if counted and is_told else None for name, is_told in told.items()}

    def door(self, address: str, port: str) -> socket.socket | None:
        """Return a socket for datagrams at a virtual address, which stands for whoever that is; None for what is no such place."""
        try:
            wanted, number = ipaddress.ip_address(address), int(port)
            network = next(each for each in self._plan.ranges if wanted in each and wanted != own_address(each))
            return _bound(network, socket.SOCK_DGRAM, number, wanted) if 0 < number <= 65_535 else None
        except (ValueError, StopIteration, HostError):
            return None

    def calls(self) -> list[socket.socket]:
        """Return fresh sockets that take calls. As soon as nobody has them, whoever calls is refused. Raises HostError."""
        return [_told_where(_bound(each, socket.SOCK_DGRAM, self._call_ports[each.version])) for each in self._plan.ranges if each.version in self._call_ports]

    def refuse(self) -> None:
        """Let programs be refused again, after a box had the sockets: nobody listens at them then, also where the box has not let go of them yet."""
        with contextlib.suppress(HostError):  # there is no table any more
            self._nftables.run(not_serving(self._plan))
        for each in self.listening.values():
            with contextlib.suppress(OSError):  # it never listened
                each.shutdown(socket.SHUT_RDWR)

    def down(self) -> None:
        """Take all down, the fence last."""
        os.close(self._tun)
        self._nftables.close()
        for each in self.sockets:
            each.close()
        clear()


def _has_ipv6() -> bool:
    """Return whether this machine speaks IPv6."""
    settings = [Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6") for which in ("all", "default")]
    return all(each.exists() and each.read_text().strip() == "0" for each in settings)


def _tun() -> int:
    try:
        tun = os.open(TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise HostError(f"Interception needs {TUN} ({error.strerror}): start it as root, for example with sudo.") from None
    try:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    except OSError as error:
        os.close(tun)
        if isinstance(error, PermissionError):
            raise HostError("Interception needs the right to administer the network (CAP_NET_ADMIN): start it as root, for example with sudo.") from None
        raise UsageError("Interception is on already on this machine, for this box or another one. `voicebox intercept off` ends it.") from None
    return tun


def _listening(network: Network) -> socket.socket:
    """Return a socket for TCP that may answer for any address of the range; it does not listen yet. Raises HostError."""
    # By its number: a port that the kernel chose is another one when a socket listens again.
    return _bound(network, socket.SOCK_STREAM, _drawn(network, socket.SOCK_STREAM))


def _drawn(network: Network, kind: socket.SocketKind) -> int:
    """Return a port that is free now. Raises HostError."""
    with _bound(network, kind) as drawn:
        return int(drawn.getsockname()[1])


def _told_where(taking: socket.socket) -> socket.socket:
    """Let a socket for datagrams say where each was going."""
    taking.setsockopt(*ORIGINAL[taking.family], 1)
    return taking


def _ports(sockets: dict[int, socket.socket]) -> dict[int, int]:
    return {version: each.getsockname()[1] for version, each in sockets.items()}


def _bound(network: Network, kind: socket.SocketKind, port: int = 0, address: Address | None = None) -> socket.socket:
    """Return a socket that is bound to an address of a range, by default the host's own there, and may stand for any address. Raises HostError."""
    taking = socket.socket(socket.AF_INET if network.version == 4 else socket.AF_INET6, kind)
    try:
        taking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taking.setsockopt(*TRANSPARENT[taking.family], 1)
        taking.bind((str(address or own_address(network)), port))
    except OSError as error:
        taking.close()
        raise HostError(f"No socket for interception can be had ({error.strerror}).") from None
    return taking


class Helper:
    """Serves one word at a time, until `off` or a signal."""

    def __init__(self, held: Held, home: Path, *, lan: bool) -> None:
        self._held, self._lan = held, lan
        self._path = home / SOCKET_NAME
        self._selector = selectors.DefaultSelector()
        self._asking: dict[socket.socket, tuple[bytes, float]] = {}
        self._box: socket.socket | None = None
        self._from_box = b""
        self._on = True
        self._listening = self._listen(home)
        self._selector.register(self._listening, selectors.EVENT_READ)

    def _listen(self, home: Path) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with short_path(home) as folder:
                self._path.unlink(missing_ok=True)
                listening.bind(str(folder / SOCKET_NAME))
                self._path.chmod(0o600)
            listening.listen(MAX_ASKING)
            listening.setblocking(False)
        except OSError as error:
            raise HostError(f"The helper's socket cannot be made ({error.strerror}).") from None
        return listening

    def serve(self) -> None:
        """Answer until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while self._on:
            for key, _ in self._selector.select(LOOK_S):
                self._look(key.fileobj)  # type: ignore[arg-type]  # only sockets are registered
            for late in [each for each, (_, ends_at) in self._asking.items() if ends_at <= time.monotonic()]:
                self._forget(late)

    def _stop(self, _number: int, _frame: object) -> None:
        self._on = False

    def _look(self, ready: socket.socket) -> None:
        if ready is self._listening:
            with contextlib.suppress(OSError):
                asking, _ = self._listening.accept()
                asking.setblocking(False)
                if len(self._asking) >= MAX_ASKING:
                    asking.close()
                else:
                    self._asking[asking] = b"", time.monotonic() + WORD_S
                    self._selector.register(asking, selectors.EVENT_READ)
        elif ready is self._box:
            self._hear_box(ready)
        elif ready in self._asking:
            self._hear(ready)

    def _hear(self, asking: socket.socket) -> None:
        try:
            came = asking.recv(MAX_WORD_OCTETS)
        except OSError:
            came = b""
        said, ends_at = self._asking[asking]
        said += came
        if came and b"\n" not in said and len(said) < MAX_WORD_OCTETS:
            self._asking[asking] = said, ends_at
            return
        with contextlib.suppress(OSError, HostError):
            self._answer(asking, said)
        if asking is self._box:
            del self._asking[asking]
        else:
            self._forget(asking)

    def _answer(self, asking: socket.socket, said: bytes) -> None:
        match said:
            case b"status\n":
                asking.sendall(json.dumps({"box": self._box is not None, "lan": self._lan, **self._held.refused_resolvers()}).encode() + b"\n")
            case b"sockets\n" if self._box is None:
                self._held.serve()
                try:
                    socket.send_fds(asking, [b"sockets\n"], [each.fileno() for each in self._held.sockets])
                except OSError:  # it does not wait for them
                    self._held.refuse()
                else:
                    self._box = asking
            case b"sockets\n":
                asking.sendall(b"busy\n")
            case b"calls\n":
                self._hand_calls(asking)
            case b"off\n":
                self._on = False
                self._held.down()
                self._path.unlink(missing_ok=True)  # by it, where it stays, `off` knows that the fence does
                asking.sendall(b"off\n")
            case _:
                pass  # no word of ours

    def _hear_box(self, box: socket.socket) -> None:
        """Give the box a socket for each `door`; anything else that it says means that it is gone."""
        try:
            came = self._from_box + box.recv(MAX_WORD_OCTETS * MAX_WORDS_AT_ONCE)
            *words, self._from_box = came.split(b"\n")
            if came and len(self._from_box) < MAX_WORD_OCTETS and all(self._open_door(box, word.split(b" ")) for word in words):
                return
        except (OSError, ValueError):  # it reads no answers, or says what is no text
            pass
        self._box_is_gone(box)

    def _open_door(self, box: socket.socket, word: list[bytes]) -> bool:
        match word:
            case [b"door", address, port]:
                door = self._held.door(address.decode("ascii"), port.decode("ascii"))
            case _:
                return False
        if door is None:
            box.sendall(NO_DOOR)
            return True
        with door:
            socket.send_fds(box, [DOOR], [door.fileno()])
        return True

    def _hand_calls(self, asking: socket.socket) -> None:
        with contextlib.ExitStack() as ours, contextlib.suppress(HostError):
            sockets = [ours.enter_context(each) for each in self._held.calls()]
            if sockets:
                socket.send_fds(asking, [b"calls\n"], [each.fileno() for each in sockets])

    def _box_is_gone(self, box: socket.socket) -> None:
        """Take the sockets back."""
        self._from_box = b""
        self._selector.unregister(box)
        box.close()
        self._box = None
        self._held.refuse()

    def _forget(self, asking: socket.socket) -> None:
        del self._asking[asking]
        self._selector.unregister(asking)
        asking.close()


def main() -> int:
    """Go on as nobody's child, put all up, say so, and serve as the user whose box it is."""
    if os.fork() != 0:
        os._exit(0)
    given = json.loads(sys.argv[1])
    home = Path(given["home"])
    plan = plan_of(given)
    try:
        owner = home.stat()
        held = Held(plan if _has_ipv6() else replace(plan, ranges=tuple(each for each in plan.ranges if each.version == 4)))
        try:
            keep_only_network(owner.st_uid, owner.st_gid)
            helper = Helper(held, home, lan=plan.lan is not None)
        except (OSError, HostError):
            held.down()
            raise
    except OSError as error:
        print(f"The box's directory cannot be used ({error.strerror}).")
        return 1
    except VoiceboxError as problem:
        print(problem)
        return 1
    print("on", flush=True)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    helper.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
