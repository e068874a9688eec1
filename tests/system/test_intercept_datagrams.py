"""Datagrams to virtual addresses with the real helper, rules and kernel, and whoever leads them to contacts played here: what comes back, what is refused, what is bounded. [io]"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.interception import V4, V6, Street, heard, helper_of, send, virtual
from tools.lab.namespaces import Namespace
from voicebox.intercept.asking import start_helper, take_sockets
from voicebox.intercept.associations import MAX_HELD, MAX_REFUSED, MAX_WAITING, MAX_WAITING_EACH, Associations
from voicebox.intercept.doors import Doors
from voicebox.intercept.module import Answer, Cause, Flow, Module, Redirect, Verdict
from voicebox.intercept.modules import Modules, load_modules
from voicebox.intercept.rules import Plan, own_address

pytestmark = pytest.mark.system

BOB, BOB_6, NOBODY = "198.18.3.4", "fd12:3456:789a::304", "198.18.3.5"
HOLD_S = 0.5


@dataclass(frozen=True, slots=True)
class Whose:
    petname: str
    host: str = ""


def place_of(address: str) -> Whose | None:
    return Whose("bob") if address in {BOB, BOB_6} else None


@dataclass
class Contact:
    """Takes associations, and gives their datagrams back with an octet more, as the engine would from its own thread."""

    why: int | None = None
    """Said in place of taking."""
    answers: bool = True
    led: list[tuple[str, int, list[bytes]]] = field(default_factory=list)
    doors: list[socket.socket] = field(default_factory=list)

    async def associate(self, program: socket.socket, held: list[bytes], petname: str, port: int) -> int | None:
        if not self.answers:
            await asyncio.Event().wait()
        await asyncio.sleep(0.05)  # the way to a contact
        if self.why is not None:
            return self.why
        door = socket.socket(fileno=os.dup(program.fileno()))
        self.doors.append(door)
        self.led.append((petname, port, held))
        for octets in held:
            door.send(octets + b"!")
        asyncio.get_running_loop().add_reader(door, self._echo, door)
        return None

    def _echo(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):
            door.send(door.recv(9_000) + b"!")

    def end(self, door: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(door)
        door.close()


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    street = Street()
    yield street
    street.close()


@pytest.fixture
def home(street: Street, tmp_path: Path) -> Iterator[Path]:
    street.host.run(lambda: start_helper(tmp_path, Plan((V4, V6), ("privacy",), "lan0")))
    helper = helper_of(tmp_path)
    yield tmp_path
    with contextlib.suppress(ProcessLookupError):
        os.kill(helper, signal.SIGKILL)


@contextlib.contextmanager
def a_box(home: Path, contact: Contact, modules: Modules | None = None) -> Iterator[Counter[str]]:
    """Have the helper's sockets, on the running loop, as a box has them."""
    given = take_sockets(home)
    assert given is not None
    helper, taken = given
    counters: Counter[str] = Counter()
    doors = Doors(helper)
    associations = Associations(modules or load_modules(("all",)), place_of, lambda: contact, doors.ask, HOLD_S, counters)
    for each in taken:
        if each.type == socket.SOCK_DGRAM and each.getsockname()[1] != 53:
            each.setblocking(False)
            associations.take(each)
    try:
        yield counters
    finally:
        associations.stop()
        doors.close()
        for door in contact.doors:
            if door.fileno() >= 0:
                contact.end(door)
        for each in (helper, *taken):
            each.close()


def program(where: Namespace, address: str, port: int = 5_000) -> socket.socket:
    made = where.run(lambda: socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM))
    made.setblocking(False)
    where.run(lambda: made.connect((address, port)))
    return made


async def heard_by(asking: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(asking, 9_000), 10)


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 - counts have no event of ours
            await asyncio.sleep(0.01)


async def refused(asking: socket.socket) -> bool:
    """Send until the kernel says that nobody is there."""
    for _ in range(40):
        try:
            asking.send(b"again")
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
        await asyncio.sleep(0.05)
    return False


