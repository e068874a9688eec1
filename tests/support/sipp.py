"""sipp 3.6 as a phone: a scenario is written for each call, because nobody can tell a running one anything. [io]

What it is told to do between dial() and the end of a call is what it was prepared for; hold(), press() and the like wait until its scenario has come so far. It plays its
tone, and hears nothing. As a phone that is called it has to speak UDP: a connection ends with the process that registered over it. Debian's is built without TLS.
"""

from __future__ import annotations

import shutil
import subprocess
import wave
from array import array
from pathlib import Path
from typing import ClassVar

from tools.bench.sipp import send
from tools.coarse_copy import compress
from voicebox.b2bua.events import Codec
from voicebox.demo.phones import PhoneDriver, PhoneSetup
from voicebox.errors import HostError

REGISTER_TIMEOUT_S, WAIT_S = 20.0, 30.0
CALL_TIMEOUT_S = 60
SDP = """v=0
o=sipp 7 {version} IN IP[local_ip_type] [local_ip]
s=sipp
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a={direction}
"""
TALK_MS, MOVE_MS, WAIT_MS = 600, 900, 6_000
DIGITS = "5#"
"""What it presses, by INFO: one that sends events by RFC 4733 is in no scenario of its own."""


class Sipp(PhoneDriver):
    """One phone; a process for each registration and each call. prepare() before each call."""

    agent: ClassVar[str] = "sipp/3.6"

    def __init__(self, setup: PhoneSetup, directory: Path) -> None:
        super().__init__(setup, directory)
        self.digits = ""
        self._moves: tuple[str, ...] = ()
        self._stopped = False
        self._calls = 0
        self._seen = 0
        self._begun = 0
        """How many events there were when the present call began."""

    # the driver

    def _launch(self) -> None:
        if shutil.which("sipp") is None:
            raise HostError("sipp is not installed. On Debian: apt-get install sip-tester")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_sound()
        self.note("ready")
        if self.setup.login is not None:
            self._register(300)
            self.note("registered")

    def prepare(self, *moves: str) -> None:
        """Say what it does in the next call, in order: digits, hold, resume, wait, bye, where there is none the other's; or cancel, busy, decline. As a phone that is called it rings first."""
        self._moves = moves

    def expect(self) -> None:
        """Be ready for the call that comes."""
        self._begin(self._callee())

    def dial(self, uri: str) -> None:
        self._begin(self._caller(uri))

    def answer(self) -> None:
        """Its scenario does."""

    def hang_up(self) -> None:
        """Its scenario does."""

    def hold(self) -> None:
        """Wait until its scenario has put the call on hold."""
        self._wait_in_call("held")

    def resume(self) -> None:
        """Wait until its scenario has taken the call off hold."""
        self._wait_in_call("resumed")

    def press(self, digits: str) -> None:
        """Wait until its scenario has pressed the digits."""
        assert digits == DIGITS
        self._wait_in_call("pressed")

    def _wait_in_call(self, event: str) -> None:
        self.wait_until(lambda: event in self.events[self._begun :], event, WAIT_S)

    def heard(self) -> Path | None:
        return None

    def running(self) -> bool:
        return not self._stopped

    def _poll(self) -> None:
        path = self.directory / f"said-{self._calls}"
        if path.exists():
            said = path.read_text().split()
            for event in said[self._seen :]:
                if event.isdigit():
                    self.status = int(event)
                else:
                    self.note(event)
            self._seen = len(said)

    def stop(self) -> None:
        if self._stopped:
            return
        self._end_call()
        if self.setup.login is not None and "registered" in self.events:
            self._register(0)
        self._stopping.set()
        if self._listener is not None:
            self._listener.join()
        self._stopped = True
        super().stop()

    # processes

    def _write_sound(self) -> None:
        """Write the tone as octets of PCMA without a header, which is all that it plays."""
        with wave.open(str(self.setup.play)) as tone:
            samples = array("h", tone.readframes(tone.getnframes()))
        octet_of = {sample: compress(Codec.PCMA, sample) for sample in set(samples)}  # a tone has few
        (self.directory / "tone.alaw").write_bytes(bytes(octet_of[sample] for sample in samples))

    def _command(self, scenario: str, name: str, said: str) -> list[str]:
        setup = self.setup
        path = self.directory / f"{name}.xml"
        path.write_text(scenario)
        login = setup.login
        host, port = (login.host, login.port) if login else (setup.address, setup.sip_port)
        remote = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        transport = "t1" if (login.transport if login else setup.transport) == "tcp" else "u1"
        local = f"[{setup.address}]" if ":" in setup.address else setup.address
        command = ["sipp", remote, "-sf", str(path), "-i", local, "-mi", local, "-p", str(setup.sip_port), "-t", transport, "-m", "1", "-nostdin"]
        command += ["-mp", str(setup.rtp_port)]
        return [*command, "-timeout", str(CALL_TIMEOUT_S), "-trace_logs", "-log_file", str(self.directory / said)]

    def _register(self, expires_s: int) -> None:
        with (self.directory / "register.log").open("wb") as log:
            done = subprocess.run(
                self._command(_scenario(self._registration(expires_s)), "register", "said"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=REGISTER_TIMEOUT_S, check=False
            )  # fmt: skip
        if done.returncode:
            raise HostError(f"the phone {self.setup.name!r} could not register")

    def _begin(self, scenario: str) -> None:
        self._end_call()
        with self._lock:
            self._poll()
            self._calls, self._seen, self._begun = self._calls + 1, 0, len(self.events)
            self._spawn(self._command(scenario, f"call-{self._calls}", f"said-{self._calls}"))

    def _end_call(self) -> None:
        process = self._process
        if process is not None:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
            if self._log is not None:
                self._log.close()

    # scenarios

    @property
    def _names(self) -> dict[str, str]:
        login = self.setup.login
        assert login is not None
        host = "[remote_ip]" if ":" in login.host else login.host  # its word for it: brackets are around words
        return {"user": login.user, "host": host, "password": login.password.reveal().decode(), "agent": self.agent}

    @property
    def _from(self) -> str:
        return f"From: <sip:{self._names['user']}@{self._names['host']}>;tag=sipp[call_number]"

    def _request(self, method: str, uri: str, cseq: int, to: str, extra: str = "", body: str = "") -> str:
        return self._message(method, (uri, f"{self._from}\nTo: {to}"), cseq, extra, body)

    def _message(self, method: str, ends: tuple[str, str], cseq: int, extra: str = "", body: str = "", content_type: str = "application/sdp") -> str:
        """Return a request. ends: its target; its From and To."""
        names, (target, parties) = self._names, ends
        head = (
            f"{method} {target} SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nMax-Forwards: 70\n"
            f"{parties}\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n"
            f"Contact: <sip:{names['user']}@[local_ip]:[local_port];transport=[transport]>\nUser-Agent: {names['agent']}\n{extra}"
        )
        return head + (f"Content-Type: {content_type}\nContent-Length: [len]\n\n{body}" if body else "Content-Length: 0\n\n")

    def _registration(self, expires_s: int) -> list[str]:
        names = self._names
        uri, to = f"sip:{names['host']}", f"<sip:{names['user']}@{names['host']}>"
        return [
            send(self._request("REGISTER", uri, 1, to, f"Expires: {expires_s}\n")),
            '<recv response="401" auth="true"/>',
            send(self._request("REGISTER", uri, 2, to, f"Expires: {expires_s}\n{self._authentication}")),
            '<recv response="200"/>',
        ]

    @property
    def _authentication(self) -> str:
        names = self._names
        return f"[authentication username={names['user']} password={names['password']}]\n"

    def _caller(self, uri: str) -> str:
        sdp = SDP.format(version=1, direction="sendrecv")
        to = f"<{uri}>"
        ack = f"ACK {uri} SIP/2.0\n[last_Via:]\nMax-Forwards: 70\n[last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq: {{cseq}} ACK\nContent-Length: 0\n\n"
        steps = [
            send(self._request("INVITE", uri, 1, to, "", sdp)),
            '<recv response="401" auth="true"/>',
            send(ack.format(cseq=1), again=False),
            send(self._request("INVITE", uri, 2, to, self._authentication, sdp)),
            '<recv response="100" optional="true"/>',
            _recv('response="180"', "ringing"),
        ]
        if self._moves == ("cancel",):
            cancel = f"CANCEL {uri} SIP/2.0\n[last_Via:]\nMax-Forwards: 70\n[last_From:]\nTo: {to}\n[last_Call-ID:]\nCSeq: 2 CANCEL\nContent-Length: 0\n\n"
            steps += [
                _pause(TALK_MS),
                send(cancel),
                '<recv response="200"/>',
                '<recv response="487"/>',
                send(ack.format(cseq=2), again=False),
                _say("487 ended"),
            ]
        elif self._moves in {("busy",), ("decline",)}:
            status = 486 if self._moves == ("busy",) else 603
            steps += [f'<recv response="{status}"/>', send(ack.format(cseq=2), again=False), _say(f"{status} ended")]
        else:
            ends = ("[next_url]", f"{self._from}\n[last_To:]")  # the box's To, with its tag, is that of its last answer
            steps += [_recv('response="200" rrs="true"', "connected"), send(self._message("ACK", ends, 2), again=False), self._sound, *self._talk(3, ends)]
        return _scenario(steps)

    @property
    def _sound(self) -> str:
        return f'<nop><action><exec rtp_stream="{self.directory / "tone.alaw"},-1,8"/></action></nop>'

    def _talk(self, cseq: int, ends: tuple[str, str]) -> list[str]:
        """Return what is done in a call in which people talk, from a number of the dialog on. ends: as in _message()."""
        steps = [_pause(TALK_MS)]
        for move in self._moves:
            if move == "digits":
                for digit in DIGITS:
                    steps += [
                        send(self._message("INFO", ends, cseq, body=f"Signal={digit}\nDuration=160\n", content_type="application/dtmf-relay")),
                        '<recv response="200"/>',
                    ]
                    cseq += 1
                steps += [_say("pressed")]
            elif move in {"hold", "resume"}:
                sdp = SDP.format(version=cseq, direction="sendonly" if move == "hold" else "sendrecv")
                steps += [send(self._message("INVITE", ends, cseq, body=sdp)), '<recv response="100" optional="true"/>', '<recv response="200" rrs="true"/>']
                steps += [send(self._message("ACK", ends, cseq), again=False), _say({"hold": "held", "resume": "resumed"}[move]), _pause(MOVE_MS)]
                cseq += 1
            elif move == "wait":
                steps += [_pause(WAIT_MS)]
            elif move == "bye":
                steps += [_pause(TALK_MS), send(self._message("BYE", ends, cseq)), '<recv response="200"/>', _say("ended")]
        if "bye" not in self._moves:
            steps += [_recv('request="BYE"', ""), send(_answer("200 OK"), again=False), _say("ended")]
        return steps

    def _callee(self) -> str:
        contact = f"Contact: <sip:{self._names['user']}@[local_ip]:[local_port];transport=[transport]>\n"
        find = "".join(
            f'<ereg regexp="{expression}" search_in="hdr" header="{header}:" assign_to="{name}"/>'
            for expression, header, name in ((".*", "From", "remote"), (".*", "To", "local"), ("sips?:[^&gt;]*", "Contact", "target"))
        )
        steps = [
            f'<recv request="INVITE" crlf="true"><action>{find}<log message="incoming"/></action></recv>',
            send(_answer("180 Ringing", contact), again=False),
        ]
        if self._moves == ("cancel",):
            steps += [
                _recv('request="CANCEL"', ""),
                send(_answer("200 OK"), again=False),
                send(_answer("487 Request Terminated", cseq="1 INVITE"), again=True),
            ]
            steps += ['<recv request="ACK"/>', _say("ended")]
        elif self._moves in {("busy",), ("decline",)}:
            status = "486 Busy Here" if self._moves == ("busy",) else "603 Decline"
            steps += [_pause(TALK_MS), send(_answer(status), again=True), '<recv request="ACK"/>', _say("ended")]
        else:
            body = SDP.format(version=1, direction="sendrecv")
            ends = ("[$target]", "From:[$local];tag=sipp[call_number]\nTo:[$remote]")
            steps += [
                _pause(TALK_MS),
                send(_answer("200 OK", contact, body), again=True),
                _recv('request="ACK"', "connected"),
                self._sound,
                *self._talk(1, ends),
            ]
        return _scenario(steps, '<Reference variables="remote,local,target"/>')


def _answer(status: str, extra: str = "", body: str = "", cseq: str = "") -> str:
    head = f"SIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:];tag=sipp[call_number]\n[last_Call-ID:]\n{f'CSeq: {cseq}' if cseq else '[last_CSeq:]'}\n{extra}"
    return head + (f"Content-Type: application/sdp\nContent-Length: [len]\n\n{body}" if body else "Content-Length: 0\n\n")


def _scenario(steps: list[str], more: str = "") -> str:
    return '<?xml version="1.0" encoding="ISO-8859-1"?>\n<scenario name="phone">\n' + "\n".join([*steps, more]) + "\n</scenario>\n"


def _recv(what: str, event: str) -> str:
    return f'<recv {what}><action><log message="{event}"/></action></recv>' if event else f"<recv {what}/>"


def _pause(length_ms: int) -> str:
    return f'<pause milliseconds="{length_ms}"/>'


def _say(events: str) -> str:
    return "<nop><action>" + "".join(f'<log message="{event}"/>' for event in events.split()) + "</action></nop>"
