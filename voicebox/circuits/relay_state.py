"""A relay's keys on disk, and its descriptor.

    identity/relay.key  Ed25519, PEM     identity/link.key  P-256, PEM
    descriptor          to be given to   identity/link.crt  self-signed, DER
                        those who vouch for relays

NOT here: disks (contacts/store.py), formats (descriptor.py), keys of circuits, which are on no disk (handshake.py). Spec: PROTOCOL.md §2.2, §10.1.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from voicebox.circuits.descriptor import VALID_DAYS, Descriptor, RelayAddress, Role, VerifiedDescriptor, parse_descriptor, sign_descriptor
from voicebox.circuits.relay import RelayKeys
from voicebox.circuits.shown import DESCRIPTOR_EXTENSION
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem
from voicebox.sensitive import Secret

DESCRIPTOR_FILE = "descriptor"
FORMER_KEY_FILE = "identity/onion.key"
"""What relays had before keys were drawn for each circuit."""
_HINT = "`voicebox relay init --home DIR ...` makes a relay."
_PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def create_relay(store: StateDirectory, role: Role, operator: str, mbit_s: int, addresses: tuple[RelayAddress, ...], now: dt.datetime) -> VerifiedDescriptor:
    """Make a relay's keys and descriptor. Raises UsageError for what cannot stand in it, before anything is written."""
    identity_key, link_key = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    certificate = link_certificate(link_key, now)
    now = now.replace(microsecond=0)
    descriptor = Descriptor(
        identity_key.public_key().public_bytes_raw(),
        int(now.timestamp()),
        role,
        operator,
        mbit_s,
        addresses,
        pin_of(certificate),
        now - dt.timedelta(hours=1),
        now - dt.timedelta(hours=1) + dt.timedelta(days=VALID_DAYS),
    )
    verified = sign_descriptor(descriptor, identity_key)
    store.write("identity/relay.key", identity_key.private_bytes(*_PEM))
    store.write("identity/link.key", link_key.private_bytes(*_PEM))
    store.write("identity/link.crt", certificate)
    store.write(DESCRIPTOR_FILE, verified.text.encode())
    return verified


def renew_descriptor(store: StateDirectory, addresses: tuple[RelayAddress, ...], mbit_s: int | None, now: dt.datetime) -> VerifiedDescriptor:
    """Sign a relay's descriptor anew, with a higher sequence number. addresses: empty leaves them. The vouchers stay where what they vouch for does.

    Raises FileProblem, UsageError; then nothing has changed.
    """
    former, keys = load_relay_keys(store)
    had, now = former.descriptor, now.replace(microsecond=0)
    descriptor = replace(
        had,
        sequence=max(had.sequence + 1, int(now.timestamp())),
        addresses=addresses or had.addresses,
        mbit_s=mbit_s or had.mbit_s,
        valid_from=now - dt.timedelta(hours=1),
        valid_until=now - dt.timedelta(hours=1) + dt.timedelta(days=VALID_DAYS),
        former_key=b"",
    )
    verified = sign_descriptor(descriptor, keys.identity)
    if descriptor.vouched == had.vouched:
        verified = verified.with_vouchers(former.vouchers)
    store.write(DESCRIPTOR_FILE, verified.text.encode())
    return verified


def load_relay_keys(store: StateDirectory) -> tuple[VerifiedDescriptor, RelayKeys]:
    """Read a relay's descriptor and keys. Raises FileProblem, also where they do not belong together."""
    verified = parse_descriptor(store.read_text(DESCRIPTOR_FILE, _HINT), str(store.path(DESCRIPTOR_FILE)))
    identity = _identity(store, verified.descriptor)
    certificate = store.read("identity/link.crt", _HINT)
    try:
        link_key = serialization.load_pem_private_key(store.read("identity/link.key", _HINT), None)
        pin = pin_of(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FileProblem(str(store.path("identity/link.key")), 0, "this is no private key, or its certificate is none", _HINT) from None
    if pin != verified.descriptor.link_pin:
        raise FileProblem(str(store.path(DESCRIPTOR_FILE)), 0, "the descriptor is of other keys than those beside it", _HINT)
    der = link_key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return verified, RelayKeys(identity, certificate, Secret(der))


def remove_former_key(store: StateDirectory) -> None:
    """Remove the key to which creates were sealed before each had keys of its own: with it and a quantum computer those that were recorded open."""
    store.remove(FORMER_KEY_FILE)


def _identity(store: StateDirectory, descriptor: Descriptor) -> Ed25519PrivateKey:
    key = store.ed25519("identity/relay.key", _HINT, _HINT)
    if key.public_key().public_bytes_raw() != descriptor.identity:
        raise FileProblem(str(store.path("identity/relay.key")), 0, "this is not the key of the descriptor", _HINT)
    return key


def link_certificate(key: ec.EllipticCurvePrivateKey, now: dt.datetime, shows: x509.ExtensionType | None = None) -> bytes:
    """Make the self-signed certificate of DTLS (DER). It names nobody: peers compare its key with the pin. shows: what else it holds (shown.py)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=10 * VALID_DAYS))
    if shows is not None:
        builder = builder.add_extension(shows, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def certificate_showing(verified: VerifiedDescriptor, keys: RelayKeys, now: dt.datetime) -> bytes:
    """Return a certificate (DER) of a relay's link key that holds its descriptor, for a relay that the list does not have. Spec: PROTOCOL.md §10.8."""
    key = serialization.load_der_private_key(keys.link_key.reveal(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "the key of a link is made by create_relay()"
    return link_certificate(key, now, x509.UnrecognizedExtension(DESCRIPTOR_EXTENSION, verified.text.encode()))


def pin_of(certificate: bytes) -> bytes:
    """Return SHA-256 over the SubjectPublicKeyInfo of a certificate (DER)."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).digest()
