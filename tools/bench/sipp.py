"""sipp as load on a SIP server: scenarios, a run, and what its statistics say. [io]

A call is INVITE, challenge, INVITE, 180, 200, ACK, BYE, 200; a registration REGISTER, challenge, REGISTER, 200. Not here: sound.
"""

from __future__ import annotations

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path

from voicebox.demo.phones import Login
from voicebox.errors import HostError

SPARE_S = 40.0
"""How much longer a run may take than it should: what a retransmission waits for, and starting."""
SDP = "v=0\no=- 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 8\na=rtpmap:8 PCMA/8000\n"
AGAIN = ' retrans="500"'


@dataclass(frozen=True)
class Load:
    """How a run went."""

    wanted: int
    good: int
    failed: int
    retransmissions: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return how many a second."""
        return self.good / self.seconds if self.seconds else 0.0


def send(message: str, *, again: bool = True) -> str:
    """Return the step of a scenario that sends a message; again: until it is answered."""
    return f"<send{AGAIN if again else ''}><![CDATA[\n\n{message.rstrip()}\n\n]]></send>"


def _scenario(*steps: str) -> str:
    return '<?xml version="1.0" encoding="ISO-8859-1"?>\n<scenario name="load">\n' + "\n".join(steps) + "\n</scenario>\n"


def _request(method: str, uri: str, login: Login, cseq: int, to: str, extra: str = "", body: str = "") -> str:
    head = (
        f"{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\nFrom: <sip:{login.user}@{login.host}>;tag=[call_number]\n"
        f"{to}\nCall-ID: [call_id]\nCSeq: {cseq} {method}\nContact: <sip:{login.user}@[local_ip]:[local_port]>\n{extra}"
    )
    return head + (f"Content-Type: application/sdp\nContent-Length: [len]\n\n{body}" if body else "Content-Length: 0\n\n")


def _authentication(login: Login) -> str:
    return f"[authentication username={login.user} password={login.password.reveal().decode()}]\n"


def caller(login: Login, callee: str, *, challenged: bool = True) -> str:
    """Return the scenario of a phone that calls another one. challenged: the server wants to know who it is."""
    uri = f"sip:{callee}@{login.host}"
    to = f"To: <{uri}>"
    first = [
        send(_request("INVITE", uri, login, 1, to, body=SDP)),
        '<recv response="100" optional="true"/>',
        '<recv response="401" auth="true"/>',
        send(f"ACK {uri} SIP/2.0\n[last_Via:]\nMax-Forwards: 70\n[last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq: 1 ACK\nContent-Length: 0\n\n", again=False),
    ]
    return _scenario(
        *(first if challenged else []),
        send(_request("INVITE", uri, login, 2, to, _authentication(login) if challenged else "", SDP)),
        '<recv response="100" optional="true"/>',
        '<recv response="180" optional="true"/>',
        '<recv response="200" rrs="true"/>',
        send(_request("ACK", "[next_url]", login, 2, "[last_To:]", "[routes]\n"), again=False),
        send(_request("BYE", "[next_url]", login, 3, "[last_To:]", "[routes]\n")),
        '<recv response="200"/>',
    )


def callee(login: Login) -> str:
    """Return the scenario of a phone that takes every call."""
    contact = f"Contact: <sip:{login.user}@[local_ip]:[local_port]>\n"
    answer = "SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n[last_Record-Route:]\n"
    tagged = ";tag=[call_number]"
    return _scenario(
        '<recv request="INVITE" rrs="true"/>',
        send(answer.format(status="180 Ringing", tag=tagged) + contact + "Content-Length: 0\n\n", again=False),
        send(answer.format(status="200 OK", tag=tagged) + contact + f"Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}"),
        '<recv request="ACK"/>',
        '<recv request="BYE"/>',
        send(answer.format(status="200 OK", tag="") + "Content-Length: 0\n\n", again=False),
    )


def registrations(login: Login, *, challenged: bool = True) -> str:
    """Return the scenario of a phone that registers."""
    uri, to = f"sip:{login.host}", f"To: <sip:{login.user}@{login.host}>"
    first = [send(_request("REGISTER", uri, login, 1, to, "Expires: 300\n")), '<recv response="401" auth="true"/>']
    return _scenario(
        *(first if challenged else []),
        send(_request("REGISTER", uri, login, 2, to, "Expires: 300\n" + (_authentication(login) if challenged else ""))),
        '<recv response="200"/>',
    )


class Sipp:
    """One run of a scenario against a server. address, port: its own. count None: until it is ended."""

    def __init__(self, scenario: str, directory: Path, server: tuple[str, int], own: tuple[str, int], rate: float = 50, count: int | None = None) -> None:
        directory.mkdir(parents=True)
        path, self._statistics = directory / "scenario.xml", directory / "statistics.csv"
        path.write_text(scenario)
        self._count, self._rate = count, rate
        command = ["sipp", f"{server[0]}:{server[1]}", "-sf", str(path), "-i", own[0], "-mi", own[0], "-p", str(own[1]), "-t", "u1", "-nostdin"]
        command += ["-trace_stat", "-stf", str(self._statistics), "-fd", "1", "-buff_size", str(4 * 1024 * 1024), "-l", "1000"]
        command += ["-r", f"{rate:g}", "-m", str(count)] if count is not None else []
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=directory)

    def finish(self) -> Load:
        """Wait for its end; return how it went. Raises HostError where it does not end, or says nothing."""
        assert self._count is not None
        try:
            self._process.wait(self._count / self._rate + SPARE_S)
        except subprocess.TimeoutExpired:
            raise HostError("sipp does not come to an end") from None
        finally:
            self.close()
        return parse_statistics(self._statistics.read_text(), self._count)

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._log.close()


def parse_statistics(text: str, wanted: int) -> Load:
    """Return what the last line of sipp's statistics says. Raises HostError where there is none."""
    lines = list(csv.DictReader(text.splitlines(), delimiter=";"))
    if not lines:
        raise HostError("sipp says nothing of how it went")
    last = lines[-1]
    hours, minutes, seconds = last["ElapsedTime(C)"].split(":")[:3]
    took = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return Load(wanted, int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]), int(last["Retransmissions(C)"]), took)
