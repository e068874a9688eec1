"""The exchange of a meeting: the same words give one key, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voicebox.circuits.exchange import ELEMENT_OCTETS, MAX_TEXT_OCTETS, SHOWN_OCTETS, Exchange, ExchangeKeys
from voicebox.errors import Bug, HandshakeError
from voicebox.sensitive import Secret

PASSWORD = Secret(b"kettle rocket violin")
BINDING = bytes(range(32))
CARD = "a card\n"


def agreed(accepters: Secret = PASSWORD, inviters: Secret = PASSWORD, binding: bytes = BINDING) -> tuple[ExchangeKeys, ExchangeKeys]:
    """Let two exchange; return the keys of the accepter and of the inviter. binding: the inviter's."""
    accepter, inviter = Exchange(accepters, BINDING, accepting=True), Exchange(inviters, binding, accepting=False)
    return accepter.finish(inviter.element), inviter.finish(accepter.element)


def test_both_see_what_the_other_shows() -> None:
    accepter, inviter = agreed()
    assert inviter.see(accepter.show(0, CARD)) == (0, CARD)
    assert accepter.see(inviter.show(2, "")) == (2, "")
    assert accepter.see(inviter.show(1, "x" * MAX_TEXT_OCTETS)) == (1, "x" * MAX_TEXT_OCTETS)
    assert len(accepter.show(0, "")) == len(accepter.show(0, CARD)) == SHOWN_OCTETS, "its length says nothing of the card"
    with pytest.raises(Bug):
        accepter.show(0, "x" * (MAX_TEXT_OCTETS + 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: agreed(inviters=Secret(b"kettle rocket walnut")),
        lambda: agreed(binding=b"\1" + BINDING[1:]),
    ],
    ids=["another word", "another call, network or role"],
)
def test_another_word_or_binding_is_seen_by_both(make: Callable[[], tuple[ExchangeKeys, ExchangeKeys]]) -> None:
    accepter, inviter = make()
    for one, other in ((accepter, inviter), (inviter, accepter)):
        with pytest.raises(HandshakeError, match="proof"):
            one.see(other.show(0, CARD))


def test_nothing_that_one_side_shows_opens_at_its_own_side_or_in_another_exchange() -> None:
    accepter, inviter = agreed()
    another, _ = agreed()
    for keys, shown in (
        (accepter, accepter.show(0, CARD)),
        (inviter, inviter.show(0, CARD)),
        (accepter, another.show(0, CARD)),
        (another, inviter.show(0, CARD)),
    ):
        with pytest.raises(HandshakeError):
            keys.see(shown)


def test_any_octet_changed_in_what_is_shown_is_refused() -> None:
    accepter, inviter = agreed()
    shown = accepter.show(0, CARD)
    for at in range(len(shown)):
        with pytest.raises(HandshakeError):
            inviter.see(shown[:at] + bytes([shown[at] ^ 1 << at % 8]) + shown[at + 1 :])
    for octets in (b"", shown[:-1], shown + b"\0"):
        with pytest.raises(HandshakeError):
            inviter.see(octets)


@pytest.mark.parametrize("at", range(ELEMENT_OCTETS))
def test_any_octet_changed_in_an_element_is_refused_or_gives_another_key(at: int) -> None:
    accepter, inviter = Exchange(PASSWORD, BINDING, accepting=True), Exchange(PASSWORD, BINDING, accepting=False)
    changed = accepter.element[:at] + bytes([accepter.element[at] ^ 1 << at % 8]) + accepter.element[at + 1 :]
    shown = accepter.finish(inviter.element).show(0, CARD)
    with pytest.raises(HandshakeError):
        inviter.finish(changed).see(shown)


NEUTRAL, ORDER_2, ORDER_4 = (1).to_bytes(32, "little"), (2**255 - 20).to_bytes(32, "little"), bytes(32)


@pytest.mark.parametrize(
    "point", [NEUTRAL, ORDER_2, ORDER_4, (2).to_bytes(32, "little"), b"\xff" * 32], ids=["neutral", "order 2", "order 4", "off the curve", "all ones"]
)
@pytest.mark.parametrize("accepting", [True, False])
def test_elements_of_no_use_are_refused(point: bytes, accepting: bool) -> None:
    exchange = Exchange(PASSWORD, BINDING, accepting=accepting)
    with pytest.raises(HandshakeError):
        exchange.finish((b"B" if accepting else b"A") + point)


def test_ones_own_element_and_other_lengths_are_refused() -> None:
    for change in (lambda element: element, lambda element: b"B" + element[1:], lambda element: element[:-1], lambda _: b""):
        exchange = Exchange(PASSWORD, BINDING, accepting=True)
        with pytest.raises(HandshakeError):
            exchange.finish(change(exchange.element))


def test_an_exchange_is_finished_once() -> None:
    accepter, inviter = Exchange(PASSWORD, BINDING, accepting=True), Exchange(PASSWORD, BINDING, accepting=False)
    accepter.finish(inviter.element)
    with pytest.raises(HandshakeError):
        accepter.finish(inviter.element)
