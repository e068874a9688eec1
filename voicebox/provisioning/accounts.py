"""Accounts for phones: made and taken away in a box's directory. What is on disk is all; a box that runs takes it by a reload.

NOT here: the account's own file (config/account.py), the forms in which phones take it (forms.py).
"""

from __future__ import annotations

import datetime as dt
import secrets
import string

from voicebox.config.account import AUTHORITY_FILE, PhoneAccount, account_path, serialise_account
from voicebox.config.load import KnownPhone, load_phones
from voicebox.config.model import BoxConfig
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError
from voicebox.provisioning.forms import Login, login_of
from voicebox.sensitive import Secret

PASSWORD_LENGTH = 20
LETTERS = "".join(letter for letter in string.ascii_letters + string.digits if letter not in "0O1lI")
"""Without those that look alike: a desk phone's password is typed by hand. 20 of 57 are 116 bits."""
MAX_PHONES = 64


def add_phone(store: StateDirectory, config: BoxConfig, name: str, transport: str, keying: str) -> Login:
    """Make an account and return how its phone finds the box. transport, keying: as in config/account.py.

    Raises UsageError where the name is none or taken, or the box has no address for the transport, FileProblem, HostError.
    """
    path = account_path(store.home, name)
    phones = load_phones(store.home)
    if path.exists() or any(phone.user == name for phone in phones):
        raise UsageError(f"There is a phone of that name. `voicebox phone revoke {name}` first if you want a new password.")
    if len(phones) >= MAX_PHONES:
        raise UsageError(f"A box has at most {MAX_PHONES} phones.")
    password = Secret("".join(secrets.choice(LETTERS) for _ in range(PASSWORD_LENGTH)).encode())
    login = login_of(config, KnownPhone(name, password, transport, keying))
    if login.private:
        store.write(f"phones/{AUTHORITY_FILE}", store.renew_phone_tls(config.tls_addresses, dt.datetime.now(dt.UTC)).to_install)
    account = PhoneAccount(login.server.address, login.server.port, name, password, transport, keying)
    store.write(f"phones/{name}.yaml", serialise_account(account).encode())
    return login


def remove_phone(store: StateDirectory, name: str) -> None:
    """Take an account away; its password opens nothing once the box has heard. Raises UsageError where there is none, HostError."""
    path = account_path(store.home, name)
    if not path.is_file():
        raise UsageError(f"There is no phone of that name: no file {path}.")
    store.remove(str(path.relative_to(store.home)))
