"""What a box or relay keeps on disk. [io]

    DIR/                    0700; every file 0600, written beside and renamed into place, so that none is ever half written
      identity/             authority.key authority.crt box.key box.crt static.key
      contacts/NAME.yaml    the card of a contact, and the secret shared with it (contact_file.py)
      phones/NAME.yaml      the account of a phone (config/account.py)
      tls/                  authority.pem box.pem: for TLS with phones, a key and its certificate each (phone_authority.py)
      local/                authority.pem: by which programs of this machine know contacts' services over TLS (local_authority_file.py)
      certs/                keys and certificates of devices and services, and what was issued and revoked (device_certs.py)
      guards                the guards and until when each is kept (circuits/guards.py)
      relay.cards           relays that are known by card (circuits/relay_cards.py)
      places/               the places where the box has been, and the guards of all but the first (circuits/places.py)
      streams               what is offered to contacts, and where programs find what they offer (streams/offered.py)
      voicebox1.conf        the tunnel of phones away from home, as wg-quick reads it, so it is not sealed (intercept/wireguard.py)
      names                 the virtual addresses of contacts' names (naming/virtual.py)
      records/              a relay's: what it holds of others' records, sealed by those whose they are (circuits/record_peer.py)
      network.list          the relays of the network; network.id its id, pinned when it was joined
      voicemail/            where the dial plan wants that: messages of contacts, and what they are sealed with (voicemail.py)
      waiting/              texts that wait for contacts whose boxes are off (waiting.py)
      invitations           what others become contacts by, and what came of each (circuits/invitation_file.py)
      missed                where the dial plan wants that: petname and day of missed calls (missed.py)
      relay/                the box's own relay: a directory as this one, with a seal and a backup of its own (circuits/own_relay.py)
      backup.made           ids of the contacts with whom the last backup shares a secret of a first call
      seal                  where the user wants that: what the passphrase opens (seal.py); then identity/, contacts/, tls/, local/, certs/ and the lists of ids are sealed
      lock                  held by the daemon

NOT here: what the files mean to others (config/, circuits/).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.contacts.changes import Step
from voicebox.contacts.contact import PETNAME, Contact
from voicebox.contacts.contact_file import RESTORE, parse_contact, serialise_contact
from voicebox.contacts.identity import Identity, verify_authority
from voicebox.contacts.missed import MISSED_FILE, MissedCalls, parse_missed
from voicebox.contacts.passphrase import passphrase_of_directory
from voicebox.contacts.phone_authority import PhoneTls, kept_phone_tls, new_phone_tls
from voicebox.contacts.seal import FileKey, is_sealed, new_seal, open_seal
from voicebox.errors import FileProblem, HandshakeError, HostError, UsageError
from voicebox.sensitive import Secret

MAX_FILE_OCTETS = 96 << 20
"""The largest is the list of a network of 20 000 relays."""
SEAL_FILE = "seal"
PHONE_AUTHORITY, PHONE_SERVER = "tls/authority.pem", "tls/box.pem"
SECRET_FOLDERS = frozenset({"identity", "contacts", "tls", "local", "certs", "voicemail", "places", "waiting"})
SECRET_FILES = frozenset({"guards", "relay.cards", "streams", "names", "backup.made", "invitations", MISSED_FILE})


class DirectoryInUse(UsageError):
    """A daemon, or a command that just changes something, holds the directory."""


class StateDirectory:
    """One directory of a box or relay."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def create(self) -> None:
        """Make the directory. Raises UsageError where it holds something already, HostError where it cannot be made."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(self.home.iterdir()):
                raise UsageError(f"{self.home} is not empty. Give a directory of its own to each box and relay.")
            self.home.chmod(0o700)
        except OSError as error:
            raise HostError(f"{self.home} cannot be made ({error.strerror}).") from None

    def path(self, name: str) -> Path:
        """Return where a file of that name lies."""
        return self.home / name

    def write(self, name: str, octets: bytes) -> None:
        """Write a file: all of it or nothing, also if the power fails. Raises HostError."""
        if _is_secret(name) and self.exists(SEAL_FILE):
            octets = self._sealer().seal(_folder(name), octets)
        self._write(name, octets)

    def _write(self, name: str, octets: bytes) -> None:
        target = self.home / name
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(octets)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            sync_folder(target.parent)
        except OSError as error:
            raise HostError(f"{target} cannot be written ({error.strerror}).") from None

    def read(self, name: str, hint: str = RESTORE) -> bytes:
        """Read a file, sealed or not. Raises FileProblem."""
        octets = self._read_plain(name, hint)
        return self._sealer().open(_folder(name), octets, str(self.home / name)) if is_sealed(octets) else octets

    def _read_plain(self, name: str, hint: str = RESTORE) -> bytes:
        target = self.home / name
        try:
            if target.stat().st_size > MAX_FILE_OCTETS:
                raise FileProblem(str(target), 0, "the file is far too long", hint)
            return target.read_bytes()
        except OSError as error:
            raise FileProblem(str(target), 0, f"the file cannot be read ({error.strerror})", hint) from None

    def read_text(self, name: str, hint: str = RESTORE) -> str:
        """Read a text file. Raises FileProblem."""
        try:
            return self.read(name, hint).decode("utf-8")
        except UnicodeDecodeError:
            raise FileProblem(str(self.home / name), 0, "the file is not UTF-8 text", hint) from None

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        return (self.home / name).is_file()

    def remove(self, name: str) -> None:
        """Remove a file, where there is one. Raises HostError."""
        target = self.home / name
        try:
            if self.exists(name):
                target.unlink()
                sync_folder(target.parent)
        except OSError as error:
            raise HostError(f"{target} cannot be removed ({error.strerror}).") from None

    # ------------------------------------------------------------------------------------------------------------ seal

    def seal(self, passphrase: Secret) -> None:
        """Seal what is secret, with a passphrase. Contract: the directory is locked. Where it stops half-way, what is not sealed yet is still read.

        Raises UsageError where it is sealed already, or the passphrase is too short.
        """
        if self.exists(SEAL_FILE):
            raise UsageError("The directory is sealed already. For another passphrase `voicebox unseal` it first.")
        seal, key = new_seal(passphrase)
        self._write(SEAL_FILE, seal)
        for name in self._secret_names():
            self._write(name, key.seal(_folder(name), self.read(name)))

    def unseal(self) -> None:
        """Write in clear what is sealed. Contract: the directory is locked. Raises UsageError where it is not sealed, FileProblem."""
        if not self.exists(SEAL_FILE):
            raise UsageError("The directory is not sealed.")
        for name in self._secret_names():
            self._write(name, self.read(name))
        (self.home / SEAL_FILE).unlink()
        sync_folder(self.home)

    def _sealer(self) -> FileKey:
        return _file_key(self._read_plain(SEAL_FILE), self.home)

    def _secret_names(self) -> list[str]:
        names = [path.relative_to(self.home).as_posix() for path in self.home.rglob("*") if path.is_file()]
        return sorted(name for name in names if _is_secret(name) and not Path(name).name.startswith("."))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one daemon or command. Raises DirectoryInUse where another has it."""
        try:
            handle = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError(f"{self.home} cannot be used ({error.strerror}).") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise DirectoryInUse(f"Something runs in {self.home} already; `voicebox status --home {self.home}` asks it.") from None
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def locked_if_free(self) -> Iterator[bool]:
        """Hold the directory where nobody has it. Give whether it is held: else what runs there is to be asked. Raises HostError."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self.locked())
                is_free = True
            except DirectoryInUse:
                is_free = False
            yield is_free

    # -------------------------------------------------------------------------------------------------------- identity

    def save_identity(self, identity: Identity) -> None:
        """Write all keys and certificates of a box."""
        for name, key in (("authority", identity.authority_key), ("box", identity.box_key), ("static", identity.static_key)):
            self.write(f"identity/{name}.key", _pem(key))
        self.write("identity/authority.crt", identity.authority_certificate)
        self.write("identity/box.crt", identity.box_certificate)

    def load_identity(self, now: dt.datetime) -> Identity:
        """Read and check the keys and certificates of a box. Raises FileProblem."""
        hint = "`voicebox init --home DIR` makes a box."
        authority_key = self.ed25519("identity/authority.key", hint)
        box_key = self.ed25519("identity/box.key", hint)
        static_key = self._x25519("identity/static.key", hint)
        certificate = self.read("identity/authority.crt", hint)
        try:
            authority = verify_authority(certificate, now)
        except HandshakeError as problem:
            raise FileProblem(str(self.path("identity/authority.crt")), 0, str(problem), RESTORE) from None
        if authority.public_key.public_bytes_raw() != authority_key.public_key().public_bytes_raw():
            raise FileProblem(str(self.path("identity/authority.crt")), 0, "the certificate is of another key", RESTORE)
        return Identity(authority_key, certificate, box_key, self.read("identity/box.crt", hint), static_key)

    def ed25519(self, name: str, hint: str, damaged: str = RESTORE) -> Ed25519PrivateKey:
        """Read a private key. hint: what to do where there is none; damaged: where it is none. Raises FileProblem."""
        key = self._key(name, hint, damaged)
        if not isinstance(key, Ed25519PrivateKey):
            raise FileProblem(str(self.path(name)), 0, "this is another kind of key", damaged)
        return key

    def _x25519(self, name: str, hint: str) -> X25519PrivateKey:
        key = self._key(name, hint)
        if not isinstance(key, X25519PrivateKey):
            raise FileProblem(str(self.path(name)), 0, "this is another kind of key", RESTORE)
        return key

    def _key(self, name: str, hint: str, damaged: str = RESTORE) -> object:
        try:
            return serialization.load_pem_private_key(self.read(name, hint), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise FileProblem(str(self.path(name)), 0, "this is no private key", damaged) from None

    # ---------------------------------------------------------------------------------------------------------- phones

    def renew_phone_tls(self, addresses: tuple[str, ...], now: dt.datetime) -> PhoneTls:
        """Make what TLS with phones needs at these addresses, or keep it, with a fresh certificate where it is time; return it. Raises FileProblem."""
        kept: PhoneTls | None = None
        fresh: PhoneTls | None = None
        if self.exists(PHONE_AUTHORITY):
            kept = PhoneTls(self.read(PHONE_AUTHORITY), self.read(PHONE_SERVER) if self.exists(PHONE_SERVER) else b"")
            try:
                fresh = kept_phone_tls(kept, addresses, now)
            except HandshakeError as problem:
                hint = "Delete the directory tls/ for another one, which every phone has to install."
                raise FileProblem(str(self.path(PHONE_AUTHORITY)), 0, str(problem), hint) from None
        fresh = fresh or new_phone_tls(addresses, now)
        for name, before, octets in ((PHONE_AUTHORITY, kept and kept.authority, fresh.authority), (PHONE_SERVER, kept and kept.server, fresh.server)):
            if before != octets:
                self.write(name, octets)
        return fresh

    # -------------------------------------------------------------------------------------------------------- contacts

    def save_contact(self, contact: Contact) -> None:
        """Write one contact, with the secret shared."""
        self.write(f"contacts/{contact.petname}.yaml", serialise_contact(contact).encode())

    def keep(self, step: Step) -> None:
        """Carry out on disk what was decided of a contact: one file is written, renamed or deleted, at once or not at all. Raises HostError."""
        before, after = step.before, step.after
        if before is not None and (after is None or after.petname != before.petname):
            self._move_contact(before.petname, None if after is None else after.petname)
        elif after is not None:
            self.save_contact(after)

    def _move_contact(self, petname: str, to: str | None) -> None:
        folder = self.home / "contacts"
        try:
            if to is None:
                (folder / f"{petname}.yaml").unlink()
            else:
                (folder / f"{petname}.yaml").rename(folder / f"{to}.yaml")
            sync_folder(folder)
        except OSError as error:
            raise HostError(f"The contact's file cannot be changed ({error.strerror}).") from None

    def load_contacts(self, now: dt.datetime) -> list[Contact]:
        """Read all contacts. Raises FileProblem, ProblemsFound for the first that is damaged."""
        folder = self.home / "contacts"
        names = sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []
        return [self._load_contact(name, now) for name in names if PETNAME.match(name)]

    def _load_contact(self, petname: str, now: dt.datetime) -> Contact:
        name = f"contacts/{petname}.yaml"
        return parse_contact(petname, self.read_text(name), str(self.path(name)), now)

    def load_missed(self) -> MissedCalls:
        """Read the missed calls; none where there is no file. Raises FileProblem."""
        return parse_missed(self.read_text(MISSED_FILE), str(self.path(MISSED_FILE))) if self.exists(MISSED_FILE) else MissedCalls()

    # ---------------------------------------------------------------------------------------------------------- backup

    def save_backed_up(self, contact_ids: list[bytes]) -> None:
        """Write which contacts the last backup knows what is shared with."""
        self.write("backup.made", "".join(f"{each.hex()}\n" for each in contact_ids).encode())

    def load_backed_up(self) -> list[bytes]:
        """Read which contacts the last backup knows what is shared with; none where there is none. Raises FileProblem."""
        if not self.exists("backup.made"):
            return []
        found = []
        for number, line in enumerate(self.read_text("backup.made").splitlines(), 1):
            try:
                octets = bytes.fromhex(line)
            except ValueError:
                octets = b""
            if len(octets) != 32:
                raise FileProblem(str(self.path("backup.made")), number, "this is no id", "Delete the file, and make another backup.")
            found.append(octets)
        return found


def _is_secret(name: str) -> bool:
    """Return whether a file is sealed where the directory is."""
    return name in SECRET_FILES or Path(name).parts[0] in SECRET_FOLDERS


def _folder(name: str) -> str:
    return Path(name).parent.as_posix()


@functools.lru_cache(maxsize=8)
def _file_key(seal: bytes, home: Path) -> FileKey:
    """Return the key under a seal; the passphrase is asked for once in the life of a process."""
    return open_seal(seal, passphrase_of_directory(home), str(home / SEAL_FILE))


def sync_folder(path: Path) -> None:
    """Let the names in a directory reach the disk too."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _pem(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
