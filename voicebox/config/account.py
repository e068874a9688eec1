"""The account of one phone at its box: what `voicebox phone add` writes and any softphone needs. Pure, apart from load_account [io].

A YAML file of four or five lines: server (HOST:PORT), user, password, transport (udp, tcp or tls), keying (sdes or dtls). It holds no key of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

TRANSPORTS = ("udp", "tcp", "tls")
KEYINGS = ("sdes", "dtls")
"""How the keys of its sound are agreed on: in SDP, or by DTLS-SRTP."""
MAX_ACCOUNT_OCTETS = 4096
AUTHORITY_FILE = "box.crt"
"""Beside the account: the certificate by which a phone knows its box over TLS."""
MAX_FIELD_CHARACTERS = 255
_HINT = "Make it anew with `voicebox phone add`."


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """host, port: where the box listens for phones; transport: one of TRANSPORTS; keying: one of KEYINGS."""

    host: str
    port: int
    user: str
    password: Secret
    transport: str = "udp"
    keying: str = "sdes"


def parse_server(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[V6]:PORT` or `HOST` (port 5060). Raises UsageError."""
    host, port_text = text, "5060"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port_text = rest[1:] if rest.startswith(":") else (rest or "5060")
    elif text.count(":") == 1:
        host, _, port_text = text.partition(":")
    if not host or len(host) > MAX_FIELD_CHARACTERS or not port_text.isascii() or not port_text.isdigit() or not 0 < int(port_text[:6]) < 1 << 16:
        raise UsageError("the server must be HOST:PORT, for example 192.168.1.10:5060")
    return host, int(port_text)


def parse_account(text: str, path: str) -> PhoneAccount:
    """Return the account in a file's text. Raises FileProblem (with `path`) where something is missing or unknown."""
    try:
        fields = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes strings, lists and dictionaries only; SafeLoader would turn 012 into 10
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise FileProblem(path, mark.line + 1 if mark else 0, "not YAML", _HINT) from None
    known = {"server", "user", "password", "transport", "keying"}
    if not isinstance(fields, dict) or not all(isinstance(value, str) and 0 < len(value) <= MAX_FIELD_CHARACTERS for value in fields.values()):
        raise FileProblem(path, 0, "must hold `server`, `user` and `password`, one word each", _HINT)
    for name in fields:
        if name not in known:
            raise FileProblem(path, _line_of(text, name), "holds something that is no part of a phone's account", _HINT)
    for name in ("server", "user", "password"):
        if name not in fields:
            raise FileProblem(path, 0, f"`{name}` is missing", _HINT)
    if fields.get("transport", "udp") not in TRANSPORTS:
        raise FileProblem(path, _line_of(text, "transport"), "`transport` must be udp, tcp or tls")
    if fields.get("keying", "sdes") not in KEYINGS:
        raise FileProblem(path, _line_of(text, "keying"), "`keying` must be sdes or dtls")
    try:
        host, port = parse_server(fields["server"])
    except UsageError as error:
        raise FileProblem(path, _line_of(text, "server"), str(error)) from None
    return PhoneAccount(host, port, fields["user"], Secret(fields["password"].encode()), fields.get("transport", "udp"), fields.get("keying", "sdes"))


def _line_of(text: str, name: object) -> int:
    return next((number for number, line in enumerate(text.splitlines(), 1) if line.lstrip("{\"' ").startswith(str(name))), 0)


def serialise_account(account: PhoneAccount) -> str:
    """Return the file's text; parse_account reads it back."""
    host = f"[{account.host}]" if ":" in account.host else account.host
    fields = {"server": f"{host}:{account.port}", "user": account.user, "password": account.password.reveal().decode(), "transport": account.transport}
    if account.keying != "sdes":
        fields["keying"] = account.keying
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def account_path(home: Path, name: str) -> Path:
    """Return where the account of phone `name` lies under a box's home. Raises UsageError where `name` is no plain word."""
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name) or len(name) > 64:
        raise UsageError("a phone's name is made of letters, digits, - and _")
    return home / "phones" / f"{name}.yaml"


def load_account(path: Path) -> PhoneAccount:
    """Read an account file. Raises FileProblem."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_ACCOUNT_OCTETS + 1)
        text = octets.decode()
    except OSError as error:
        raise FileProblem(str(path), 0, f"cannot be read ({error.strerror})", "Give the account with --account, or the box's directory with --home.") from None
    except UnicodeDecodeError:
        raise FileProblem(str(path), 0, "not text", _HINT) from None
    if len(octets) > MAX_ACCOUNT_OCTETS:
        raise FileProblem(str(path), 0, "too long for a phone's account", _HINT)
    return parse_account(text, str(path))
