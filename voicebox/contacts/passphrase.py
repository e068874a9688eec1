"""Where a passphrase comes from: a file, or somebody who types it. [io] Never an argument or a variable: others can read those.

For a service: `LoadCredential=voicebox-passphrase:FILE` in its systemd unit, or VOICEBOX_PASSPHRASE_FILE, which names a file.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

FILE_VARIABLE = "VOICEBOX_PASSPHRASE_FILE"
CREDENTIAL = "voicebox-passphrase"
MAX_OCTETS = 4096


def passphrase_in(path: Path) -> Secret:
    """Return the first line of a file. Raises FileProblem."""
    try:
        with path.open("rb") as file:
            line = file.readline(MAX_OCTETS).removesuffix(b"\n").removesuffix(b"\r")
        line.decode("utf-8")
    except OSError as error:
        raise FileProblem(str(path), 0, f"the passphrase cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise FileProblem(str(path), 1, "the passphrase is not UTF-8 text") from None
    return Secret(line)


def typed_passphrase(prompt: str, *, twice: bool = False) -> Secret:
    """Ask for a passphrase. twice: it is a new one. Raises UsageError where nobody can be asked, or the two differ."""
    if not sys.stdin.isatty():
        raise UsageError("There is nobody to ask for the passphrase. Give it with --passphrase-file FILE.")
    typed = getpass.getpass(prompt)
    if twice and getpass.getpass("The same again: ") != typed:
        raise UsageError("These were two different passphrases.")
    return Secret(typed.encode("utf-8", "surrogateescape"))


def passphrase_of_directory(home: Path) -> Secret:
    """Return the passphrase of a sealed directory, from where the machine's administrator put it, else from whoever types it. Raises UsageError, FileProblem."""
    if (named := os.environ.get(FILE_VARIABLE)) is not None:
        return passphrase_in(Path(named))
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / CREDENTIAL
    if credential.is_file():
        return passphrase_in(credential)
    if not sys.stdin.isatty():
        raise UsageError(f"{home} is sealed. Name a file with its passphrase in {FILE_VARIABLE}, or as the credential {CREDENTIAL} of a systemd unit.")
    return typed_passphrase(f"Passphrase of {home}: ")
