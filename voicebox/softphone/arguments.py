"""The command line of the built-in softphone: its arguments, what it prints, its exit code. [io]

NOT here: the phone itself (phone.py), which is imported only when one is really started.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from voicebox.config.account import AUTHORITY_FILE, TRANSPORTS, PhoneAccount, account_path, load_account, parse_server
from voicebox.errors import UsageError
from voicebox.sensitive import Secret
from voicebox.softphone.control import Command, Verb, serialise_event, sip_uri

if TYPE_CHECKING:
    from voicebox.softphone.phone import PhoneOptions

EXIT_DONE, EXIT_NO_CALL = 0, 1
MAX_PASSWORD_OCTETS = 255
CODECS = {"pcma": ("PCMA/8000/1", "PCMU/8000/1"), "pcmu": ("PCMU/8000/1", "PCMA/8000/1")}
SENTENCES = {
    "ready": "listening",
    "registered": "registered at the box",
    "incoming": "a call is coming in",
    "calling": "calling",
    "ringing": "it rings",
    "early": "early sound",
    "connected": "connected",
    "held": "on hold",
}
REFUSALS = {
    401: "the box did not take this user and password",
    403: "the box did not take this user and password",
    408: "the box does not answer",
    503: "the box cannot be reached",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox phone run`."""
    parser.add_argument("name", metavar="NAME", help="the phone's name, as given to `voicebox phone add`")
    parser.add_argument("--home", type=Path, metavar="DIR", help="the box's directory, to read the phone's account from")
    parser.add_argument("--account", type=Path, metavar="FILE", help="the phone's account file itself")
    parser.add_argument("--server", metavar="HOST:PORT", help="the box, where there is no account file")
    parser.add_argument("--user", help="the user at the box (default: NAME)")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="a file whose first line is the password")
    parser.add_argument("--transport", choices=TRANSPORTS, help="how to reach the box (default: as in the account, else udp)")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the certificate by which the box is known over TLS (default: beside the account file)")
    parser.add_argument("--direct", action="store_true", help="no box: dial other phones by their address")
    parser.add_argument("--listen", default="", metavar="ADDRESS[:PORT]", help="where to listen (default: everywhere, any port)")
    parser.add_argument("--rtp-port", type=int, default=0, metavar="PORT", help="the first port for sound (default: 4000 and up)")
    parser.add_argument("--codec", choices=sorted(CODECS), default="pcma", help="the codec preferred; the built-in phone has G.711 only")
    parser.add_argument("--dial", metavar="URI", help="call this address, for example sip:bob.privacy")
    parser.add_argument("--play", type=Path, metavar="WAV", help="play this to the other side, again and again (8000 Hz, mono, 16 bit)")
    parser.add_argument("--record", type=Path, metavar="WAV", help="record what is heard")
    parser.add_argument("--seconds", type=float, metavar="N", help="hang up after so many seconds of call")
    parser.add_argument("--auto-answer", nargs="?", type=float, const=0.0, default=None, metavar="S", help="answer by itself, after S seconds of ringing")
    parser.add_argument("--control", action="store_true", help="take commands on standard input and print events, as JSON lines")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write pjsua2's log to FILE; IT HOLDS NAMES AND ADDRESSES")


def run(args: argparse.Namespace) -> int:
    """Run the phone as asked; return the exit code. Raises UsageError, FileProblem, HostError."""
    options_of = _options(args)
    first = Command(Verb.DIAL, sip_uri(args.dial)) if args.dial else None
    from voicebox.softphone.phone import run_phone  # noqa: PLC0415 - pjsua2 is an extra, and must not be loaded by the command line as such

    outcome = _Outcome(control=args.control, dialling=first is not None, seconds=args.seconds)
    run_phone(options_of(), outcome.hear, first, control=args.control, stop_when=outcome.over)
    return outcome.exit_code


