"""What the box answers to the torture tests of RFC 4475, and that it goes on serving its phones after each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.voicebox.b2bua.scripted import Box, Phone

VECTORS = Path(__file__).parents[2] / "vectors" / "rfc4475"
REACTIONS: dict[str, int | None] = {
    "wsinv": 481,  # it has a To tag, and there is no such dialog
    "intmeth": 501,
    "esc01": 401,
    "escnull": 401,
    "esc02": 501,
    "lwsdisp": 200,
    "longreq": 401,
    "dblreq": 401,
    "semiuri": 200,
    "transports": 200,
    "mpart01": 401,
    "unreason": None,
    "noreason": None,
    "badinv01": None,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": None,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "escruri": 401,
    "baddate": 401,
    "regbadct": 401,
    "badaspec": 400,
    "baddn": 400,
    "badvers": None,
    "mismatch01": 400,
    "mismatch02": 400,
    "bigcode": None,
    "badbranch": 200,
    "insuf": None,
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 401,
    "bext01": 420,
    "invut": 401,
    "regaut01": 401,
    "multi01": 400,
    "mcl01": 400,
    "bcast": None,
    "zeromf": 200,
    "cparam01": 401,
    "cparam02": 401,
    "regescrt": 401,
    "sdp01": 401,
    "inv2543": 401,
}
# Where RFC 4475 asks for an answer and the box stays silent. An answer goes where the topmost Via says and repeats To, From and Call-ID;
# the parser takes no Via that breaks the grammar, and makes no answer without those fields. The RFC words each as a should or an ideal.
SILENT_DEPARTURES = {
    "badinv01": 400,  # §3.1.2.1
    "badvers": 505,  # §3.1.2.16, its Via is SIP/7.0 too
    "insuf": 400,  # §3.3.1
}
# The box asks for credentials before it looks at what these messages are about, so what is shown here of them is no more than that they
# are understood as far as that. What the RFC says of the content (a 415 for invut and mpart01, a 406 for sdp01, a 400 that may be sent for escruri,
# baddate and regbadct, which contact cparam01, cparam02 and regescrt bind) is not reached.
CHALLENGED_FIRST = {"esc01", "escnull", "longreq", "dblreq", "escruri", "baddate", "regbadct", "unksm2", "invut", "regaut01"}
CHALLENGED_FIRST |= {"cparam01", "cparam02", "regescrt", "sdp01", "inv2543", "mpart01"}


def test_every_message_has_its_reaction() -> None:
    assert set(REACTIONS) == {path.stem for path in VECTORS.glob("*.dat")}
    assert {name for name, status in REACTIONS.items() if status == 401} == CHALLENGED_FIRST
    assert all(REACTIONS[name] is None for name in SILENT_DEPARTURES)


@pytest.mark.parametrize(
    ("name", "field", "values"), [("intmeth", "Allow", {"INVITE", "REGISTER"}), ("bext01", "Unsupported", {"nothingsupportsthis", "nothingsupportsthiseither"})]
)
def test_the_refusal_says_what_would_do(name: str, field: str, values: set[str]) -> None:
    """RFC 4475 §3.1.1.2: a 501 lists the methods in Allow; §3.3.5: a 420 names the extensions in Unsupported."""
    box = Box()
    box.receive((VECTORS / f"{name}.dat").read_bytes(), Phone(box, "alice").flow)
    lines = box.octets[0].decode().split("\r\n")
    listed = {value.strip() for line in lines if line.startswith(f"{field}:") for value in line.partition(":")[2].split(",")}
    assert values <= listed


@pytest.mark.parametrize(("name", "status"), REACTIONS.items())
def test_reaction(name: str, status: int | None) -> None:
    box = Box()
    phone = Phone(box, "alice")
    box.receive((VECTORS / f"{name}.dat").read_bytes(), phone.flow)
    if status is None:
        assert box.octets == []
        assert sum(box.board.layer.drops.values()) == 1, "what is not answered is counted"
    else:
        assert [octets.split(b" ", 2)[:2] for octets in box.octets] == [[b"SIP/2.0", str(status).encode()]]
        assert all(b";tag" in line.replace(b" ", b"") for line in box.octets[0].split(b"\r\n") if line.startswith(b"To:"))
    box.advance(40)
    assert box.board.totals()["transactions"] == 0
    assert phone.register().status == 200
