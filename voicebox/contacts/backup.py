"""A backup: all files of a box's or relay's directory in one, sealed with a passphrase.

    "voicebox backup" 15 | version u8 = 1 | cost u8 | salt 16 | nonce 12 | sealed | SHA-256 over all before 32
    key    = scrypt(passphrase in UTF-8, salt, N = 2^cost, r = 8, p = 1), 32 octets        RFC 7914, seal.py
    sealed = ChaCha20-Poly1305(key, nonce, inside, aad: all before it)                     RFC 8439
    inside = length u32 of the files | files, ascending by name | zeros up to a power of two, at least 256 KiB
    file   = length u16 | name | length u32 | octets

The sum at the end tells a damaged file from a wrong passphrase; that nobody changed it is the seal's business. The size says how much there is to within a
factor of two. NOT here: disks (cli/backup.py, cli/restore.py). Pure; salt and nonce may be handed in by tests.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from voicebox.contacts.seal import COST, LEAST_COST, MOST_COST, NONCE_OCTETS, SALT_OCTETS, TAG_OCTETS, checked_passphrase, key_of_passphrase
from voicebox.errors import FileProblem, UsageError
from voicebox.sensitive import Secret

MAGIC = b"voicebox backup"
VERSION = 1
LEAST_INSIDE_OCTETS = 1 << 18
MAX_FILES_OCTETS = 1 << 27
"""Most of it would be the list of a large network's relays."""
SUM_OCTETS = 32
NAME = re.compile(r"(?:[^/\0.][^/\0]{0,126}/)?[^/\0.][^/\0]{0,126}\Z")
"""A file, or a file in a folder; hidden ones are no part of a box."""
_HEADER_OCTETS = len(MAGIC) + 2 + SALT_OCTETS + NONCE_OCTETS
_AGAIN = "Use another copy of it."


def seal_backup(files: Mapping[str, bytes], passphrase: Secret, *, cost: int = COST, salt: bytes | None = None, nonce: bytes | None = None) -> bytes:
    """Return the backup of files. passphrase: UTF-8. Raises UsageError for one that is too short, or files that are too many octets."""
    checked_passphrase(passphrase)
    body = b"".join(_serialise_file(name, octets) for name, octets in sorted(files.items()))
    if len(body) > MAX_FILES_OCTETS:
        raise UsageError(f"There is more in the directory than the {MAX_FILES_OCTETS >> 20} MB that a backup may hold.")
    inside = len(body).to_bytes(4, "big") + body
    inside = inside.ljust(max(LEAST_INSIDE_OCTETS, 1 << (len(inside) - 1).bit_length()), b"\0")
    salt, nonce = salt or secrets.token_bytes(SALT_OCTETS), nonce or secrets.token_bytes(NONCE_OCTETS)
    header = MAGIC + bytes([VERSION, cost]) + salt + nonce
    sealed = header + ChaCha20Poly1305(key_of_passphrase(passphrase, salt, cost)).encrypt(nonce, inside, header)
    return sealed + hashlib.sha256(sealed).digest()


def check_backup(octets: bytes, path: str) -> None:
    """Check what can be checked without the passphrase. path: the file's name, for the problem's text. Raises FileProblem."""
    if octets[: len(MAGIC)] != MAGIC:
        raise FileProblem(path, 0, "this is no backup of voicebox")
    if not hmac.compare_digest(hashlib.sha256(octets[:-SUM_OCTETS]).digest(), octets[-SUM_OCTETS:]):
        raise FileProblem(path, 0, "the backup is damaged or cut off", _AGAIN)
    if octets[len(MAGIC)] != VERSION:
        raise FileProblem(path, 0, "the backup is of another version", "Update voicebox.")
    if len(octets) < _HEADER_OCTETS + LEAST_INSIDE_OCTETS + TAG_OCTETS + SUM_OCTETS or not LEAST_COST <= octets[len(MAGIC) + 1] <= MOST_COST:
        raise FileProblem(path, 0, "the backup is not one that voicebox made", _AGAIN)


def open_backup(octets: bytes, passphrase: Secret, path: str) -> dict[str, bytes]:
    """Return the files of a backup, by name. Raises FileProblem; nothing is returned of what is not as it was made."""
    check_backup(octets, path)
    header, sealed = octets[:_HEADER_OCTETS], octets[_HEADER_OCTETS:-SUM_OCTETS]
    salt, nonce = header[-SALT_OCTETS - NONCE_OCTETS : -NONCE_OCTETS], header[-NONCE_OCTETS:]
    try:
        inside = ChaCha20Poly1305(key_of_passphrase(passphrase, salt, header[len(MAGIC) + 1])).decrypt(nonce, sealed, header)
    except InvalidTag:
        raise FileProblem(path, 0, "the passphrase is wrong", "Or somebody changed the file, and made its sum fit.") from None
    length = int.from_bytes(inside[:4], "big")
    body, rest = inside[4 : 4 + length], inside[4 + length :]
    if len(body) != length or any(rest):
        raise FileProblem(path, 0, "the backup's inside is not as voicebox makes it", _AGAIN)
    return _parse_files(body, path)


def _serialise_file(name: str, octets: bytes) -> bytes:
    encoded = name.encode("utf-8", "replace")
    if not NAME.match(name) or encoded.decode() != name:
        raise UsageError("A file in the directory has a name that a backup cannot hold: too long, too deep, or not UTF-8.")
    return len(encoded).to_bytes(2, "big") + encoded + len(octets).to_bytes(4, "big") + octets


def _parse_files(body: bytes, path: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    at = 0
    while at < len(body):
        name, at = _field(body, at, 2, path)
        octets, at = _field(body, at, 4, path)
        text = name.decode("utf-8", "replace")
        if not NAME.match(text) or text in files:
            raise FileProblem(path, 0, "the backup holds a file of a name that no box has", _AGAIN)
        files[text] = octets
    return files


def _field(body: bytes, at: int, prefix: int, path: str) -> tuple[bytes, int]:
    """Return the octets behind a length of prefix octets, and where the next field begins."""
    begin = at + prefix
    end = begin + int.from_bytes(body[at:begin], "big")
    if begin > len(body) or end > len(body):
        raise FileProblem(path, 0, "the backup's inside is cut off", _AGAIN)
    return body[begin:end], end
