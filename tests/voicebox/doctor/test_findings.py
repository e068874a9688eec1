"""What `voicebox doctor` makes of a machine: every fact has its finding, and whatever is bad says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicebox.doctor.findings import Finding, Grade, KernelClock, Machine, findings_of
from voicebox.doctor.machine import look_at_machine

DISCIPLINED = KernelClock(synchronised=True, max_error_us=20_000, correction_ppm=-12.5)
GOOD = Machine(
    real_time=True, locked_memory=True, late_p99_us=90.0, is_virtual=False, clock=DISCIPLINED, receive_buffer_octets=1 << 30, cipher_instructions=True, trains=True, cores=4,
    open_files=65_536, swap=True,
)  # fmt: skip


def finding(machine: Machine, what: str, *, relay: bool = False) -> Finding:
    (found,) = (each for each in findings_of(machine, relay=relay) if each.what == what)
    return found


def test_on_a_good_machine_everything_is_good() -> None:
    for relay in (False, True):
        assert {each.grade for each in findings_of(GOOD, relay=relay)} == {Grade.GOOD}


@pytest.mark.parametrize(
    ("changed", "what", "grade", "advised"),
    [
        ({"real_time": False}, "real time", Grade.PROBLEM, "LimitRTPRIO"),
        ({"locked_memory": False}, "memory", Grade.NOTE, "LimitMEMLOCK"),
        ({"late_p99_us": 501.0}, "timing", Grade.PROBLEM, "core"),
        ({"late_p99_us": 501.0, "is_virtual": True}, "timing", Grade.PROBLEM, "voicebox stay-awake"),
        ({"clock": None}, "clock", Grade.NOTE, ""),
        ({"clock": replace(DISCIPLINED, synchronised=False)}, "clock", Grade.NOTE, "chrony"),
        ({"receive_buffer_octets": 212_992}, "buffers", Grade.NOTE, "rmem_max=4194304"),
        ({"receive_buffer_octets": None}, "buffers", Grade.NOTE, ""),
        ({"cipher_instructions": False}, "cipher", Grade.NOTE, ""),
        ({"cipher_instructions": None}, "cipher", Grade.NOTE, ""),
        ({"trains": False}, "trains", Grade.NOTE, ""),
        ({"cores": 1}, "cores", Grade.NOTE, ""),
        ({"locked_memory": False}, "traces", Grade.NOTE, "swapoff"),
    ],
)
def test_each_bad_fact_is_named_with_what_to_do(changed: dict[str, object], what: str, grade: Grade, advised: str) -> None:
    found = finding(replace(GOOD, **changed), what)  # type: ignore[arg-type]  # reason: one table for fields of many types
    assert found.grade is grade
    assert found.said
    assert advised in found.advice


def test_a_relay_has_to_meet_more_than_a_box() -> None:
    free = replace(GOOD, clock=replace(DISCIPLINED, synchronised=False), open_files=256)
    assert (finding(free, "clock").grade, finding(free, "clock", relay=True).grade) == (Grade.NOTE, Grade.PROBLEM)
    assert (finding(free, "open files").grade, finding(free, "open files", relay=True).grade) == (Grade.GOOD, Grade.NOTE)


def test_this_machine_can_be_looked_at() -> None:
    machine = look_at_machine()
    assert machine.cores >= 1
    assert 0 < machine.late_p99_us < 1e6
    assert machine.open_files > 0
    assert machine.clock is None or abs(machine.clock.correction_ppm) <= 500  # the kernel corrects by no more (adjtimex(2))
