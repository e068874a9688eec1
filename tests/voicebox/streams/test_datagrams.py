"""The sockets of associations, over loopback: what is sent before the contact's box took one, whose it is, and how much of it is kept."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from voicebox.config.model import Endpoint
from voicebox.errors import HostError, UsageError
from voicebox.streams.bundles import BUSY, GONE, Bundles, Opened, StreamPlane
from voicebox.streams.datagrams import MAX_HELD, MAX_WAITING, DatagramDoors
from voicebox.streams.socks import contact_of

TO = ("bob", 53)
HEADER = b"\x00\x00\x00\x03\x0bbob.privacy\x005"


class Engine:
    """Notes what becomes of doors and associations, and keeps a door's socket as the engine does; also stands for the bundles."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.sockets: dict[int, socket.socket] = {}
        self.attached: list[tuple[int, int, bytes, list[bytes]]] = []
        self.opened: list[tuple[str, int, Opened]] = []
        self.given_up: list[int] = []
        self.reset: list[int] = []
        self.full = False

    def door_open(self, descriptor: int, *, has_headers: bool = False) -> int:
        number = next(self.numbers)
        self.sockets[number] = socket.socket(fileno=os.dup(descriptor))
        assert has_headers == (self.sockets[number].getsockname()[1] not in PLACES)
        return number

    def door_attach(self, door: int, stream: int, header: bytes, first: list[bytes]) -> None:
        self.attached.append((door, stream, header, first))

    def door_close(self, door: int) -> None:
        self.sockets.pop(door).close()

    def open(self, petname: str, port: int, opened: Opened, *, datagrams: bool, fast: bool = False) -> Any:
        assert datagrams
        assert not fast
        if self.full:
            raise UsageError("too many")
        self.opened.append((petname, port, opened))
        return type("Opening", (), {"stream": 100 + len(self.opened)})()

    def stream_reset(self, stream: int, why: int) -> None:
        assert why == GONE
        self.reset.append(stream)

    def give_up(self, opening: Any) -> None:
        self.given_up.append(opening.stream)


PLACES: set[int] = set()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    assert made.sockets == {}, "every door was closed"
    PLACES.clear()


@pytest.fixture
async def doors(engine: Engine) -> DatagramDoors:
    return DatagramDoors(cast("StreamPlane", engine), cast("Bundles", engine), lambda host: contact_of(host, ("privacy",), frozenset({"bob"})), lambda: None)


def free_place() -> Endpoint:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        PLACES.add(free.getsockname()[1])
        return Endpoint("127.0.0.1", free.getsockname()[1])


def program(place: Endpoint) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect((place.address, place.port))
    return made


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 - a socket's readability has no event of ours
            await asyncio.sleep(0)


async def test_each_program_has_a_door_of_its_own_and_what_it_sent_meanwhile_is_kept_in_part(engine: Engine, doors: DatagramDoors) -> None:
    place = free_place()
    doors.use({place: TO})
    with program(place) as one, program(place) as other:
        one.send(b"one")
        await until(lambda: len(engine.opened) == 1)
        other.send(b"other")
        await until(lambda: len(engine.opened) == 2)
        first, second = sorted(engine.sockets)
        one.send(b"more")
        assert engine.sockets[first].recv(100) == b"more", "from now on the engine has what this program sends"
        for _ in range(2 * MAX_HELD):
            doors.take(first, b"more")
        engine.opened[0][2](None)
        engine.opened[1][2](None)
        assert engine.attached == [(first, 101, b"", [b"one", *[b"more"] * (MAX_HELD - 1)]), (second, 102, b"", [b"other"])]
        engine.sockets[second].send(b"answer")
        assert other.recv(100) == b"answer"
    for door in (first, second):
        engine.door_close(door)  # as the engine does with its association
    doors.stop()


async def test_what_is_refused_or_cannot_be_opened_closes_the_door(engine: Engine, doors: DatagramDoors) -> None:
    place = free_place()
    doors.use({place: TO})
    with program(place) as one:
        one.send(b"x")
        await until(lambda: engine.opened)
        engine.opened[0][2](GONE)
        assert engine.sockets == {}
        engine.full = True
        one.send(b"y")
        await until(lambda: doors.counters["associations_refused"] == 2)
        assert engine.sockets == {}
    doors.stop()


