"""Transactions: every timer of RFC 3261 §17 and RFC 6026, in virtual time."""

from __future__ import annotations

import random

import pytest

from voicebox.sip.flow import Flow, Transport
from voicebox.sip.identifiers import Identifiers
from voicebox.sip.message import SipRequest, SipResponse, echo_of, parse_message, serialise_response
from voicebox.sip.transaction import DropReason, Failed, Kind, NewRequest, NewResponse, OutgoingRequest, State, Transaction, TransactionLayer, Transmit

UDP = Flow(Transport.UDP, 1, "192.0.2.1", 5060, "192.0.2.20", 5062)
TCP = Flow(Transport.TCP, 2, "192.0.2.1", 5060, "192.0.2.20", 5062)


class User:
    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:
        raise AssertionError("the layer reports by events")

    def no_response(self, transaction: Transaction, now: float) -> None:
        raise AssertionError("the layer reports by events")


class Bench:
    """A layer with a clock; sent: (time, octets); told: every other event."""

    def __init__(self, flow: Flow, max_transactions: int = 100) -> None:
        self.flow = flow
        self.layer = TransactionLayer(Identifiers(random.Random(2).randbytes), max_transactions=max_transactions)
        self.now = 0.0
        self.sent: list[tuple[float, bytes]] = []
        self.told: list[NewRequest | NewResponse | Failed] = []

    def take(self) -> None:
        for event in self.layer.poll():
            if isinstance(event, Transmit):
                self.sent.append((self.now, event.octets))
            else:
                self.told.append(event)

    def run_until(self, end: float) -> None:
        while (deadline := self.layer.next_timer()) is not None and deadline <= end:
            self.now = deadline
            self.layer.handle_timer(self.now)
            self.take()
        self.now = end

    def receive(self, octets: bytes) -> None:
        self.layer.receive(octets, self.flow, self.now)
        self.take()

    def ask(self, method: str) -> Transaction:
        fields = (("max-forwards", "70"), ("from", "<sip:a@h>;tag=1"), ("to", "<sip:b@h>"), ("call-id", "c"), ("cseq", f"7 {method}"), ("route", "<sip:p;lr>"))
        transaction = self.layer.send_request(OutgoingRequest(method, "sip:b@h", fields, b"body"), self.flow, User(), self.now)
        self.take()
        return transaction

    def answer(self, status: int, method: str = "") -> None:
        request = next(
            message for _, octets in self.sent if isinstance(message := parse_message(octets), SipRequest) and message.method in {method, message.method}
        )
        self.receive(serialise_response(status, echo_of(request), "them", []))

    def times(self, start: bytes) -> list[float]:
        return [when for when, octets in self.sent if octets.startswith(start)]


