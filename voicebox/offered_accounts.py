"""Accounts that phones fetch from a box once: asked for on the control socket, served in the home network. [io]

NOT here: the server and its tickets (provisioning/server.py, tickets.py), what a page says (provisioning/forms.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicebox.config.load import load_phone
from voicebox.config.model import BoxConfig
from voicebox.errors import LocalError
from voicebox.provisioning.forms import linphone_page, login_of
from voicebox.provisioning.server import ProvisioningServer
from voicebox.provisioning.tickets import LIFETIME_S


class OfferedAccounts:
    """Those of the phones that a box has files of."""

    def __init__(self, home: Path, config: BoxConfig) -> None:
        self._home, self._config = home, config
        self._server = ProvisioningServer(self._page)
        self.withdraw, self.close = self._server.withdraw, self._server.close

    def offer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Let a phone fetch its account once. user: whose; any_certificate: as in provisioning/forms.py. Raises UsageError, HostError."""
        phone = load_phone(self._home, str(asked.get("user")))
        any_certificate = asked.get("any_certificate") is True
        return {"url": self._server.offer(phone.user, login_of(self._config, phone).server.address, any_certificate=any_certificate), "seconds": LIFETIME_S}

    def tell(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what became of an account that was offered."""
        return {"state": self._server.state(str(asked.get("user"))).value}

    def _page(self, user: str, any_certificate: bool) -> str | None:  # noqa: FBT001 - the shape of ProvisioningServer's page
        try:
            return linphone_page(login_of(self._config, load_phone(self._home, user)), any_certificate=any_certificate)
        except LocalError:
            return None