async def test_associations_that_wait_are_bounded_and_given_up_at_the_end(engine: Engine, doors: DatagramDoors) -> None:
    for number in range(MAX_WAITING + 5):
        doors.take(7, HEADER[:-2] + (1 + number).to_bytes(2) + b"hello")
    assert (len(engine.opened), doors.counters["datagrams_refused"]) == (MAX_WAITING, 5)
    doors.take(7, HEADER.replace(b"bob", b"eve") + b"hello")
    assert doors.counters["datagrams_refused"] == 6
    engine.opened[3][2](None)
    assert engine.attached == [(7, 104, HEADER[:-2] + b"\x00\x04", [b"hello"])]
    doors.stop()
    assert len(engine.given_up) == MAX_WAITING - 1


async def test_a_forward_that_is_gone_is_listened_for_no_more_and_one_that_cannot_be_changes_nothing(engine: Engine, doors: DatagramDoors) -> None:
    place, other = free_place(), free_place()
    doors.use({place: TO})
    with pytest.raises(HostError):
        doors.use({other: TO, Endpoint("203.0.113.1", 53): TO})
    with program(place) as one:
        one.send(b"x")
        await until(lambda: engine.opened)
    doors.use({})
    assert engine.given_up == []
    doors.stop()
    assert engine.given_up == [101]


async def test_a_socks_association_takes_its_own_programs_datagrams_and_ends_with_its_connection(engine: Engine, doors: DatagramDoors) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as control:
        proxy, _ = listening.accept()
        proxy.setblocking(False)
        with proxy, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            task = asyncio.get_running_loop().create_task(doors.associate(proxy))
            reply = await asyncio.get_running_loop().run_in_executor(None, control.recv, 100)
            assert reply[:8] == b"\x05\x00\x00\x01\x7f\x00\x00\x01"
            place = "127.0.0.1", int.from_bytes(reply[8:])
            stranger.bind(("127.0.0.2", 0))
            stranger.sendto(HEADER + b"strange", place)
            one.sendto(HEADER + b"hello", place)
            await until(lambda: engine.opened)
            assert engine.opened[0][:2] == TO
            engine.opened[0][2](None)
            assert engine.attached == [(1, 101, HEADER, [b"hello"])]
            control.close()
            await asyncio.wait_for(task, 10)


@pytest.fixture
def led() -> Iterator[socket.socket]:
    """Yield a connected socket, as interception has one for each program and place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        made.bind(("127.0.0.1", 0))
        PLACES.add(made.getsockname()[1])
        made.connect(far.getsockname())
        yield made


async def test_a_socket_is_led_with_all_that_was_held_until_its_association_was_taken(engine: Engine, doors: DatagramDoors, led: socket.socket) -> None:
    held = [b"one"]
    task = asyncio.get_running_loop().create_task(doors.lead(led, held, *TO))
    await until(lambda: engine.opened)
    held.append(b"two")
    assert engine.sockets == {}
    engine.opened[0][2](None)
    assert await task is None
    assert engine.attached == [(1, 101, b"", [b"one", b"two"])]
    engine.door_close(1)


async def test_one_that_is_not_taken_or_cannot_be_opened_has_no_door_and_says_why(engine: Engine, doors: DatagramDoors, led: socket.socket) -> None:
    task = asyncio.get_running_loop().create_task(doors.lead(led, [b"x"], *TO))
    await until(lambda: engine.opened)
    engine.opened[0][2](GONE)
    assert await task == GONE
    engine.full = True
    assert await doors.lead(led, [b"x"], *TO) == BUSY


@pytest.mark.parametrize("is_taken", [False, True])
async def test_one_that_nobody_waits_for_any_more_is_given_up_even_in_the_moment_in_which_it_is_taken(
    engine: Engine, doors: DatagramDoors, led: socket.socket, is_taken: bool
) -> None:
    task = asyncio.get_running_loop().create_task(doors.lead(led, [b"x"], *TO))
    await until(lambda: engine.opened)
    if is_taken:
        engine.opened[0][2](None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (engine.given_up, engine.reset, engine.attached) == ([101], [101] if is_taken else [], [])
