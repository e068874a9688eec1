"""The built-in softphone: pjsua2 with a null sound device, in a process of its own. [io]

It plays a WAV file to whoever it talks to and records what it hears; it speaks G.711 only (the wheel has no Opus). It holds no
key of the box and imports nothing of it. The only importer of pjsua2. NOT here: the command line (arguments.py), the
format of commands and events (control.py).

Everything of pjsua2 runs in the main thread (threadCnt 0, mainThreadOnly): no callback ever comes from a foreign thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
import wave
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

try:
    import pjsua2 as pj
except ImportError as missing:
    from voicebox.errors import HostError

    raise HostError("the built-in softphone needs pjsua2. Install it with `pip install voicebox[softphone]`, or use any other softphone") from missing

from voicebox.config.account import PhoneAccount
from voicebox.errors import UsageError, VoiceboxError
from voicebox.softphone.control import Command, LineBuffer, Verb, parse_command

CLOCK_RATE_HZ = 8000
EVENT_WAIT_MS = 10
SHUTDOWN_ROUNDS = 50
MAX_CALLS = 4
MAX_WAITING_COMMANDS = 64
REGISTRATION_S = 300
REGISTRATION_RETRY_S = 15

Listener = Callable[..., None]


@dataclass(frozen=True, slots=True)
class PhoneOptions:
    """How the phone behaves. account None: no box, calls go straight to the dialled address.

    listen, port: where it listens (port 0: any); ring_s: how long it rings before it answers by itself, None: never.
    codecs: names of pjsua2 in order of preference; trace: file for pjsua2's own log, which holds names and addresses.
    authority: for transport tls: the certificate by which the box is known (PEM); sound is SRTP then, and nothing else.
    """

    account: PhoneAccount | None
    name: str
    listen: str = ""
    port: int = 0
    transport: str = "udp"
    rtp_port: int = 0
    codecs: tuple[str, ...] = ("PCMA/8000/1", "PCMU/8000/1")
    play: Path | None = None
    record: Path | None = None
    ring_s: float | None = None
    trace: Path | None = None
    authority: Path | None = None


def check_wav(path: Path) -> None:
    """Raise UsageError unless `path` is a WAV file of 16-bit samples at 8 000 Hz, mono, which is what pjsua2 plays here without a change."""
    try:
        with wave.open(str(path), "rb") as file:
            shape = (file.getsampwidth(), file.getnchannels(), file.getframerate())
    except (OSError, EOFError, wave.Error):
        raise UsageError(f"{path} is not a WAV file that can be played") from None
    if shape != (2, 1, CLOCK_RATE_HZ):
        raise UsageError(f"{path} must have 16-bit samples, one channel and 8000 Hz")


class _Call(pj.Call):  # type: ignore[misc]  # pjsua2 is published without types
    """One call. Lives until pjsua2 has said DISCONNECTED: dropping it earlier ends the process."""

    def __init__(self, phone: SoftPhone, call_id: int = -1) -> None:
        super().__init__(phone.sip_account, call_id)
        self._phone = phone
        self._player: pj.AudioMediaPlayer | None = None
        self._recorder: pj.AudioMediaRecorder | None = None
        self._record_path = ""
        self.answer_at: float | None = None
        self.ended = False
        self.connected = False

    def onCallState(self, _parameters: object) -> None:  # noqa: N802 - pjsua2 calls it by this name
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CALLING:
            self._phone.tell("calling")
        elif info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self._phone.tell("early" if info.lastStatusCode == pj.PJSIP_SC_PROGRESS else "ringing")
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.connected = True
            self._phone.tell("connected")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED and not self.ended:
            self.ended = True
            self._stop_sound()
            self._phone.tell("ended", status=int(info.lastStatusCode))

    def onCallMediaState(self, _parameters: object) -> None:  # noqa: N802 - pjsua2 calls it by this name
        try:
            self._follow_media()
        except pj.Error as error:
            # pjsua2 swallows what a callback raises; a phone without sound must say so.
            self._phone.tell("problem", why=f"no sound ({error.reason})")

    def _follow_media(self) -> None:
        info = self.getInfo()  # kept: its list of media dies with it
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                self._start_sound(index)
            elif media.status in {pj.PJSUA_CALL_MEDIA_LOCAL_HOLD, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD}:
                self._phone.tell("held")

    def onDtmfDigit(self, parameters: pj.OnDtmfDigitParam) -> None:  # noqa: N802 - pjsua2 calls it by this name
        self._phone.tell("digit", digit=str(parameters.digit)[:1])

    def _start_sound(self, index: int) -> None:
        sound = self.getAudioMedia(index)
        options = self._phone.options
        if options.play is not None:
            if self._player is None:
                self._player = pj.AudioMediaPlayer()
                self._player.createPlayer(str(options.play))
            self._player.startTransmit(sound)
        if options.record is not None:
            if self._recorder is None:
                self._record_path = str(self._phone.next_recording(options.record))
                self._recorder = pj.AudioMediaRecorder()
                self._recorder.createRecorder(self._record_path)
            sound.startTransmit(self._recorder)
        stream = self.getStreamInfo(index)
        self._phone.tell("media", codec=str(stream.codecName).lower(), clock_rate_hz=int(stream.codecClockRate))

    def _stop_sound(self) -> None:
        # The header of the recording is written when the recorder is destroyed, which is now.
        self._player = None
        if self._recorder is not None:
            self._recorder = None
            self._phone.tell("recorded", file=self._record_path)


class _SipAccount(pj.Account):  # type: ignore[misc]  # pjsua2 is published without types
    """The phone's side of its registration."""

    def __init__(self, phone: SoftPhone) -> None:
        super().__init__()
        self._phone = phone

    def onRegState(self, parameters: pj.OnRegStateParam) -> None:  # noqa: N802 - pjsua2 calls it by this name
        if parameters.code == pj.PJSIP_SC_OK and parameters.expiration:
            self._phone.tell("registered", expires_s=int(parameters.expiration))
        elif parameters.code != pj.PJSIP_SC_OK:
            self._phone.tell("unregistered", status=int(parameters.code))

    def onIncomingCall(self, parameters: pj.OnIncomingCallParam) -> None:  # noqa: N802 - pjsua2 calls it by this name
        self._phone.take_incoming(parameters.callId)


