"""Rounds of gossip in memory: the octets of both sides, without a connection."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import replace

from tests.support.networks import NOW, RelayKeys, SmallNetwork
from voicebox.circuits.descriptor import VerifiedDescriptor, sign_descriptor
from voicebox.circuits.gossip import Answering, Asking, Comparison, Gossip
from voicebox.circuits.gossip_messages import paged, unpaged
from voicebox.circuits.merge import merged
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.voucher import vouch

NOW_S = NOW.timestamp()
SETTLED_S = 6 * 3_600.0


def node(network: VerifiedNetwork, now_s: float = NOW_S) -> Gossip:
    """Return a node that has a network."""
    return Gossip(network, now_s, SETTLED_S)


def changed(small: SmallNetwork, relay: RelayKeys, **differences: object) -> VerifiedDescriptor:
    """Return a relay's descriptor, changed and signed by the relay, with a voucher of the network."""
    return vouched(small, sign_descriptor(replace(relay.descriptor, **differences), relay.identity_key))  # type: ignore[arg-type]  # fields by name


def vouched(small: SmallNetwork, verified: VerifiedDescriptor, made: dt.datetime = NOW, days: float = 90) -> VerifiedDescriptor:
    """Return a descriptor with a voucher of the network; days below 0 withdraw it."""
    until = made + dt.timedelta(days=days)
    return verified.with_vouchers([vouch(small.network.network_id, verified.descriptor.vouched, made, until, small.voucher_key)])


def grown(network: VerifiedNetwork, *found: VerifiedDescriptor) -> VerifiedNetwork:
    """Return a network with more relays."""
    return merged(network, found, NOW)[0]


def without(network: VerifiedNetwork, *relay_ids: bytes) -> VerifiedNetwork:
    """Return a network of which some relays were left out."""
    return replace(network, by_id={relay_id: relay for relay_id, relay in network.by_id.items() if relay_id not in relay_ids})


def one_round(asks: Gossip, answers: Gossip | Answering, now_s: float = NOW_S, *, tell_news: bool = True) -> Comparison:
    """Let one node ask another; tell_news: as a relay does."""
    asking, answering = Asking(asks), answers if isinstance(answers, Answering) else Answering(answers)
    asking.greeted(answering.greeting(now_s))
    for content in answering.answers(unpaged(paged(asking.summary()))):
        assert not asking.is_answered
        look(asking.look, asking.answer(unpaged(paged(content))))
    assert asking.is_answered
    asking.finish(now_s)
    compared = asking.compared(now_s)
    news = asking.news() if tell_news else None
    if news is not None:
        look(answering.look, answering.news(unpaged(paged(news))))
        answering.finish(now_s)
    return compared


def look(take: Callable[[str], None], texts: Iterable[str]) -> None:
    """Look at texts."""
    for text in texts:
        take(text)