def _options(args: argparse.Namespace) -> Callable[[], PhoneOptions]:
    account = None if args.direct else _account(args)
    if account is not None and account.keying == "dtls":
        raise UsageError("the built-in phone does not know DTLS-SRTP; make its account with --keying sdes")
    listen, port = (parse_server(args.listen) if ":" in args.listen else (args.listen, 0)) if args.listen else ("", 0)
    transport = args.transport or (account.transport if account else "udp")
    authority = (args.ca or _authority_file(args)) if transport == "tls" else None
    if not 0 <= args.rtp_port < 65000 or args.rtp_port % 2:
        raise UsageError("--rtp-port must be an even port below 65000")
    for seconds in (args.seconds, args.auto_answer):
        if seconds is not None and not 0 <= seconds <= 86400:
            raise UsageError("a time is 0 to 86400 seconds")

    def build() -> PhoneOptions:
        from voicebox.softphone.phone import PhoneOptions  # noqa: PLC0415 - as in run()

        return PhoneOptions(
            account, args.name, listen, port, transport, args.rtp_port, CODECS[args.codec], args.play, args.record, args.auto_answer, args.trace, authority
        )

    return build


def _authority_file(args: argparse.Namespace) -> Path:
    if args.server or args.direct:
        raise UsageError("over TLS a phone needs to know its box: --ca FILE, as `voicebox phone ca FILE` writes it")
    path = _account_file(args).with_name(AUTHORITY_FILE)
    if not path.is_file():
        raise UsageError("the box's certificate is not beside the account; write it with `voicebox phone ca FILE`, and give it with --ca FILE")
    return path


def _account(args: argparse.Namespace) -> PhoneAccount:
    if args.server:
        if not args.password_file:
            raise UsageError("--server needs --password-file: a password on a command line can be read by everybody on the machine")
        host, port = parse_server(args.server)
        try:
            with args.password_file.open("rb") as file:
                password = file.readline(MAX_PASSWORD_OCTETS + 1).strip()
        except OSError as error:
            raise UsageError(f"{args.password_file} cannot be read ({error.strerror})") from None
        if not 0 < len(password) <= MAX_PASSWORD_OCTETS:
            raise UsageError(f"{args.password_file} holds no password in its first line")
        return PhoneAccount(host, port, args.user or args.name, Secret(password), args.transport or "udp")
    return load_account(_account_file(args))


def _account_file(args: argparse.Namespace) -> Path:
    if args.account:
        return Path(args.account)
    home = args.home or (Path(os.environ["VOICEBOX_HOME"]) if "VOICEBOX_HOME" in os.environ else None)
    if home is None:
        raise UsageError("say which box: --home DIR, --account FILE, or --server HOST:PORT with --password-file FILE")
    return account_path(home, args.name)


class _Outcome:
    """Prints events and knows when a phone that was started for one call is done."""

    def __init__(self, *, control: bool, dialling: bool, seconds: float | None) -> None:
        self._control, self._dialling, self._seconds = control, dialling, seconds
        self._connected_at: float | None = None
        self._answered = self._over = False

    def hear(self, event: str, **fields: str | float) -> None:
        """Print an event and remember what it means for the end."""
        if event == "connected":
            self._connected_at, self._answered = time.monotonic(), True
        elif event == "ended" and not self._control:
            self._over = self._dialling or self._seconds is not None
        elif event == "unregistered" and self._dialling and not self._control and not self._answered:
            self._over = True
        print(serialise_event(event, **fields) if self._control else self._sentence(event, fields), flush=True)

    @staticmethod
    def _sentence(event: str, fields: dict[str, str | float]) -> str:
        if event == "media":
            return f"sound flows, {fields['codec']} at {fields['clock_rate_hz']} Hz"
        if event == "ended":
            return f"the call is over (SIP {fields['status']})"
        if event == "unregistered":
            return REFUSALS.get(int(fields["status"]), "the box did not take the registration") + f" (SIP {fields['status']})"
        if event == "digit":
            return f"key {fields['digit']}"
        if event == "recorded":
            return f"recorded in {fields['file']}"
        return SENTENCES.get(event) or str(fields.get("why", event))

    def over(self, now: float) -> bool:
        """Return whether the phone has done what it was started for."""
        return self._over or (self._seconds is not None and self._connected_at is not None and now - self._connected_at >= self._seconds)

    @property
    def exit_code(self) -> int:
        """EXIT_NO_CALL where a call was asked for and nobody answered."""
        return EXIT_NO_CALL if self._dialling and not self._answered and not self._control else EXIT_DONE
