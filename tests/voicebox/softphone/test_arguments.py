"""The built-in softphone as a process: what it refuses, how it says so, what it loads."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from importlib import util
from pathlib import Path

import pytest

from voicebox.config.account import PhoneAccount, account_path, serialise_account
from voicebox.sensitive import Secret

ROOT = Path(__file__).resolve().parents[3]
needs_pjsua2 = pytest.mark.skipif(util.find_spec("pjsua2") is None, reason="the extra `softphone` is not installed")


def phone(*arguments: str, said: str = "", before: str = "pass") -> subprocess.CompletedProcess[str]:
    """Run the phone as its own process; before: what Python does first."""
    program = f"import sys; {before}; sys.argv[0] = 'phone'; from voicebox.softphone.__main__ import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, input=said, capture_output=True, text=True, timeout=60, check=False)


def test_an_account_for_dtls_is_not_for_it(tmp_path: Path) -> None:
    account = tmp_path / "account.yaml"
    account.write_text(serialise_account(PhoneAccount("127.0.0.1", 5060, "desk", Secret(b"x"), "udp", "dtls")))
    done = phone("desk", "--account", str(account))
    assert done.returncode == 2
    assert "--keying sdes" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--home DIR"),
        (["--server", "127.0.0.1"], "--password-file"),
        (["--server", "127.0.0.1:0", "--password-file", "/dev/null"], "HOST:PORT"),
        (["--server", "127.0.0.1", "--password-file", "/none"], "cannot be read"),
        (["--server", "127.0.0.1", "--password-file", "/dev/null"], "no password"),
        (["--home", "/none"], "/none/phones/kitchen.yaml"),
        (["--direct", "--rtp-port", "7"], "--rtp-port"),
        (["--direct", "--seconds", "-1"], "seconds"),
        (["--direct", "--dial", "a b"], "cannot be dialled"),
        (["--direct", "--listen", "x:y"], "HOST:PORT"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEBOX_HOME", raising=False)
    done = phone("kitchen", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("voicebox: ")


def test_without_pjsua2_it_says_what_to_install() -> None:
    done = phone("kitchen", "--direct", before="sys.modules['pjsua2'] = None")
    assert done.returncode == 2
    assert "pip install voicebox[softphone]" in done.stderr
    assert "Traceback" not in done.stderr


@needs_pjsua2
def test_a_sound_it_cannot_play_is_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
    for name, words in (("stereo.wav", "one channel"), ("none.wav", "not a WAV file")):
        done = phone("kitchen", "--direct", "--play", str(tmp_path / name))
        assert done.returncode == 2
        assert words in done.stderr


@needs_pjsua2
def test_it_loads_nothing_of_the_box(tmp_path: Path) -> None:
    check = "import atexit; atexit.register(lambda: print(sorted(m for m in sys.modules if m.startswith('voicebox.')), file=sys.stderr))"
    done = phone("kitchen", "--direct", "--listen", "127.0.0.1", "--control", said='{"command":"quit"}\n', before=check)
    assert done.returncode == 0
    loaded = set(json.loads(done.stderr.replace("'", '"'))) - {"voicebox.config", "voicebox.config.account"}  # its account is what it shares with the box
    assert all(name.split(".")[1] in {"softphone", "errors", "sensitive"} for name in loaded)


@needs_pjsua2
def test_under_control_it_prints_events_and_nothing_else_and_survives_bad_lines() -> None:
    lines = ["", "nonsense", '{"command":"hang_up"}', '{"command":"dial","uri":"sip:<>"}', "x" * 10_000, '{"command":"quit"}']
    done = phone("kitchen", "--direct", "--listen", "127.0.0.1", "--control", said="\n".join(lines) + "\n")
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["ready", "problem", "problem", "problem", "problem"]
    # Commands are carried out after all lines that came with them were read.
    assert {"the line is not JSON", "this cannot be dialled; give a SIP address such as sip:bob.privacy", "the line is too long", "there is no call"} == {
        event["why"] for event in events[1:]
    }


@needs_pjsua2
def test_a_box_that_is_not_there_ends_a_call_with_its_own_exit_code(tmp_path: Path) -> None:
    """The account comes from a box's directory; port 9 has no box, and ICMP says so at once over TCP."""
    path = account_path(tmp_path, "kitchen")
    path.parent.mkdir()
    path.write_text(serialise_account(PhoneAccount("127.0.0.1", 9, "kitchen", Secret(b"secret-word"), "tcp")))
    done = phone("kitchen", "--home", str(tmp_path), "--listen", "127.0.0.1", "--dial", "bob.privacy")
    assert done.returncode == 1
    assert "the box" in done.stdout
    assert "secret-word" not in done.stdout + done.stderr
