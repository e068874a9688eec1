"""Where calls to ordinary numbers go: the trunk of box.yaml, with what its files hold. [io]"""

from __future__ import annotations

from pathlib import Path

from voicebox.b2bua.server import TrunkPlace
from voicebox.b2bua.trunk import TrunkAccount
from voicebox.config.load import load_secret, load_text
from voicebox.config.model import TrunkConfig
from voicebox.errors import HostError
from voicebox.sip.flow import Transport, bracketed
from voicebox.sip.tls import client_context


def trunk_place(trunk: TrunkConfig | None, home: Path) -> TrunkPlace | None:
    """Return where such calls go, None for nowhere. home: where the files are that it names. Raises FileProblem, HostError."""
    if trunk is None:
        return None
    password = load_secret(home / trunk.password_file, "Write the password that your provider gave you into it, alone.")
    account = TrunkAccount(bracketed(trunk.host), trunk.user, password, trunk.registers)
    transport = Transport[trunk.transport.upper()]
    if transport is not Transport.TLS:
        return TrunkPlace(account, transport, trunk.host, trunk.port)
    try:
        authority = None if trunk.authority is None else load_text(home / trunk.authority, "It is the file that `trunk.authority` in box.yaml names.")
        return TrunkPlace(account, transport, trunk.host, trunk.port, client_context(authority))
    except OSError:
        raise HostError("This machine's TLS library does not take the file that `trunk.authority` names.") from None
