"""twinkle-console 1.10 as a phone, told what to do on a pipe. [io]

It wants a sound card: sound.c is one, compiled here, over ALSA's null device. It has no TLS, no SRTP but by ZRTP, and no IPv6.
"""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import wave
from pathlib import Path

from voicebox.demo.phones import PhoneDriver, PhoneSetup
from voicebox.errors import HostError

CODECS = {"pcma": "g711a", "pcmu": "g711u", "g711": "g711a,g711u"}
USER = """user_name={user}
user_domain={host}
user_display=twinkle
auth_name={user}
auth_pass={password}
outbound_proxy={host}:{port}
all_requests_to_proxy=yes
registrar={host}:{port}
register_at_startup=yes
registration_time=300
codecs={codecs}
ptime=20
dtmf_transport=rfc2833
sip_transport={transport}
sip_transport_udp_threshold=65535
hold_variant=rfc3264
ext_100rel=disabled
zrtp_enabled=no
speex_dsp_vad=no
speex_dsp_agc=no
speex_dsp_aec=no
speex_dsp_nrd=no
check_max_forwards=no
numerical_user_is_phone=no
mwi_sollicited=no
pres_publish_startup=no
compact_headers=no
"""
SYSTEM = """dev_ringtone=alsa:default
dev_speaker=alsa:default
dev_mic=alsa:default
alsa_play_period_size=128
alsa_capture_period_size=32
sip_udp_port={sip_port}
sip_port={sip_port}
rtp_port={rtp_port}
play_ringtone=no
play_ringback=no
log_max_size=5
log_show_sip=no
gui_auto_show_incoming=no
"""
SENTENCES = (
    (re.compile(r"(?<!de-)registration succeeded"), "registered"),
    (re.compile(r"registration failed"), "unregistered"),
    (re.compile(r"incoming call"), "incoming"),
    (re.compile(r"received 18[03]"), "ringing"),
    (re.compile(r"call established|far end answered call"), "connected"),
    (re.compile(r"far end (?:ended|cancelled|released)|call (?:ended|failed|rejected)"), "ended"),
)
DIGIT = re.compile(r"DTMF detected: *([0-9*#A-D])")
REFUSED = re.compile(r"^([3-6]\d\d) ")


class Twinkle(PhoneDriver):
    """One phone."""

    def __init__(self, setup: PhoneSetup, directory: Path) -> None:
        super().__init__(setup, directory)
        self.digits = ""

    def _launch(self) -> None:
        program, setup, login = shutil.which("twinkle-console"), self.setup, self.setup.login
        if program is None:
            raise HostError("twinkle is not installed. On Debian: apt-get install twinkle-console")
        assert login is not None
        home = self.directory / ".twinkle"
        home.mkdir(parents=True, exist_ok=True)
        password = login.password.reveal().decode()
        text = USER.format(user=login.user, host=login.host, port=login.port, password=password, codecs=CODECS[setup.codec], transport=login.transport)
        (home / "phone.cfg").write_text(text)
        (home / "twinkle.sys").write_text(SYSTEM.format(sip_port=setup.sip_port, rtp_port=setup.rtp_port))
        (self.directory / ".asoundrc").write_text("pcm.!default { type null }\n")
        environment = {**self._sound_card(), "HOME": str(self.directory), "LANG": "C.UTF-8"}
        self._spawn([program, "phone.cfg"], environment)
        self.note("ready")

    def _sound_card(self) -> dict[str, str]:
        with wave.open(str(self.setup.play)) as tone:
            samples = memoryview(tone.readframes(8_000)).cast("h")
        crossings = sum(before < 0 <= after for before, after in itertools.pairwise(samples))
        library = self.directory / "sound.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(Path(__file__).with_name("sound.c")), "-lm"], check=True)
        return {"LD_PRELOAD": str(library), "VOICEBOX_TONE_HZ": str(crossings), "VOICEBOX_HEARD": str(self.directory / "heard.raw")}

    def _poll(self) -> None:
        for line in self._new_lines():
            text = line.removeprefix("Twinkle> ").strip()
            if found := DIGIT.search(text):
                self.digits += found[1]
                self.note("digit")
            if (refused := REFUSED.match(text)) is not None:
                self.status = int(refused[1])
            for pattern, event in SENTENCES:
                if pattern.search(text):
                    self.note(event)
                    break

    def _tell(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def dial(self, uri: str) -> None:
        self.status = 0
        self._tell(f"call {uri}")

    def answer(self) -> None:
        self._tell("answer")

    def hang_up(self) -> None:
        self._tell("reject" if self.events[-1:] == ["incoming"] else "bye")

    def hold(self) -> None:
        """Put the call on hold."""
        self._tell("hold")

    def resume(self) -> None:
        """Take the call off hold."""
        self._tell("retrieve")

    def press(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        self._tell(f"dtmf {digits}")

    def heard(self) -> Path | None:
        """Return the recording, as a WAV file."""
        raw, path = self.directory / "heard.raw", self.directory / "heard.wav"
        if not raw.exists():
            return None
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8_000, 0, "NONE", ""))
            file.writeframes(raw.read_bytes())
        return path

    def _ask_to_end(self) -> None:
        self._tell("quit")
