"""Softphones that others wrote, as test peers: linphonec and linphone-daemon (5.1), beside those the demo drives (baresip, pjsua2).

All follow PhoneDriver: start(), wait_for(event), dial(), answer(), hang_up(), heard(), stop(). Each has its own scratch directory; only
processes started here are ended. Debian 12: apt-get install baresip-core linphone-cli.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from importlib import util
from pathlib import Path

import pytest

from tests.support.browser_phone import NAME as BROWSER
from tests.support.sipp import Sipp
from tests.support.tone import seconds_of_tone, write_tone
from tests.support.twinkle import Twinkle
from tools.browser import find_browser
from voicebox.demo.phones import Baresip, BuiltinPhone, Login, PhoneDriver, PhoneSetup
from voicebox.errors import HostError

__all__ = [
    "PHONES",
    "Baresip",
    "BuiltinPhone",
    "LinphoneDaemon",
    "Linphonec",
    "Login",
    "PhoneDriver",
    "PhoneSetup",
    "assert_heard",
    "free_port_block",
    "installed",
    "make_phone",
    "recordings_of",
]

TONE_S = 15.0

LINPHONERC = """[sip]
sip_port={udp}
sip_tcp_port={tcp}
sip_tls_port={tls}
bind_address={address}
guess_hostname=0
contact=sip:{name}@{contact}
inc_timeout=60
register_only_when_network_is_up=0
use_rfc2833=1
use_info=0
use_ipv6={ipv6}
auto_net_state_mon=0
ipv6_migration_done=1
default_proxy=0
media_encryption={encryption}
media_encryption_mandatory={mandatory}
root_ca={authority}
verify_server_certs=1
verify_server_cn=1
[net]
mtu=1300
firewall_policy=0
[rtp]
audio_rtp_port={rtp_first}-{rtp_last}
[sound]
echocancellation=0
use_files=1
remote_ring=
local_ring=
[video]
enabled=0
capture=0
display=0
automatically_initiate=0
automatically_accept=0
"""
LINPHONERC_LOGIN = """[proxy_0]
reg_proxy=<sip:{server};transport={transport}>
reg_route=<sip:{server};transport={transport};lr>
reg_identity=sip:{user}@{host}
reg_expires=300
reg_sendregister=1
publish=0
[auth_info_0]
username={user}
passwd={password}
realm={realm}
domain={host}
"""
LINPHONE_CODECS = (
    ("opus", 48000, 2),
    ("speex", 16000, 1),
    ("speex", 8000, 1),
    ("speex", 32000, 1),
    ("PCMU", 8000, 1),
    ("PCMA", 8000, 1),
    ("GSM", 8000, 1),
    ("G722", 8000, 1),
    ("iLBC", 8000, 1),
    ("BV16", 8000, 1),
    ("L16", 44100, 2),
    ("L16", 44100, 1),
)
"""All that Debian's linphone has; what a configuration does not name is switched on."""


