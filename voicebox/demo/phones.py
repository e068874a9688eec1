"""Softphones as processes of the demo: the built-in one for G.711, baresip for Opus. [io]

A driver writes its phone's configuration into a scratch directory, starts the process, tells it what to do and notes what it says; it
listens to its phone in a thread of its own, so that a phone answers while somebody waits for another one.
Every wait has an end; only processes started here are ended. NOT here: who calls whom (the demo does).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from voicebox.errors import HostError
from voicebox.sensitive import Secret

POLL_S = 0.02
LISTEN_S = 0.05
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
"""On a machine that does much else a phone takes a while to unregister."""
COMMAND_TIMEOUT_S = 3.0
MAX_CONTROL_OCTETS = 1 << 20
FIRST_REFUSAL = 300
BARESIP_MODULES = Path("/usr/lib/baresip/modules")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Login:
    """How a phone reaches its box."""

    host: str
    port: int
    user: str
    password: Secret
    transport: str = "udp"
    authority: Path | None = None
    """For transport tls: the certificate by which the box is known."""
    dtls: bool = False
    """Its sound is protected by DTLS-SRTP."""


class Place(Protocol):
    """A network namespace."""

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Return what to put in front of a command, so that it runs there as the same process."""

    def run(self, inside: Callable[[], T]) -> T:
        """Call something there: sockets that it makes stay there."""


@dataclass(frozen=True, slots=True)
class PhoneSetup:
    """One phone. login None: no box, calls go straight to the dialled address.

    address, sip_port: where it listens; rtp_port: the first, even, of at least eight ports for sound; codec: opus, g722, pcma, pcmu, or g711 for these two.
    play: WAV file (16-bit mono; opus: 48 000 Hz, g722: 16 000 Hz, else 8 000 Hz). ring_s: answer by itself after so long, None: when told to.
    place: the network namespace it lives in, None: this process's own.
    """

    name: str
    login: Login | None
    address: str
    sip_port: int
    rtp_port: int
    play: Path
    codec: str = "pcma"
    ring_s: float | None = None
    transport: str = "udp"
    place: Place | None = None