@pytest.mark.parametrize("port", [5_000, 53])
@pytest.mark.parametrize("address", [BOB, BOB_6])
@pytest.mark.parametrize("from_device", [False, True], ids=["host", "device"])
async def test_a_program_is_answered_from_where_it_sent_to(street: Street, home: Path, from_device: bool, address: str, port: int) -> None:
    contact = Contact()
    with a_box(home, contact) as counters, program(street.device if from_device else street.host, address, port) as asking:
        for sent in (b"one", b"two", b"three"):
            asking.send(sent)
        assert [await heard_by(asking) for _ in range(3)] == [b"one!", b"two!", b"three!"]
        asking.send(b"x" * 8_191)
        assert await heard_by(asking) == b"x" * 8_191 + b"!"
        assert [(petname, at) for petname, at, _ in contact.led] == [("bob", port)]
        assert counters["flows_led"] == 1


async def test_each_socket_of_a_program_has_an_association_of_its_own_and_a_new_one_after_its_end(street: Street, home: Path) -> None:
    contact = Contact()
    with a_box(home, contact), program(street.host, BOB) as one, program(street.host, BOB) as other, program(street.host, BOB, 5_001) as third:
        for number, asking in enumerate((one, other, third)):
            asking.send(b"%d" % number)
            assert await heard_by(asking) == b"%d!" % number
        assert len(contact.led) == 3
        contact.end(contact.doors[0])
        one.send(b"more")
        assert await heard_by(one) == b"more!"
        assert len(contact.led) == 4


async def test_who_sends_to_nobody_is_refused_by_the_kernel(street: Street, home: Path) -> None:
    with a_box(home, Contact()) as counters, program(street.host, NOBODY) as asking, program(street.device, NOBODY) as device:
        assert await refused(asking)
        assert await refused(device)
        assert counters["flows_refused"] == 2


@pytest.mark.parametrize(("contact", "counted"), [(Contact(why=1), "flows_gone"), (Contact(answers=False), "flows_gone")], ids=["not offered", "silent"])
async def test_where_the_contact_takes_it_not_or_never_answers_the_program_is_refused_in_time(
    street: Street, home: Path, contact: Contact, counted: str
) -> None:
    with a_box(home, contact) as counters, program(street.device, BOB) as asking:
        asking.send(b"first")
        await until(lambda: counters[counted] == 1)
        assert await refused(asking)


async def test_without_a_box_programs_are_refused_and_what_they_sent_then_goes_nowhere_later(street: Street, home: Path) -> None:
    contact = Contact()
    with program(street.host, BOB) as asking, program(street.device, BOB_6) as device:
        assert await refused(asking)
        assert await refused(device)
        with a_box(home, contact):
            asking.send(b"now")
            assert await heard_by(asking) == b"now!"
            assert contact.led == [("bob", 5_000, [b"now"])]
        await until(lambda: _refused_now(street))


def _refused_now(street: Street) -> bool:
    with program(street.host, BOB) as asking:
        asking.send(b"x")
        try:
            asking.send(b"x")
        except ConnectionRefusedError:
            return True
    return False


async def test_a_module_may_answer_drop_or_speak_in_the_contacts_place(street: Street, home: Path) -> None:
    class Picky(Module):
        name, redirect = "picky", Redirect.UDP

        def process(self, flow: Flow, first_octets: bytes) -> Verdict | Answer:
            assert (flow.petname, flow.host, flow.redirect) == ("bob", "", Redirect.UDP)
            verdicts: dict[bytes, Verdict | Answer] = {b"time?": Answer(b"noon"), b"go": Verdict.TAKE}
            return verdicts.get(first_octets, Verdict.DROP)

        def circuit_gone(self, flow: Flow, cause: Cause) -> bytes:
            return f"gone: {cause.name}".encode()

    modules = Modules((Picky(),))
    with a_box(home, Contact(why=3), modules) as counters, program(street.device, BOB) as asking, program(street.device, BOB) as other:
        for _ in range(5):
            asking.send(b"time?")
        assert [await heard_by(asking) for _ in range(5)] == [b"noon"] * 5
        asking.send(b"go")
        assert await heard_by(asking) == b"gone: UNREACHABLE"
        other.send(b"else")
        await until(lambda: counters["flows_refused"] == 1)
        assert await refused(other)
    assert modules.failed == 0