class SoftPhone:
    """One phone. Call open(), then turn() for as long as it shall live, then close(); commands go through obey().

    listener(event, **fields) hears the events of control.EVENTS. Only one per process: pjsua2 has one endpoint.
    """

    def __init__(self, options: PhoneOptions, listener: Listener) -> None:
        if options.play is not None:
            check_wav(options.play)
        self.options = options
        self._listener = listener
        self._calls: list[_Call] = []
        self._recordings = 0
        self.sip_account: _SipAccount | None = None
        self._endpoint = pj.Endpoint()

    def tell(self, event: str, **fields: str | float) -> None:
        """Pass an event on."""
        self._listener(event, **fields)

    def next_recording(self, path: Path) -> Path:
        """Return where the next call is recorded: the path itself, then with -2, -3 and so on before its suffix."""
        self._recordings += 1
        return path if self._recordings == 1 else path.with_name(f"{path.stem}-{self._recordings}{path.suffix}")

    def open(self) -> None:
        """Start listening and, with an account, registering. Raises UsageError where an address or port cannot be used."""
        with _stdout_silenced():
            # Up to libInit, which takes the level of its log, the library prints what it likes.
            self._endpoint.libCreate()
        self._endpoint.libInit(self._endpoint_config())
        transport = pj.TransportConfig()
        transport.port = self.options.port
        transport.boundAddress = self.options.listen
        kinds = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
        if self.options.authority is not None:
            transport.tlsConfig.CaListFile = str(self.options.authority)
            transport.tlsConfig.verifyServer = True
        try:
            transport_id = self._endpoint.transportCreate(kinds[self.options.transport], transport)
        except pj.Error:
            raise UsageError("the phone cannot listen on that address and port; choose another with --listen") from None
        self._endpoint.libStart()
        self._endpoint.audDevManager().setNullDev()
        for codec in self._endpoint.codecEnum2():
            self._endpoint.codecSetPriority(codec.codecId, 0)
        for place, name in enumerate(self.options.codecs):
            self._endpoint.codecSetPriority(name, 250 - place)
        self.sip_account = _SipAccount(self)
        self.sip_account.create(self._account_config(transport_id))
        self.tell("ready")

    def _endpoint_config(self) -> pj.EpConfig:
        config = pj.EpConfig()
        config.logConfig.level = config.logConfig.consoleLevel = 0
        if self.options.trace is not None:
            config.logConfig.level = 5
            config.logConfig.filename = str(self.options.trace)
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = "voicebox-phone"
        config.uaConfig.maxCalls = MAX_CALLS
        # Silence is sent like speech, nothing is resampled, and there is no room whose echo would have to be cancelled.
        config.medConfig.noVad = True
        config.medConfig.ecTailLen = 0
        config.medConfig.clockRate = config.medConfig.sndClockRate = CLOCK_RATE_HZ
        return config

    def _account_config(self, transport_id: int) -> pj.AccountConfig:
        config = pj.AccountConfig()
        account = self.options.account
        if account is None:
            config.idUri = f"sip:{self.options.name}@{self.options.listen or '127.0.0.1'}"
        else:
            host = f"[{account.host}]" if ":" in account.host else account.host
            server = f"sip:{host}:{account.port};transport={account.transport}"
            config.idUri = f"sip:{account.user}@{host}"
            config.regConfig.registrarUri = server
            config.regConfig.timeoutSec = REGISTRATION_S
            config.regConfig.retryIntervalSec = config.regConfig.firstRetryIntervalSec = REGISTRATION_RETRY_S
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", account.user, 0, account.password.reveal().decode()))
            # As outbound proxy, so that sip:NAME.privacy goes to the box and no name is looked up.
            config.sipConfig.proxies.append(f"{server};lr")
        config.sipConfig.transportId = transport_id
        if self.options.transport == "tls":
            config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_MANDATORY
            config.mediaConfig.srtpSecureSignaling = 1  # the hop to the box, which is all there is of SIP
        config.mediaConfig.transportConfig.port = self.options.rtp_port
        if self.options.rtp_port:
            config.mediaConfig.transportConfig.portRange = 2 * MAX_CALLS
        config.mediaConfig.transportConfig.boundAddress = self.options.listen
        return config

    def take_incoming(self, call_id: int) -> None:
        """Ring, and answer when ring_s is over."""
        call = _Call(self, call_id)
        self._calls.append(call)
        self._answer(call, pj.PJSIP_SC_RINGING)
        self.tell("incoming")
        if self.options.ring_s is not None:
            call.answer_at = time.monotonic() + self.options.ring_s

    @staticmethod
    def _answer(call: _Call, status: int) -> None:
        parameters = pj.CallOpParam(True)
        parameters.statusCode = status
        call.answer(parameters)

    def turn(self) -> None:
        """Let pjsua2 work for at most EVENT_WAIT_MS, then do what is due."""
        self._endpoint.libHandleEvents(EVENT_WAIT_MS)
        now = time.monotonic()
        for call in self._calls:
            if call.answer_at is not None and now >= call.answer_at and not call.ended:
                call.answer_at = None
                self._answer(call, pj.PJSIP_SC_OK)
        self._calls = [call for call in self._calls if not call.ended]

    def obey(self, command: Command) -> bool:
        """Carry a command out; return false when it was `quit`. Raises UsageError where it makes no sense now."""
        try:
            return self._obey(command)
        except pj.Error:
            raise UsageError("the phone could not do that now") from None

    def _obey(self, command: Command) -> bool:
        if command.verb is Verb.QUIT:
            return False
        if command.verb is Verb.DIAL:
            if len(self._calls) >= MAX_CALLS:
                raise UsageError("the phone has no line left")
            call = _Call(self)
            call.makeCall(command.argument, pj.CallOpParam(True))
            self._calls.append(call)
            return True
        if not self._calls:
            raise UsageError("there is no call")
        self._obey_in_call(command, self._calls[-1])
        return True

    def _obey_in_call(self, command: Command, call: _Call) -> None:
        parameters = pj.CallOpParam(True)
        if command.verb is Verb.ANSWER:
            call.answer_at = None
            self._answer(call, pj.PJSIP_SC_OK)
        elif command.verb is Verb.DECLINE:
            self._answer(call, command.status)
        elif command.verb is Verb.HANG_UP:
            call.hangup(parameters)
        elif command.verb is Verb.HOLD:
            call.setHold(parameters)
        elif command.verb is Verb.RESUME:
            parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
            call.reinvite(parameters)
        elif command.verb is Verb.DIGITS:
            call.dialDtmf(command.argument)

    def close(self) -> None:
        """Hang up, leave the box, and wait at most half a second for both."""
        with contextlib.suppress(pj.Error):
            self._endpoint.hangupAllCalls()
        if self.sip_account is not None and self.options.account is not None:
            with contextlib.suppress(pj.Error):  # it never was registered
                self.sip_account.setRegistration(False)
        for _ in range(SHUTDOWN_ROUNDS):
            self.turn()
        self._calls.clear()
        if self.sip_account is not None:
            self.sip_account.shutdown()
        self._endpoint.libDestroy()