class PhoneDriver(ABC):
    """One phone process. start(), then wait_for() and commands, then stop(); a context does the first and the last.

    Events are: ready, registered, unregistered, incoming, ringing, connected, digit, ended.
    status: the SIP status by which the last call that ended was refused, as the phone tells it; 0 where it was none or the phone does not say.
    """

    def __init__(self, setup: PhoneSetup, directory: Path) -> None:
        self.setup = setup
        self.directory = directory
        self.events: list[str] = []
        self.status = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: BinaryIO | None = None
        self._answer_at: float | None = None
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._read_octets = 0
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Start the phone and wait until it listens. Raises HostError where it does not."""
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise
        self._listener = threading.Thread(target=self._listen, name=f"phone-{self.setup.name}", daemon=True)
        self._listener.start()

    @abstractmethod
    def _launch(self) -> None:
        """Start the process and wait until it listens. Raises HostError where it does not."""

    def _listen(self) -> None:
        while self.running() and not self._stopping.wait(LISTEN_S):
            # A phone that is just ending does not answer; whoever waits for it is told that it has ended.
            with contextlib.suppress(OSError, HostError):
                self.turn()

    @abstractmethod
    def dial(self, uri: str) -> None:
        """Call an address."""

    @abstractmethod
    def answer(self) -> None:
        """Take the call that rings."""

    @abstractmethod
    def hang_up(self) -> None:
        """End the call, or refuse it where it rings."""

    @abstractmethod
    def heard(self) -> Path | None:
        """Return the recording of what was heard last; complete once the call is over and the phone stopped."""

    @abstractmethod
    def _poll(self) -> None:
        """Note what the phone has said since."""

    def _ask_to_end(self) -> None:
        """Tell the phone to end in its own way, where it has one; it is killed where it does not end."""
        assert self._process is not None
        self._process.terminate()

    def _spawn(self, command: list[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._log = (self.directory / "log").open("wb")
        variables = {**os.environ, **(environment or {})}
        command = [*(self.setup.place.wrapper if self.setup.place else ()), *command]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT, env=variables, cwd=self.directory)
        return self._process

    def log_text(self) -> str:
        """Return what the phone has printed."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _new_lines(self) -> list[str]:
        with (self.directory / "log").open("rb") as log:
            log.seek(self._read_octets)
            *lines, _ = log.read(MAX_CONTROL_OCTETS).split(b"\n")
        self._read_octets += sum(len(line) + 1 for line in lines)
        return [line.decode("utf-8", "replace").strip() for line in lines]

    def running(self) -> bool:
        """Return whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def note(self, event: str) -> None:
        """Remember an event; a ringing phone that answers by itself gets its time."""
        self.events.append(event)
        if event == "incoming" and self.setup.ring_s is not None:
            self._answer_at = time.monotonic() + self.setup.ring_s

    def turn(self) -> None:
        """Hear the phone, and answer when it is time."""
        with self._lock:
            self._poll()
            if self._answer_at is not None and time.monotonic() >= self._answer_at:
                self._answer_at = None
                self.answer()

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
        """Hear the phone until a condition holds. Raises HostError when it never does."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= end or not self.running():
                raise HostError(f"the phone {self.setup.name!r} {'did not get to: ' + what if self.running() else 'ended by itself'}")
            time.sleep(POLL_S)
            self.turn()

    def wait_for(self, event: str, timeout_s: float = 10.0, count: int = 1) -> None:
        """Hear the phone until it has said `event` `count` times in all. Raises HostError when it does not."""
        self.wait_until(lambda: self.events.count(event) >= count, event, timeout_s)

    def stop(self) -> None:
        """End the process. Safe to call more than once."""
        self._stopping.set()
        if self._listener is not None:
            self._listener.join()
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError, HostError):
                self._ask_to_end()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.terminate()
                try:
                    process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            with contextlib.suppress(OSError, HostError):
                self._poll()
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> PhoneDriver:  # noqa: PYI034 - callers choose the phone by its codec and know only this class
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class BuiltinPhone(PhoneDriver):
    """`voicebox phone run --control`: G.711 only."""

    def __init__(self, setup: PhoneSetup, directory: Path) -> None:
        super().__init__(setup, directory)
        self.problems: list[str] = []
        self.recordings: list[Path] = []
        self.codec = ""
        self.digits = ""

    def _launch(self) -> None:
        setup = self.setup
        command = [sys.executable, "-m", "voicebox.softphone", setup.name, "--control", "--listen", f"{setup.address}:{setup.sip_port}"]
        command += ["--rtp-port", str(setup.rtp_port), "--codec", setup.codec, "--play", str(setup.play), "--record", str(self.directory / "heard.wav")]
        command += ["--transport", setup.login.transport if setup.login else setup.transport]
        if setup.login is None:
            command.append("--direct")
        else:
            self.directory.mkdir(parents=True, exist_ok=True)
            password_file = self.directory / "password"
            password_file.touch(mode=0o600)
            password_file.write_bytes(setup.login.password.reveal())
            command += ["--server", f"{setup.login.host}:{setup.login.port}", "--user", setup.login.user, "--password-file", str(password_file)]
            command += ["--ca", str(setup.login.authority)] if setup.login.authority else []
        root = str(Path(__file__).resolve().parents[2])
        search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        self._spawn(command, {"PYTHONPATH": search})
        self.wait_for("ready", START_TIMEOUT_S)

    def _poll(self) -> None:
        for line in self._new_lines():
            with contextlib.suppress(ValueError):
                self._hear(json.loads(line))

    def _hear(self, fields: object) -> None:
        if not isinstance(fields, dict):
            return
        event = str(fields.get("event"))
        if event == "media":
            self.codec = str(fields.get("codec"))
        elif event == "recorded":
            self.recordings.append(Path(str(fields.get("file"))))
        elif event == "digit":
            self.digits += str(fields.get("digit"))
        elif event == "problem":
            self.problems.append(str(fields.get("why")))
        elif event == "ended":
            status = fields.get("status")
            self.status = status if isinstance(status, int) and status >= FIRST_REFUSAL else 0
        self.note(event)

    def _tell(self, **fields: str | int) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            with self._lock:
                self._process.stdin.write(json.dumps(fields).encode() + b"\n")
                self._process.stdin.flush()
        except OSError:
            raise HostError(f"the phone {self.setup.name!r} ended by itself") from None

    def dial(self, uri: str) -> None:
        self._tell(command="dial", uri=uri)

    def answer(self) -> None:
        self._tell(command="answer")

    def hang_up(self) -> None:
        self._tell(command="hang_up")

    def decline(self, status: int) -> None:
        """Refuse the call that rings, with a SIP status."""
        self._tell(command="decline", status=status)

    def hold(self) -> None:
        """Put the call on hold."""
        self._tell(command="hold")

    def resume(self) -> None:
        """Take the call off hold."""
        self._tell(command="resume")

    def press(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        self._tell(command="digits", digits=digits)

    def heard(self) -> Path | None:
        return self.recordings[-1] if self.recordings else None

    def _ask_to_end(self) -> None:
        self._tell(command="quit")


BARESIP_CONFIG = """poll_method epoll
sip_listen {host}:{sip_port}
call_local_timeout 60
call_max_calls 4
audio_source aufile,{play}
audio_player aufile,{directory}/player.wav
audio_alert aufile,/dev/null
audio_level no
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
rtp_ports {rtp_port}-{rtp_last}
rtcp_mux no
jitter_buffer_delay 1-5
rtp_stats yes
rtp_timeout 0
net_interface {address}
module_path {modules}
module g711.so
module g722.so
module opus.so
module aufile.so
module sndfile.so
module ctrl_tcp.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
opus_bitrate 24000
opus_cbr yes
opus_stereo no
opus_sprop_stereo no
opus_inbandfec no
opus_dtx no
ctrl_tcp_listen 127.0.0.1:{control_port}
snd_path {directory}
menu_bell no
"""
BARESIP_CODECS = {"opus": "opus/48000/1", "g722": "g722/16000", "pcma": "pcma/8000", "pcmu": "pcmu/8000", "g711": "pcma/8000,pcmu/8000"}
BARESIP_EVENTS = {
    "CALL_INCOMING": "incoming",
    "CALL_RINGING": "ringing",
    "CALL_PROGRESS": "ringing",
    "CALL_ESTABLISHED": "connected",
    "CALL_CLOSED": "ended",
}


BARESIP_REGISTRATION = re.compile(r"200 OK .*\[\d+ binding|reg: .* [3-6]\d\d ")
"""What baresip prints about a registration. Its event would do as well, but the first is sent before anybody can be connected."""
BARESIP_REFUSAL = re.compile(r"([3-6]\d\d) ")
"""How baresip's word on the end of a call begins where a response ended it."""


class Baresip(PhoneDriver):
    """baresip 1.0.0 of Debian 12, driven over its ctrl_tcp.

    Known of it: net_interface must be an address; ctrl_tcp serves one client, and a quick reconnection loses the new one, so one
    connection is kept; its file source neither resamples nor begins anew; with `opus_stereo no` its own name for Opus ends in /1 (the
    SDP says /2, RFC 7587 §7) and the file must be mono; TLS takes sip_port + 1, so ports are spaced by two.
    """

    def __init__(self, setup: PhoneSetup, directory: Path, *, extra_config: str = "", trace: bool = False) -> None:
        super().__init__(setup, directory)
        self._extra_config = extra_config
        self._trace = trace
        self._control: socket.socket | None = None
        self._octets = b""
        self._answers: list[dict[str, object]] = []
        self.digits = ""

    def _launch(self) -> None:
        program = shutil.which("baresip")
        if program is None or not (BARESIP_MODULES / "opus.so").exists():
            raise HostError("baresip is not installed. On Debian: apt-get install baresip-core")
        self.directory.mkdir(parents=True, exist_ok=True)
        control_port = self._there(_free_tcp_port)
        (self.directory / "config").write_text(self._config(control_port))
        accounts = self.directory / "accounts"
        accounts.touch(mode=0o600)
        accounts.write_text(self._account() + "\n")
        (self.directory / "contacts").touch()
        self._spawn([program, "-f", str(self.directory), *(["-v", "-s"] if self._trace else [])])
        self.wait_until(lambda: self._connect(control_port), "its control port", START_TIMEOUT_S)
        self.note("ready")

    def _config(self, control_port: int) -> str:
        setup = self.setup
        host = f"[{setup.address}]" if ":" in setup.address else setup.address
        text = BARESIP_CONFIG.format(
            host=host,
            address=setup.address,
            sip_port=setup.sip_port,
            play=setup.play,
            directory=self.directory,
            rtp_port=setup.rtp_port,
            rtp_last=setup.rtp_port + 15,
            modules=BARESIP_MODULES,
            control_port=control_port,
        )
        if setup.login is not None and setup.login.authority is not None:
            text += f"module srtp.so\nsip_cafile {setup.login.authority}\nsip_verify_server yes\n"
        if setup.login is not None and setup.login.dtls:
            text += "module dtls_srtp.so\n"
        return text + self._extra_config

    def _account(self) -> str:
        setup = self.setup
        options = f"answermode=manual;audio_codecs={BARESIP_CODECS[setup.codec]};dtmfmode=rtpevent;ptime=20"
        if setup.login is None:
            host = f"[{setup.address}]" if ":" in setup.address else setup.address
            return f"<sip:{setup.name}@{host}:{setup.sip_port};transport={setup.transport}>;regint=0;{options}"
        login = setup.login
        host = f"[{login.host}]" if ":" in login.host else login.host
        access = f"auth_user={login.user};auth_pass={login.password.reveal().decode()}"
        route = f'outbound="sip:{host}:{login.port};transport={login.transport}"'
        media = ";mediaenc=dtls_srtp" if login.dtls else ";mediaenc=srtp-mand" if login.transport == "tls" else ""
        return f"<sip:{login.user}@{host};transport={login.transport}>;{access};regint=300;{options}{media};{route}"

    def _there(self, work: Callable[[], T]) -> T:
        return self.setup.place.run(work) if self.setup.place else work()

    def _connect(self, port: int) -> bool:
        try:
            self._control = self._there(lambda: socket.create_connection(("127.0.0.1", port), 1))
        except OSError:
            return False
        self._control.setblocking(False)
        return True

    def _poll(self) -> None:
        if self._control is None:
            return
        while select.select([self._control], [], [], 0)[0]:
            octets = self._control.recv(1 << 16)
            if not octets:
                break
            self._octets = (self._octets + octets)[-MAX_CONTROL_OCTETS:]
        for line in self._new_lines():
            found = BARESIP_REGISTRATION.search(line)
            if found:
                self.note("registered" if found[0].startswith("200") else "unregistered")
        for fields in self._netstrings():
            if fields.get("response"):
                self._answers.append(fields)
            elif str(fields.get("type")) in BARESIP_EVENTS:
                if fields["type"] == "CALL_CLOSED":
                    refused = BARESIP_REFUSAL.match(str(fields.get("param")))
                    self.status = int(refused[1]) if refused else 0
                self.note(BARESIP_EVENTS[str(fields["type"])])
            elif fields.get("type") == "CALL_DTMF_START":
                self.digits += str(fields.get("param"))[:1]
                self.note("digit")

    def _netstrings(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        while True:
            length, colon, rest = self._octets.partition(b":")
            if not colon or not length.isdigit() or len(rest) <= int(length):
                return found
            body, self._octets = rest[: int(length)], rest[int(length) + 1 :]
            with contextlib.suppress(ValueError):
                fields = json.loads(body.decode("utf-8", "replace"))
                if isinstance(fields, dict):
                    found.append(fields)

    def command(self, command: str, parameters: str = "") -> str:
        """Give one command and return what baresip says to it. Raises HostError where it says nothing."""
        assert self._control is not None
        with self._lock:
            body = json.dumps({"command": command, "params": parameters, "token": "t"}).encode()
            self._control.sendall(b"%d:%s," % (len(body), body))
            end = time.monotonic() + COMMAND_TIMEOUT_S
            while not self._answers:
                if time.monotonic() >= end:
                    raise HostError(f"the phone {self.setup.name!r} does not obey")
                select.select([self._control], [], [], POLL_S)
                self._poll()
            return str(self._answers.pop(0).get("data", ""))

    def dial(self, uri: str) -> None:
        self.command("dial", uri)

    def answer(self) -> None:
        self.command("accept")

    def hang_up(self) -> None:
        self.command("hangup")

    def hold(self) -> None:
        """Put the call on hold."""
        self.command("hold")

    def resume(self) -> None:
        """Take the call off hold."""
        self.command("resume")

    def press(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        for digit in digits:
            self.command("sndcode", digit)

    def heard(self) -> Path | None:
        recordings = sorted(self.directory.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime_ns)
        return recordings[-1] if recordings else None

    def _ask_to_end(self) -> None:
        self.command("quit")

    def stop(self) -> None:
        super().stop()
        if self._control is not None:
            self._control.close()
            self._control = None


def _free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def phone_for(setup: PhoneSetup, directory: Path) -> PhoneDriver:
    """Return the phone of the demo that speaks the setup's codec."""
    return Baresip(setup, directory) if setup.codec == "opus" else BuiltinPhone(setup, directory)