async def test_what_is_too_many_too_long_or_too_much_is_dropped_and_counted_and_others_are_served(street: Street, home: Path) -> None:
    contact = Contact(answers=False)
    with a_box(home, contact) as counters, contextlib.ExitStack() as stack:
        many = [stack.enter_context(program(street.device, BOB)) for _ in range(MAX_WAITING_EACH + 10)]
        for each in many:
            each.send(b"x")
        for _ in range(MAX_HELD + 5):
            many[0].send(b"y" * 100)
        await until(lambda: counters["flows_gone"] == MAX_WAITING_EACH)
        assert counters["datagrams_dropped"] == 10 + 1 + 5  # the first of some, and what did not fit
        contact.answers = True
        with program(street.host, BOB) as asking:
            asking.send(b"x" * 8_193)
            asking.send(b"short")
            assert await heard_by(asking) == b"short!"
        assert counters["datagrams_dropped"] == 17


async def test_a_thousand_associations_leave_no_more_sockets_than_the_bounds_allow(street: Street, home: Path) -> None:
    contact = Contact(why=2)
    before = descriptors()
    with a_box(home, contact) as counters:
        for _ in range(50):
            with contextlib.ExitStack() as stack:
                asking = [stack.enter_context(program(street.host, BOB)) for _ in range(20)]
                done = 20 + counters["flows_gone"] + counters["datagrams_dropped"]
                for each in asking:
                    each.send(b"x")
                over: set[socket.socket] = set()

                def all_over(over: set[socket.socket] = over, asking: list[socket.socket] = asking, done: int = done) -> bool:
                    over.update(each for each in asking if each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))  # has a port of one that was refused just now
                    return counters["flows_gone"] + counters["datagrams_dropped"] + len(over) == done

                await until(all_over)
        assert counters["flows_gone"] > 900
        assert descriptors() - before <= MAX_REFUSED + MAX_WAITING + 10
    assert descriptors() - before <= 1


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_packets_with_forged_virtual_addresses_reach_nobody(street: Street, home: Path) -> None:
    contact = Contact()
    forged = "198.18.77.7"
    for where in (street.device, street.world):
        where.ip([f"address add {forged}/32 dev lo"])
    try:
        with a_box(home, contact) as counters, heard(street.world, "street") as frames, program(street.device, BOB) as proof:
            for where in (street.device, street.world):
                with where.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as forging:
                    forging.bind((forged, 0))
                    where.run(partial(forging.sendto, b"forged", (BOB, 5_000)))
            street.world.run(lambda: send(BOB))  # an honest source, from where nobody is served
            proof.send(b"proof")
            assert await heard_by(proof) == b"proof!"
            assert [held for _, _, held in contact.led] == [[b"proof"]]
            assert not counters["flows_refused"] + counters["datagrams_dropped"]
        assert [frame for frame in virtual(frames) if b"forged" not in frame and b"datagram" not in frame] == []
    finally:
        for where in (street.device, street.world):
            where.ip([f"address del {forged}/32 dev lo"])


def test_the_helper_binds_virtual_addresses_alone_and_for_the_box_alone(home: Path) -> None:
    given = take_sockets(home)
    assert given is not None
    helper, taken = given
    try:
        helper.settimeout(5)
        for place, answer in [
            (f"{BOB} 53", b"d"),
            (f"{BOB_6} 65535", b"d"),
            (f"{own_address(V4)} 53", b"n"),
            ("8.8.8.8 53", b"n"),
            ("0.0.0.0 53", b"n"),
            (f"{BOB} 0", b"n"),
            (f"{BOB} 65536", b"n"),
            (f"{BOB} -1", b"n"),
            ("bob.privacy 53", b"n"),
        ]:
            helper.sendall(f"door {place}\n".encode())
            said, descriptors, _, _ = socket.recv_fds(helper, 1, 1)
            for descriptor in descriptors:
                with socket.socket(fileno=descriptor) as door:
                    assert door.getsockname()[0] == place.split()[0]
            assert (said, bool(descriptors)) == (answer, answer == b"d"), place
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(home / "intercept.sock"))
            other.settimeout(5)
            other.sendall(f"door {BOB} 53\n".encode())
            assert other.recv(10) == b""
        helper.sendall(b"door " + b"x" * 100)  # no word: it takes the box for gone
        assert helper.recv(1) == b""
    finally:
        for each in (helper, *taken):
            each.close()