class _Linphone(PhoneDriver):
    """What both forms of linphone share: the configuration, which linphone rewrites, and the home it wants.

    Known of it: it needs an existing $HOME/.local/share/linphone; a port of 0 disables a transport; it sends no RTP while no file plays,
    and STUN requests to the media ports; without ipv6_migration_done it switches IPv6 on again by itself; five seconds after its start
    it drops every connection where it sees no way out over IPv6, as on a loopback, without auto_net_state_mon=0; its Contact carries +sip.instance.
    """

    def __init__(self, setup: PhoneSetup, directory: Path, *, realm: str | None = None) -> None:
        super().__init__(setup, directory)
        self._realm = realm
        self._next_question_s = 0.0

    def _prepare(self) -> dict[str, str]:
        for folder in (".local/share/linphone", ".config/linphone"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        setup = self.setup
        transport = setup.login.transport if setup.login else setup.transport
        text = LINPHONERC.format(
            udp=setup.sip_port if transport == "udp" else 0,
            tcp=setup.sip_port if transport == "tcp" else 0,
            tls=setup.sip_port if transport == "tls" else 0,
            ipv6=int(":" in setup.address),
            encryption="dtls" if setup.login and setup.login.dtls else "srtp" if transport == "tls" else "none",
            mandatory=int(transport == "tls"),
            authority=(setup.login.authority if setup.login else None) or "",
            address=setup.address,
            contact=f"[{setup.address}]" if ":" in setup.address else setup.address,
            name=setup.name,
            rtp_first=setup.rtp_port,
            rtp_last=setup.rtp_port + 15,
        )
        for place, (codec, rate_hz, channels) in enumerate(LINPHONE_CODECS):
            enabled = int(codec.lower() in ({"pcma", "pcmu"} if setup.codec == "g711" else {setup.codec}))
            text += f"[audio_codec_{place}]\nmime={codec}\nrate={rate_hz}\nchannels={channels}\nenabled={enabled}\n"
        if setup.login is not None:
            login = setup.login
            host = f"[{login.host}]" if ":" in login.host else login.host
            server, password = f"{host}:{login.port}", login.password.reveal().decode()
            text += LINPHONERC_LOGIN.format(server=server, transport=transport, user=login.user, host=host, password=password, realm=self._realm or login.host)
        (self.directory / "linphonerc").write_text(text)
        home = str(self.directory)
        return {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": home, "XDG_DATA_HOME": f"{home}/.local/share", "XDG_CONFIG_HOME": f"{home}/.config"}


LINPHONEC_SENTENCES = {
    "registered, identity": {"": "registered"},
    "Registration on": {"failed": "unregistered"},
    "Receiving new incoming call": {"": "incoming"},
    "Call ": {" ringing.": "ringing", " ended (": "ended", " error.": "ended"},
    "Media streams established": {"": "connected"},
}
"""How a line begins, what it holds, what it means."""
LINPHONEC_TONE = "Receiving tone "


class Linphonec(_Linphone):
    """linphonec on a pipe: plays a WAV file and records one. The recording's header is wrong; tone.read_recording() copes."""

    def __init__(self, setup: PhoneSetup, directory: Path, *, realm: str | None = None) -> None:
        super().__init__(setup, directory, realm=realm)
        self.digits = ""

    def _launch(self) -> None:
        program = shutil.which("linphonec")
        if program is None:
            raise HostError("linphonec is not installed. On Debian: apt-get install linphone-cli")
        environment = self._prepare()
        self._spawn([program, "-c", str(self.directory / "linphonerc"), "-d", "0"], environment)
        self.wait_until(lambda: "linphonec>" in self.log_text(), "its prompt")
        for line in ("soundcard use files", f"play {self.setup.play}", f"record {self.directory / 'heard.wav'}"):
            self._tell(line)
        self.note("ready")

    def _tell(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
            time.sleep(0.1)  # linphonec reads one line per turn of its loop

    def _poll(self) -> None:
        if self.setup.login is not None and "registered" not in self.events and time.monotonic() >= self._next_question_s and self.running():
            self._next_question_s = time.monotonic() + 0.5
            self._tell("status register")
        for line in self._new_lines():
            text = line.removeprefix("linphonec> ")
            if text.startswith(LINPHONEC_TONE):
                self.digits += text.removeprefix(LINPHONEC_TONE)[:1]
                self.note("digit")
            for beginning, meanings in LINPHONEC_SENTENCES.items():
                if text.startswith(beginning):
                    for word, event in meanings.items():
                        if word in text:
                            self.note(event)

    def dial(self, uri: str) -> None:
        self._tell(f"call {uri}")

    def answer(self) -> None:
        self._tell("answer")

    def hang_up(self) -> None:
        self._tell("terminate")

    def hold(self) -> None:
        """Put the call on hold."""
        self._tell("pause")

    def resume(self) -> None:
        """Take the call off hold."""
        self._tell("resume")

    def press(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        self._tell(digits)

    def heard(self) -> Path | None:
        path = self.directory / "heard.wav"
        return path if path.exists() else None

    def _ask_to_end(self) -> None:
        if self.setup.login is not None:
            self._tell("unregister")  # it quits without waiting for that
            time.sleep(0.3)
        self._tell("quit")


LINPHONE_STATES = {
    "LinphoneCallIncomingReceived": "incoming",
    "LinphoneCallOutgoingRinging": "ringing",
    "LinphoneCallOutgoingEarlyMedia": "ringing",
    "LinphoneCallStreamsRunning": "connected",
    "LinphoneCallEnd": "ended",
    "LinphoneCallError": "ended",
    "LinphoneCallReleased": "ended",
}


class LinphoneDaemon(_Linphone):
    """linphone-daemon on its unix socket: plays into the call, cannot record; it has hold, messages and digits.

    It serves one client at a time, and drops one that connects while an event fires without having read the command: it is told again.
    """

    def __init__(self, setup: PhoneSetup, directory: Path, *, realm: str | None = None) -> None:
        super().__init__(setup, directory, realm=realm)
        self._pipe = f"voicebox-{id(self):x}-{time.monotonic_ns():x}"
        self._state = ""
        self._registered = False

    def _launch(self) -> None:
        program = shutil.which("linphone-daemon")
        if program is None:
            raise HostError("linphone-daemon is not installed. On Debian: apt-get install linphone-cli")
        environment = self._prepare()
        self._spawn([program, "--config", str(self.directory / "linphonerc"), "--pipe", self._pipe], environment)
        self.wait_until((Path("/tmp") / self._pipe).exists, "its socket")
        self.note("ready")

    def command(self, line: str, timeout_s: float = 0.6) -> str:
        """Give one command and return what the daemon says to it."""
        with self._lock:
            for _ in range(3):
                out = b""
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control, contextlib.suppress(OSError):
                    control.settimeout(timeout_s)
                    control.connect(f"/tmp/{self._pipe}")
                    control.sendall(line.encode() + b"\n")
                    while octets := control.recv(65536):
                        out += octets
                if out:
                    return out.decode("utf-8", "replace")
                time.sleep(0.1)
            return ""

    def _poll(self) -> None:
        for line in self._new_lines():
            self._note_state(LINPHONE_STATES.get(line.removeprefix("Event: "), "") if line.startswith("Event: ") else "")
        # A question takes the daemon's only connection for a while, so it is asked no more often than need be.
        if self.setup.login is not None and not self._registered and time.monotonic() >= self._next_question_s and self.running():
            self._next_question_s = time.monotonic() + 0.25
            self._registered = "RegistrationOk" in self.command("register-status ALL")
            if self._registered:
                self.note("registered")

    def _note_state(self, event: str) -> None:
        if event and event != self._state:
            self._state = event
            self.note(event)
            if event == "connected":
                self.command(f"incall-player-start {self.setup.play} 1")

    def dial(self, uri: str) -> None:
        self.command(f"call {uri}")

    def answer(self) -> None:
        self.command("answer")

    def hang_up(self) -> None:
        self.command("terminate")

    def hold(self) -> None:
        """Put the call on hold."""
        self.command("call-pause")

    def resume(self) -> None:
        """Take the call off hold."""
        self.command("call-resume")

    def press(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        for digit in digits:
            self.command(f"dtmf {digit}", 0.3)

    def heard(self) -> Path | None:
        return None

    def _ask_to_end(self) -> None:
        self.command("quit")

    def stop(self) -> None:
        super().stop()
        (Path("/tmp") / self._pipe).unlink(missing_ok=True)


PHONES: dict[str, type[PhoneDriver]] = {"baresip": Baresip, "linphonec": Linphonec, "pjsua2": BuiltinPhone}
"""Phones that play and record, by name: what a test over several phones is parametrised with."""
DRIVERS: dict[str, type[PhoneDriver]] = {**PHONES, "sipp": Sipp, "twinkle": Twinkle}
"""And one that hears nothing and follows a plan, and one that needs a sound card made for it."""


def installed(name: str) -> bool:
    """Return whether this machine has the phone."""
    if name == BROWSER:
        return find_browser() is not None
    if name == "pjsua2":
        return util.find_spec("pjsua2") is not None
    return shutil.which({"twinkle": "twinkle-console"}.get(name, name)) is not None


def free_port_block(count: int, address: str = "127.0.0.1") -> int:
    """Return the first, even, of `count` ports that are free for UDP and TCP at this moment."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(100):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            first = int(probe.getsockname()[1]) // 2 * 2 + 2
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        held.enter_context(socket.socket(family, kind)).bind((address, port))
            except (OSError, OverflowError):
                continue
            return first
    raise HostError("no free ports")


def make_phone(
    kind: str, name: str, tone_hz: int, codec: str, directory: Path, login: Login | None = None, ring_s: float | None = None, address: str = "127.0.0.1"
) -> PhoneDriver:
    """Return a phone of DRIVERS that plays its tone, on free ports; skips the test where it is not installed."""
    if not installed(kind):
        pytest.skip(f"{kind} is not installed")
    ports = free_port_block(20, address)
    play = write_tone(directory / f"{name}.wav", tone_hz, TONE_S, {"opus": 48_000, "g722": 16_000}.get(codec, 8_000))
    return DRIVERS[kind](PhoneSetup(name, login, address, ports, ports + 4, play, codec, ring_s), directory / name)


def recordings_of(phone: PhoneDriver) -> list[Path]:
    """Return all that a stopped phone recorded: some begin anew with each call, or each description."""
    if isinstance(phone, BuiltinPhone):
        return phone.recordings
    if isinstance(phone, Baresip):
        return list(phone.directory.glob("dump-*-dec.wav"))
    heard = phone.heard()
    return [] if heard is None else [heard]


def assert_heard(phone: PhoneDriver, theirs_hz: int, own_hz: int, seconds: float) -> None:
    """Assert that a stopped phone recorded the other side's tone for so long, and nothing of its own."""
    recording = phone.heard()
    assert recording is not None
    assert seconds_of_tone(recording, theirs_hz) >= seconds
    assert seconds_of_tone(recording, own_hz) == 0