@contextlib.contextmanager
def _stdout_silenced() -> Iterator[None]:
    """Send what the library prints nowhere, also what still waits in the C library's buffer, which a pipe fills only at the end."""
    c_library = ctypes.CDLL(None)
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        c_library.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class _Input:
    """Commands from standard input, read without ever waiting."""

    def __init__(self) -> None:
        self._lines = LineBuffer()
        self._descriptor = sys.stdin.fileno()
        self.ended = False

    def read(self) -> list[bytes]:
        if self.ended or not select.select([self._descriptor], [], [], 0)[0]:
            return []
        octets = os.read(self._descriptor, 1 << 14)
        self.ended = not octets
        return self._lines.receive(octets)


def run_phone(options: PhoneOptions, listener: Listener, first: Command | None, *, control: bool, stop_when: Callable[[float], bool]) -> None:
    """Run a phone until it is told to stop: by SIGTERM, SIGINT, `quit`, the end of standard input (with control), or stop_when(now).

    first: carried out once the phone is registered, or at once without an account.
    """
    stopping = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    waiting: deque[Command] = deque(maxlen=MAX_WAITING_COMMANDS)
    registered = options.account is None

    def hear(event: str, **fields: str | float) -> None:
        nonlocal registered, first
        listener(event, **fields)
        registered = registered or event == "registered"
        if registered and first is not None and event in {"ready", "registered"}:
            waiting.append(first)
            first = None

    phone = SoftPhone(options, hear)
    phone.open()
    source = _Input() if control else None
    try:
        while not stopping and not stop_when(time.monotonic()):
            phone.turn()
            _read_commands(source, waiting, phone)
            while waiting and not stopping:
                try:
                    stopping = not phone.obey(waiting.popleft())
                except UsageError as error:
                    phone.tell("problem", why=str(error))
            if source is not None and source.ended:
                break
    finally:
        phone.close()


def _read_commands(source: _Input | None, waiting: deque[Command], phone: SoftPhone) -> None:
    for line in source.read() if source else ():
        try:
            waiting.append(parse_command(line))
        except VoiceboxError as error:
            phone.tell("problem", why=str(error))
