"""What `voicebox doctor` says: a finding for each fact of the machine, and what to do about it. Pure.

NOT here: how the facts are had (machine.py), a box's own files (files.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

SOCKET_BUFFER_OCTETS = 4 << 20
"""What the engine asks for: a second of the cells of a hundred circuits."""
LATE_LIMIT_US = 500
"""A tick may be so late in 99 of 100 cases."""
RELAY_PPM = 1.0
"""A relay's clock has to be disciplined; a box follows its guard's (PROTOCOL.md §5.6)."""
OPEN_FILES = 1_024
UNIT_HINT = "In a systemd unit"


@unique
class Grade(Enum):
    """How bad it is: nothing, to be known, or in the way of private calls that sound good."""

    GOOD = "good"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. what: the thing looked at; said: what was found; advice: what to do, empty where nothing is to be done.

    quoted: `said` is the text of an error, in which names may stand; in all other findings there are words of this program and numbers alone.
    """

    what: str
    grade: Grade
    said: str
    advice: str = ""
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class KernelClock:
    """The kernel's own account of its clock (adjtimex(2)). max_error_us: what it is off by at most; correction_ppm: by how much its rate is corrected."""

    synchronised: bool
    max_error_us: int
    correction_ppm: float


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts. late_p99_us: of sleeps in the best scheduling that was granted; None: could not be found out, on this kernel or machine."""

    real_time: bool
    locked_memory: bool
    late_p99_us: float
    is_virtual: bool
    clock: KernelClock | None
    receive_buffer_octets: int | None
    cipher_instructions: bool | None
    trains: bool
    cores: int
    open_files: int
    swap: bool


def findings_of(machine: Machine, *, relay: bool = False) -> list[Finding]:
    """Return a finding for each fact. relay: a relay's clock and files have to meet more."""
    return [
        _real_time(machine),
        _locked(machine),
        _late(machine),
        _clock(machine.clock, relay=relay),
        _buffers(machine.receive_buffer_octets),
        _cipher(machine.cipher_instructions),
        _trains(machine, relay=relay),
        _cores(machine),
        _open_files(machine, relay=relay),
        _memory_on_disk(machine),
    ]


def _real_time(machine: Machine) -> Finding:
    if machine.real_time:
        return Finding("real time", Grade.GOOD, "SCHED_FIFO is granted to the engine's thread")
    advice = f"{UNIT_HINT}: LimitRTPRIO=20; for a login: `@voicebox - rtprio 20` in /etc/security/limits.d."
    return Finding("real time", Grade.PROBLEM, "SCHED_FIFO is refused, so ticks are late whenever the machine is busy", advice)


def _locked(machine: Machine) -> Finding:
    if machine.locked_memory:
        return Finding("memory", Grade.GOOD, "it can be locked, so no tick waits for a disk")
    advice = f"{UNIT_HINT}: LimitMEMLOCK=infinity; for a login: `@voicebox - memlock unlimited` in /etc/security/limits.d."
    return Finding("memory", Grade.NOTE, "it cannot be locked, so a tick may wait for memory that was swapped out", advice)


def _late(machine: Machine) -> Finding:
    said = f"a thread wakes {machine.late_p99_us / 1e3:.2f} ms late at most in 99 of 100 cases"
    if machine.late_p99_us <= LATE_LIMIT_US:
        return Finding("timing", Grade.GOOD, said)
    advice = "Other work delays it: end it, or give this machine a core of its own."
    if machine.is_virtual:
        advice += " Or the host of this virtual machine wakes idle processors late: `voicebox stay-awake`, run by root, keeps them awake."
    return Finding("timing", Grade.PROBLEM, f"{said}, and {LATE_LIMIT_US / 1e3:g} ms are wanted", advice)


def _clock(clock: KernelClock | None, *, relay: bool) -> Finding:
    if clock is None:
        return Finding("clock", Grade.NOTE, "the kernel does not say how good its clock is")
    rate = f"its rate is corrected by {clock.correction_ppm:+.2f} ppm"
    if clock.synchronised:
        return Finding("clock", Grade.GOOD, f"disciplined, off by at most {clock.max_error_us / 1e3:.0f} ms; {rate}")
    advice = "Install chrony (or another NTP client), and look again in an hour."
    if relay:
        return Finding("clock", Grade.PROBLEM, f"nobody disciplines it, and a relay has to be within {RELAY_PPM:g} ppm; {rate}", advice)
    return Finding(
        "clock", Grade.NOTE, f"nobody disciplines it; a box follows its guard's clock, but certificates and epochs need the hour to be right; {rate}", advice
    )


def _buffers(octets: int | None) -> Finding:
    if octets is None:
        return Finding("buffers", Grade.NOTE, "the kernel does not say how large a socket's buffer may be")
    if octets >= SOCKET_BUFFER_OCTETS:
        return Finding("buffers", Grade.GOOD, f"a socket gets the {SOCKET_BUFFER_OCTETS >> 10} KiB that the engine asks for")
    said = f"a socket may have {octets >> 10} KiB"
    advice = f"As root: sysctl -w net.core.rmem_max={SOCKET_BUFFER_OCTETS} net.core.wmem_max={SOCKET_BUFFER_OCTETS}, and the same in /etc/sysctl.d."
    return Finding(
        "buffers", Grade.NOTE, f"{said}, so datagrams are lost when the thread is kept from running for long; {SOCKET_BUFFER_OCTETS >> 10} are wanted", advice
    )


def _cipher(instructions: bool | None) -> Finding:  # noqa: FBT001 - one fact, three values
    if instructions is None:
        return Finding("cipher", Grade.NOTE, "this processor does not say whether it has instructions for AES")
    if instructions:
        return Finding("cipher", Grade.GOOD, "the processor has instructions for AES, which run in constant time")
    return Finding("cipher", Grade.NOTE, "the processor has no instructions for AES: layers are computed in constant-time code, several times as slow")


def _trains(machine: Machine, *, relay: bool) -> Finding:
    if machine.trains:
        return Finding("trains", Grade.GOOD, "the kernel cuts trains of cells itself (UDP_SEGMENT)")
    advice = "Linux 4.18 or newer does it." if relay else ""
    return Finding("trains", Grade.NOTE, "the kernel does not cut trains of cells, so that a relay needs a system call for each", advice)


def _cores(machine: Machine) -> Finding:
    if machine.cores > 1:
        return Finding("cores", Grade.GOOD, f"{machine.cores}")
    return Finding("cores", Grade.NOTE, "one: phones, programs and ticks wait for each other")


def _open_files(machine: Machine, *, relay: bool) -> Finding:
    if machine.open_files >= OPEN_FILES or not relay:
        return Finding("open files", Grade.GOOD, f"{machine.open_files} at most")
    return Finding("open files", Grade.NOTE, f"{machine.open_files} at most", f"{UNIT_HINT}: LimitNOFILE={OPEN_FILES}.")


def _memory_on_disk(machine: Machine) -> Finding:
    if not machine.swap or machine.locked_memory:
        return Finding("traces", Grade.GOOD, "keys in memory do not reach a disk by swap")
    return Finding("traces", Grade.NOTE, "keys in memory may reach a disk by swap", "Encrypt the swap or switch it off (swapoff).")
