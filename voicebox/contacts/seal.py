"""A passphrase over what lies on a disk: a random key seals the files, and the passphrase seals that key.

    seal file   = "voicebox seal" 13 | version u8 = 1 | cost u8 | salt 16 | nonce 12 | ChaCha20-Poly1305(key of the passphrase, nonce, file key 32, aad: all before)
    sealed file = "voicebox sealed" 15 | nonce 12 | ChaCha20-Poly1305(file key, nonce, length u32 | octets | zeros up to 4 096, aad: its folder)
    key of the passphrase = scrypt(passphrase in UTF-8, salt, N = 2^cost, r = 8, p = 1), 32 octets

NOT here: which files are sealed, and where the passphrase comes from (store.py). Pure. Spec: RFC 7914, RFC 8439.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

COST, LEAST_COST, MOST_COST = 17, 10, 18
"""128 MB and about half a second on a small machine (cost 17); a file cannot ask for more than twice that."""
MIN_PASSPHRASE_CHARACTERS = 10
SALT_OCTETS, NONCE_OCTETS, TAG_OCTETS, KEY_OCTETS = 16, 12, 16, 32
PADDED_OCTETS = 4096
_SEAL, _SEALED = b"voicebox seal", b"voicebox sealed"
_VERSION = 1
_AGAIN = "Restore it from a backup."


class FileKey:
    """What seals the files of one directory."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)

    def seal(self, folder: str, octets: bytes) -> bytes:
        """Return the sealed file of a folder; its length tells the octets' to within 4 KiB."""
        inside = len(octets).to_bytes(4, "big") + octets
        inside += bytes(-len(inside) % PADDED_OCTETS)
        nonce = secrets.token_bytes(NONCE_OCTETS)
        return _SEALED + nonce + self._cipher.encrypt(nonce, inside, folder.encode())

    def open(self, folder: str, octets: bytes, path: str) -> bytes:
        """Return what a sealed file of a folder holds. path: its name, for the problem's text. Raises FileProblem."""
        nonce, sealed = octets[len(_SEALED) : len(_SEALED) + NONCE_OCTETS], octets[len(_SEALED) + NONCE_OCTETS :]
        try:
            inside = self._cipher.decrypt(nonce, sealed, folder.encode())
        except (InvalidTag, ValueError):
            raise FileProblem(path, 0, "the sealed file was changed, or is of another directory", _AGAIN) from None
        return inside[4 : 4 + int.from_bytes(inside[:4], "big")]


def is_sealed(octets: bytes) -> bool:
    """Return whether a file is sealed."""
    return octets.startswith(_SEALED)


def checked_passphrase(passphrase: Secret) -> Secret:
    """Return a new passphrase. Raises UsageError where it is too short."""
    if len(passphrase.reveal().decode("utf-8", "replace")) < MIN_PASSPHRASE_CHARACTERS:
        raise UsageError(f"A passphrase has at least {MIN_PASSPHRASE_CHARACTERS} characters; five words drawn at random are better.")
    return passphrase


def key_of_passphrase(passphrase: Secret, salt: bytes, cost: int) -> bytes:
    """Return the key of 32 octets; takes half a second, on purpose. Contract: LEAST_COST <= cost <= MOST_COST."""
    return Scrypt(salt, KEY_OCTETS, 1 << cost, 8, 1).derive(passphrase.reveal())


def new_seal(passphrase: Secret, *, cost: int = COST) -> tuple[bytes, FileKey]:
    """Return a fresh file key, and the seal file that holds it. Raises UsageError for a passphrase that is too short."""
    salt, nonce, file_key = secrets.token_bytes(SALT_OCTETS), secrets.token_bytes(NONCE_OCTETS), secrets.token_bytes(KEY_OCTETS)
    header = _SEAL + bytes([_VERSION, cost]) + salt + nonce
    key = key_of_passphrase(checked_passphrase(passphrase), salt, cost)
    return header + ChaCha20Poly1305(key).encrypt(nonce, file_key, header), FileKey(file_key)


def open_seal(seal: bytes, passphrase: Secret, path: str) -> FileKey:
    """Return the file key of a seal file. Raises FileProblem for a wrong passphrase, and for what is no seal file."""
    header_octets = len(_SEAL) + 2 + SALT_OCTETS + NONCE_OCTETS
    header, wrapped = seal[:header_octets], seal[header_octets:]
    if (
        len(wrapped) != KEY_OCTETS + TAG_OCTETS
        or header[: len(_SEAL) + 1] != _SEAL + bytes([_VERSION])
        or not LEAST_COST <= header[len(_SEAL) + 1] <= MOST_COST
    ):
        raise FileProblem(path, 0, "this is no seal that voicebox made, or one of another version", _AGAIN)
    salt, nonce = header[-SALT_OCTETS - NONCE_OCTETS : -NONCE_OCTETS], header[-NONCE_OCTETS:]
    try:
        return FileKey(ChaCha20Poly1305(key_of_passphrase(passphrase, salt, header[len(_SEAL) + 1])).decrypt(nonce, wrapped, header))
    except InvalidTag:
        raise FileProblem(path, 0, "the passphrase is wrong, or the seal file damaged") from None
