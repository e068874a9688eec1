"""The benchmark of the name server: both servers answer, and what is asked is what it says."""

from __future__ import annotations

import pytest
from dnslib import DNSRecord

from tools.bench.names import QUESTIONS, of_server, questions


def test_questions_are_of_contacts_hosts_and_nobody_in_drawn_case() -> None:
    names = [str(DNSRecord.parse(octets).q.qname) for octets in questions(1)]
    assert len(names) == QUESTIONS
    assert 0.2 < sum("nobody" in name.lower() for name in names) / QUESTIONS < 0.3
    assert 0.4 < sum(name.lower().startswith("host") for name in names) / QUESTIONS < 0.6
    assert len(set(names)) > 0.95 * QUESTIONS


@pytest.mark.system
@pytest.mark.parametrize("kind", ["ours", "reference"])
def test_a_server_is_measured(kind: str) -> None:
    found = of_server(kind, 0.4)
    assert found["rate"] > 0
    assert 0 < found["cpu_us"] < 20_000
    assert found["per_core"] == pytest.approx(1e6 / found["cpu_us"], rel=0.1)