def incoming(method: str, *, branch: str = "z9hG4bKx", sent_by: str = "192.0.2.20:5062", cseq: int = 1, to: str = "<sip:b@h>") -> bytes:
    number_method = f"{cseq} {method}"
    return (
        f"{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch={branch};rport\r\nFrom: <sip:a@h>;tag=1\r\nTo: {to}\r\nCall-ID: c\r\n"
        f"CSeq: {number_method}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def test_an_invite_over_udp_is_repeated_until_timer_b() -> None:
    bench = Bench(UDP)
    transaction = bench.ask("INVITE")
    bench.run_until(100)
    assert bench.times(b"INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.told == [Failed(transaction)]
    assert bench.now == 100
    assert len(bench.layer) == 0


def test_an_invite_over_tcp_is_sent_once_and_fails_at_timer_b() -> None:
    bench = Bench(TCP)
    transaction = bench.ask("INVITE")
    bench.run_until(31.9)
    assert bench.told == []
    bench.run_until(32.1)
    assert bench.times(b"INVITE") == [0]
    assert bench.told == [Failed(transaction)]


def test_a_provisional_answer_stops_the_repetition_for_good() -> None:
    bench = Bench(UDP)
    transaction = bench.ask("INVITE")
    bench.answer(180)
    bench.run_until(1_000)
    assert bench.times(b"INVITE") == [0]
    assert transaction.state is State.PROCEEDING
    bench.layer.abandon(transaction)
    assert len(bench.layer) == 0


def test_a_refusal_is_acknowledged_each_time_until_timer_d() -> None:
    bench = Bench(UDP)
    transaction = bench.ask("INVITE")
    bench.answer(486)
    bench.answer(486)
    assert len(bench.told) == 1
    acks = [message for _, octets in bench.sent if isinstance(message := parse_message(octets), SipRequest) and message.method == "ACK"]
    assert len(acks) == 2
    assert (acks[0].via.branch, acks[0].to.tag, acks[0].cseq.number, acks[0].headers.get("route")) == (transaction.key[1], "them", 7, "<sip:p;lr>")
    bench.run_until(31.9)
    assert len(bench.layer) == 1
    bench.run_until(32.1)
    assert len(bench.layer) == 0


def test_a_refusal_over_tcp_ends_at_once() -> None:
    bench = Bench(TCP)
    bench.ask("INVITE")
    bench.answer(486)
    assert len(bench.layer) == 0


def test_repeated_2xx_come_through_until_timer_m() -> None:
    bench = Bench(UDP)
    bench.ask("INVITE")
    bench.answer(200)
    bench.run_until(31.0)
    bench.answer(200)
    assert len(bench.told) == 2
    bench.run_until(32.1)
    bench.answer(200)
    assert len(bench.told) == 2
    assert bench.layer.drops[DropReason.STRAY_RESPONSE] == 1
    assert bench.times(b"ACK") == [], "the ACK of a 2xx is the user's"


def test_another_request_is_repeated_with_a_cap_until_timer_f() -> None:
    bench = Bench(UDP)
    transaction = bench.ask("OPTIONS")
    bench.run_until(100)
    assert bench.times(b"OPTIONS") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.told == [Failed(transaction)]


def test_a_request_that_proceeds_is_repeated_slowly() -> None:
    bench = Bench(UDP)
    bench.ask("OPTIONS")
    bench.run_until(0.6)
    bench.answer(100)
    bench.run_until(14)
    assert bench.times(b"OPTIONS") == [0, 0.5, 1.5, 5.5, 9.5, 13.5]


def test_timer_k_absorbs_late_copies_of_an_answer() -> None:
    bench = Bench(UDP)
    bench.ask("OPTIONS")
    bench.answer(200)
    bench.run_until(4.9)
    bench.answer(200)
    assert (len(bench.told), len(bench.layer), bench.layer.drops[DropReason.STRAY_RESPONSE]) == (1, 1, 0)
    bench.run_until(5.1)
    assert len(bench.layer) == 0


def test_a_server_absorbs_repeated_requests_and_repeats_its_answer_until_timer_j() -> None:
    bench = Bench(UDP)
    bench.receive(incoming("OPTIONS"))
    bench.receive(incoming("OPTIONS"))
    assert (len(bench.told), bench.sent) == (1, [])
    asked = bench.told[0]
    assert isinstance(asked, NewRequest)
    assert asked.transaction is not None
    bench.layer.respond(asked.transaction, 200, bench.now, "mine")
    bench.take()
    bench.receive(incoming("OPTIONS"))
    assert len(bench.times(b"SIP/2.0 200")) == 2
    bench.layer.respond(asked.transaction, 500, bench.now)
    bench.take()
    assert bench.times(b"SIP/2.0 500") == [], "one final answer"
    bench.run_until(31.9)
    bench.receive(incoming("OPTIONS"))
    assert len(bench.told) == 1
    bench.run_until(32.1)
    bench.receive(incoming("OPTIONS"))
    assert len(bench.told) == 2


def invited(flow: Flow) -> tuple[Bench, Transaction]:
    bench = Bench(flow)
    bench.receive(incoming("INVITE"))
    asked = bench.told.pop()
    assert isinstance(asked, NewRequest)
    assert asked.transaction is not None
    return bench, asked.transaction


@pytest.mark.parametrize(("flow", "times"), [(UDP, [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]), (TCP, [0])])
def test_a_refusal_is_repeated_until_its_ack_or_timer_h(flow: Flow, times: list[float]) -> None:
    bench, transaction = invited(flow)
    bench.layer.respond(transaction, 486, 0.0, "mine")
    bench.take()
    bench.run_until(31.9)
    assert len(bench.layer) == 1
    bench.run_until(40)
    assert bench.times(b"SIP/2.0 486") == times
    assert len(bench.layer) == 0


@pytest.mark.parametrize(("flow", "left"), [(UDP, 1), (TCP, 0)])
def test_an_ack_ends_the_repetition_and_timer_i_absorbs_others(flow: Flow, left: int) -> None:
    bench, transaction = invited(flow)
    bench.layer.respond(transaction, 486, 0.0, "mine")
    bench.take()
    for _ in range(1 + left):
        bench.receive(incoming("ACK", to="<sip:b@h>;tag=mine"))
    assert bench.told == []
    bench.run_until(4.9)
    assert (len(bench.times(b"SIP/2.0 486")), len(bench.layer)) == (1, left)
    bench.run_until(5.1)
    assert len(bench.layer) == 0


def test_after_a_2xx_repeated_invites_are_absorbed_until_timer_l() -> None:
    bench, transaction = invited(UDP)
    bench.layer.respond(transaction, 200, 0.0, "mine")
    bench.take()
    bench.receive(incoming("INVITE"))
    assert bench.told == []
    bench.receive(incoming("ACK", branch="z9hG4bKother", to="<sip:b@h>;tag=mine"))
    assert [event.transaction for event in bench.told if isinstance(event, NewRequest)] == [None]
    bench.run_until(31.9)
    assert transaction.state is State.ACCEPTED
    bench.run_until(32.1)
    assert len(bench.layer) == 0


def test_a_broken_flow_fails_what_waits_on_it_only() -> None:
    bench = Bench(TCP)
    waiting = bench.ask("OPTIONS")
    bench.flow = UDP
    other = bench.ask("OPTIONS")
    bench.layer.flow_closed(TCP, 1.0)
    bench.take()
    assert bench.told == [Failed(waiting)]
    assert other.state is State.TRYING


def test_a_cancel_finds_its_invite_by_branch_and_sender() -> None:
    bench, transaction = invited(UDP)
    cancel = parse_message(incoming("CANCEL"))
    assert isinstance(cancel, SipRequest)
    assert bench.layer.invite_of(cancel) is transaction
    for other in (incoming("CANCEL", branch="z9hG4bKy"), incoming("CANCEL", sent_by="192.0.2.20:5099")):
        stranger = parse_message(other)
        assert isinstance(stranger, SipRequest)
        assert bench.layer.invite_of(stranger) is None


def test_clients_of_rfc_2543_are_told_apart_without_branches() -> None:
    bench = Bench(UDP)
    for branch, cseq in (("1", 1), ("1", 1), ("1", 2)):
        bench.receive(incoming("INVITE", branch=branch, cseq=cseq))
    assert len(bench.told) == 2


def test_too_many_transactions_are_answered_without_one() -> None:
    bench = Bench(UDP, max_transactions=2)
    for number in range(4):
        bench.receive(incoming("OPTIONS", branch=f"z9hG4bK{number}"))
    assert (len(bench.layer), len(bench.told), len(bench.times(b"SIP/2.0 503"))) == (2, 2, 2)
    assert bench.layer.drops[DropReason.TOO_MANY_TRANSACTIONS] == 2


def test_kinds_have_the_states_of_the_standard() -> None:
    from voicebox.sip.transaction import _RUNNING, _TRANSITIONS  # noqa: PLC0415  # the table itself is what is tested

    states = {kind: {state for known, state, _ in _TRANSITIONS if known is kind} for kind in Kind}
    assert states[Kind.INVITE_CLIENT] == {State.CALLING, State.PROCEEDING, State.COMPLETED, State.ACCEPTED}
    assert states[Kind.CLIENT] == {State.TRYING, State.PROCEEDING, State.COMPLETED}
    assert states[Kind.INVITE_SERVER] == {State.PROCEEDING, State.COMPLETED, State.CONFIRMED, State.ACCEPTED}
    assert states[Kind.SERVER] == {State.TRYING, State.PROCEEDING, State.COMPLETED}
    for (kind, state), timers in _RUNNING.items():
        for timer in timers:
            assert (kind, state, timer) in _TRANSITIONS, "a timer that runs in a state has an effect there"
