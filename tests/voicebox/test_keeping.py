"""What the keeper holds, and for how long, in virtual time; its process is tested in tests/system/test_keeper.py."""

from __future__ import annotations

from voicebox.keeping import MAX_SOCKETS, Keeping

KEEP_S = 70.0


class Socket:
    """A socket that says what was done to it."""

    def __init__(self) -> None:
        self.is_open, self.options = True, list[int]()

    def setsockopt(self, _level: int, _name: int, value: int, /) -> None:
        self.options.append(value)

    def close(self) -> None:
        assert self.is_open, "once"
        self.is_open = False


def held(keeping: Keeping, count: int, first: int = 0) -> list[Socket]:
    sockets = [Socket() for _ in range(count)]
    for number, each in enumerate(sockets, first):
        keeping.hold(number, each)
    return sockets


def test_what_is_in_use_is_held_for_ever_and_left_as_it_is() -> None:
    keeping = Keeping(KEEP_S)
    (socket,) = held(keeping, 1)
    assert keeping.pass_time(1e9) is None
    assert (socket.is_open, socket.options) == (True, [])


def test_what_was_released_is_held_for_its_time_without_room() -> None:
    keeping = Keeping(KEEP_S)
    one, other = held(keeping, 2)
    keeping.release(0, 5.0)
    keeping.release(0, 50.0)
    keeping.release(7, 50.0)
    assert one.options == [0], "once, and a number that is nobody's does nothing"
    assert keeping.pass_time(74.9) == 75.0
    assert one.is_open
    assert keeping.pass_time(75.0) is None
    assert [one.is_open, other.is_open] == [False, True]


def test_when_the_engine_is_gone_all_end_and_none_later_than_its_time() -> None:
    keeping = Keeping(KEEP_S)
    sockets = held(keeping, 3)
    keeping.release(1, 0.0)
    keeping.release_all(30.0)
    assert keeping.pass_time(70.0) == 100.0
    assert [each.is_open for each in sockets] == [True, False, True]
    assert keeping.pass_time(100.0) is None
    assert not any(each.is_open for each in sockets)


def test_there_are_never_more_than_fit() -> None:
    keeping = Keeping(KEEP_S)
    sockets = held(keeping, MAX_SOCKETS)
    (beyond,) = held(keeping, 1, MAX_SOCKETS)
    assert not beyond.is_open, "all others are in use"
    keeping.release(4, 2.0)
    keeping.release(3, 1.0)
    (fits,) = held(keeping, 1, MAX_SOCKETS)
    assert (fits.is_open, sockets[3].is_open, sockets[4].is_open) == (True, False, True), "what would have ended first gave way"
