"""What two boxes derive from their shared secret, and the full handshake that renews it once with certificates.

The flow of a call's keys: the caller seals a knock to the callee (seal_knock), the callee answers with a key of its own (answer_knock), both
have the call's keys (CallKeys). Where they never met, the caller says `first` on that channel, the callee `second`, the caller `third`, and both have a new
secret. NOT here: when and over which circuit (calls.py). Pure; keys may be handed in by tests. Spec: PROTOCOL.md §8.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from voicebox.circuits.hybrid import PUBLIC_OCTETS, hybrid_public, new_hybrid_private, open_sealed, seal_to
from voicebox.circuits.kdf import X25519_OCTETS, hkdf_expand, hkdf_extract, sha256, x25519
from voicebox.contacts.identity import MAX_CERTIFICATE_OCTETS, Identity, VerifiedAuthority, VerifiedBox, verify_box
from voicebox.errors import HandshakeError
from voicebox.sensitive import Secret

SECRET_OCTETS = 32
TOKEN_OCTETS = 16
JOIN_ID_OCTETS = 16
SEALED_OCTETS = 184
TICKET_OCTETS = 8
NONCE_OCTETS = 12
KNOCK_OCTETS = SEALED_OCTETS - NONCE_OCTETS - 16
MADE_OCTETS = 4
RECORD_OCTETS = KNOCK_OCTETS - 2 - MADE_OCTETS - X25519_OCTETS
SIGNATURE_OCTETS = 64
KNOCK_VERSION = 1
FULL_HANDSHAKE_WANTED = 1
DUMMY = 2
SPARE = 4
GOES_ON = 8
_FLAGS = frozenset({0, FULL_HANDSHAKE_WANTED, DUMMY, SPARE, GOES_ON, FULL_HANDSHAKE_WANTED | GOES_ON})
MAX_EPOCHS_FORWARD = 200_000
"""22 years of hours: more is a wrong clock, not a long absence."""


# ------------------------------------------------------------------------------------------------ secrets of an epoch


def static_secret(static_key: X25519PrivateKey, their_static: bytes, network_id: bytes, our_id: bytes, their_id: bytes) -> Secret:
    """Return the secret of two who only swapped cards; it counts as that of epoch 0. Spec: PROTOCOL.md §8.1."""
    info = network_id + min(our_id, their_id) + max(our_id, their_id)
    return Secret(hkdf_expand(hkdf_extract(b"voicebox/1 pair", x25519(static_key, their_static)), info, SECRET_OCTETS))


def secret_of_epoch(secret: Secret, epoch: int, wanted: int) -> Secret:
    """Hash a secret forward from its epoch to the wanted one.

    Raises HandshakeError for an epoch that is past (its secret is gone) or absurdly far.
    """
    if not epoch <= wanted <= epoch + MAX_EPOCHS_FORWARD:
        raise HandshakeError("a secret of an epoch that cannot be had")
    octets = secret.reveal()
    for _ in range(wanted - epoch):
        octets = hkdf_expand(octets, b"voicebox/1 next epoch", SECRET_OCTETS)
    return Secret(octets)


def token_of(secret: Secret, junction_id: bytes, callee_id: bytes) -> bytes:
    """Return the token under which a callee is knocked at by this contact, at this junction, in this epoch. Spec: PROTOCOL.md §8.2."""
    return hkdf_expand(secret.reveal(), b"voicebox/1 token" + junction_id + callee_id, TOKEN_OCTETS)


def _knock_key(secret: Secret, junction_id: bytes, callee_id: bytes) -> bytes:
    return hkdf_expand(secret.reveal(), b"voicebox/1 knock" + junction_id + callee_id, 32)


# ---------------------------------------------------------------------------------------------------------- the knock


@dataclass(frozen=True, slots=True)
class Knock:
    """A knock as it goes over the wire: token 16, join id 16, sealed 184. ticket: 8 octets of the junction, which whoever joins shows; none before it came there."""

    token: bytes = field(repr=False)
    join_id: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    ticket: bytes = field(repr=False, default=b"")

    def serialise(self) -> bytes:
        """Return the 216 octets of the speech `knock`. Spec: PROTOCOL.md §3.2."""
        return self.token + self.join_id + self.sealed

    def join(self) -> bytes:
        """Return the 24 octets of the speech `join`."""
        return self.join_id + self.ticket

    def digest(self) -> bytes:
        """Return K, which the call's keys are bound to. Spec: PROTOCOL.md §8.3."""
        return sha256(self.serialise())


def parse_knock(payload: bytes) -> Knock:
    """Read the speech `knocked`; raises HandshakeError for another length."""
    if len(payload) != TOKEN_OCTETS + JOIN_ID_OCTETS + SEALED_OCTETS + TICKET_OCTETS:
        raise HandshakeError("a knock has the wrong length")
    return Knock(payload[:16], payload[16:32], payload[32:-TICKET_OCTETS], payload[-TICKET_OCTETS:])


@dataclass(frozen=True, slots=True)
class SentKnock:
    """The caller's half: what it needs when the answer comes."""

    knock: Knock
    secret: Secret
    private_key: X25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedKnock:
    """What a callee finds in a knock. record: the offer, what a dummy asks for, or the digest of a spare's first knock; zeros behind it not yet cut off.

    made: the slot of the caller's network time in which it was made, as in a cell (modulo 2^32). goes_on: its caller tries another junction next.
    """

    made: int
    caller_public: bytes = field(repr=False)
    full_handshake_wanted: bool
    dummy: bool
    spare: bool
    goes_on: bool
    record: bytes


@dataclass(frozen=True, slots=True)
class CallKeys:
    """The keys of one call. pseudo_random_key feeds the full handshake; binding is its C. one_way: of a dummy, in which its caller can open nothing."""

    to_callee: Secret
    to_caller: Secret
    pseudo_random_key: Secret
    one_way: bool = False


def seal_knock(
    secret: Secret,
    junction_id: bytes,
    callee_id: bytes,
    record: bytes,
    made: int,
    *,
    full_handshake: bool,
    dummy: bool = False,
    goes_on: bool = False,
    private_key: X25519PrivateKey | None = None,
    join_id: bytes | None = None,
    nonce: bytes | None = None,
) -> SentKnock:
    """Make a knock at a contact. record: at most RECORD_OCTETS; made: the slot that it is. The last three are for tests; else they are drawn."""
    if len(record) > RECORD_OCTETS:
        raise ValueError("a call record is too long for a knock")
    key = private_key or X25519PrivateKey.generate()
    flags = (FULL_HANDSHAKE_WANTED if full_handshake else 0) | (DUMMY if dummy else 0) | (GOES_ON if goes_on else 0)
    plaintext = _plaintext(flags, made, key.public_key().public_bytes_raw(), record)
    return SentKnock(_seal(secret, junction_id, callee_id, plaintext, join_id, nonce), secret, key)


def seal_spare(secret: Secret, junction_id: bytes, callee_id: bytes, first_digest: bytes) -> Knock:
    """Make the knock of a call's second circuit. first_digest: K of the knock of its first. Spec: PROTOCOL.md §9.5."""
    plaintext = _plaintext(SPARE, 0, secrets.token_bytes(X25519_OCTETS), first_digest)
    return _seal(secret, junction_id, callee_id, plaintext, None, None)


def _plaintext(flags: int, made: int, public: bytes, record: bytes) -> bytes:
    return bytes([KNOCK_VERSION, flags]) + (made & 0xFFFFFFFF).to_bytes(MADE_OCTETS, "big") + public + record.ljust(RECORD_OCTETS, b"\0")


def _seal(secret: Secret, junction_id: bytes, callee_id: bytes, plaintext: bytes, join_id: bytes | None, nonce: bytes | None) -> Knock:
    join = join_id or secrets.token_bytes(JOIN_ID_OCTETS)
    nonce = nonce or secrets.token_bytes(NONCE_OCTETS)
    token = token_of(secret, junction_id, callee_id)
    return Knock(token, join, nonce + ChaCha20Poly1305(_knock_key(secret, junction_id, callee_id)).encrypt(nonce, plaintext, token + join))


def open_knock(knock: Knock, secret: Secret, junction_id: bytes, callee_id: bytes) -> OpenedKnock:
    """Open a knock whose token told whose secret it is.

    Raises HandshakeError where it was changed, or is of another version.
    """
    cipher = ChaCha20Poly1305(_knock_key(secret, junction_id, callee_id))
    try:
        plaintext = cipher.decrypt(knock.sealed[:NONCE_OCTETS], knock.sealed[NONCE_OCTETS:], knock.token + knock.join_id)
    except InvalidTag:
        raise HandshakeError("a knock does not open") from None
    if plaintext[0] != KNOCK_VERSION or plaintext[1] not in _FLAGS:
        raise HandshakeError("a knock is of another version")
    flags, made, rest = plaintext[1], int.from_bytes(plaintext[2 : 2 + MADE_OCTETS], "big"), plaintext[2 + MADE_OCTETS :]
    full, dummy, spare, goes_on = (bool(flags & flag) for flag in (FULL_HANDSHAKE_WANTED, DUMMY, SPARE, GOES_ON))
    return OpenedKnock(made, rest[:X25519_OCTETS], full, dummy, spare, goes_on, rest[X25519_OCTETS:])


def dummy_keys(secret: Secret, knock: Knock) -> CallKeys:
    """Return a dummy's keys. What the callee's box says in it nobody can open, so to_caller is drawn anew at each box. Spec: PROTOCOL.md §8.6."""
    keys = hkdf_expand(secret.reveal(), b"voicebox/1 dummy" + knock.digest(), 48)
    return CallKeys(Secret(keys[:16]), nobodys_key(), Secret(keys[16:]), one_way=True)


def nobodys_key() -> Secret:
    """Return a key that nobody else has."""
    return Secret(secrets.token_bytes(16))


def answer_key(secret: Secret, knock: Knock) -> Secret:
    """Return the key under which the callee's first message comes."""
    return Secret(hkdf_expand(secret.reveal(), b"voicebox/1 answer" + knock.digest(), 16))


def _call_keys(secret: Secret, knock: Knock, shared: bytes, callee_public: bytes) -> CallKeys:
    pseudo_random_key = hkdf_extract(secret.reveal(), shared)
    keys = hkdf_expand(pseudo_random_key, b"voicebox/1 call" + knock.digest() + callee_public, 32)
    return CallKeys(Secret(keys[:16]), Secret(keys[16:]), Secret(pseudo_random_key))


def answer_knock(knock: Knock, opened: OpenedKnock, secret: Secret, *, private_key: X25519PrivateKey | None = None) -> tuple[CallKeys, bytes]:
    """Agree to a knock as the callee: the call's keys, and our public key for the message `answer`. Spec: PROTOCOL.md §8.3."""
    key = private_key or X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    return _call_keys(secret, knock, x25519(key, opened.caller_public), public), public


def finish_knock(sent: SentKnock, callee_public: bytes) -> CallKeys:
    """Return the call's keys as the caller; whether they are right shows the first valid cell."""
    return _call_keys(sent.secret, sent.knock, x25519(sent.private_key, callee_public), callee_public)


def spare_keys(keys: CallKeys, knock: Knock) -> tuple[Secret, Secret]:
    """Return the keys of a call's second circuit: to callee, to caller. knock: the one that asks for it. Spec: PROTOCOL.md §9.5."""
    both = hkdf_expand(keys.pseudo_random_key.reveal(), b"voicebox/1 spare" + knock.digest(), 32)
    return Secret(both[:16]), nobodys_key() if keys.one_way else Secret(both[16:])


# ---------------------------------------------------------------------------------------------- the full handshake, once


@dataclass(frozen=True, slots=True)
class FullBinding:
    """What a full handshake is bound to: this call, this network, these two people."""

    keys: CallKeys
    network_id: bytes
    caller_id: bytes
    callee_id: bytes

    def digest(self) -> bytes:
        """Return C of PROTOCOL.md §8.4."""
        return sha256(b"voicebox/1 full", self.keys.to_callee.reveal(), self.keys.to_caller.reveal(), self.network_id, self.caller_id, self.callee_id)


@dataclass(frozen=True, slots=True)
class FirstSent:
    """The caller's half of a full handshake."""

    message: bytes = field(repr=False)
    private_key: Secret


def make_first(binding: FullBinding, identity: Identity, *, private_key: Secret | None = None) -> FirstSent:
    """Make `first` as the caller: hybrid public key 1216 | length u16, box certificate | signature 64."""
    key = private_key or new_hybrid_private()
    public = hybrid_public(key)
    signature = identity.box_key.sign(b"caller" + binding.digest() + public)
    return FirstSent(public + _with_length(identity.box_certificate) + signature, key)


def answer_first(
    binding: FullBinding,
    identity: Identity,
    authority: VerifiedAuthority,
    first: bytes,
    secret: Secret,
    now: dt.datetime,
    *,
    seed: bytes | None = None,
) -> tuple[bytes, Secret]:
    """Check `first` as the callee; return `second` and the new secret.

    Raises HandshakeError where the certificate is not of the contact's authority, valid now and for a box, or the signature not over this call.
    """
    public, rest = first[:PUBLIC_OCTETS], first[PUBLIC_OCTETS:]
    digest = binding.digest()
    _checked_box(rest, b"caller" + digest + public, authority, now)
    transcript = sha256(first)
    signature = identity.box_key.sign(b"callee" + digest + transcript)
    secret_seed = seed or secrets.token_bytes(32)
    second = seal_to(public, b"voicebox/1 pairing" + digest + transcript, secret_seed + _with_length(identity.box_certificate) + signature)
    return second, _new_secret(binding, secret, secret_seed, second)


def finish_second(binding: FullBinding, sent: FirstSent, authority: VerifiedAuthority, second: bytes, secret: Secret, now: dt.datetime) -> tuple[bytes, Secret]:
    """Check `second` as the caller; return `third` and the new secret. Raises HandshakeError as answer_first."""
    digest = binding.digest()
    transcript = sha256(sent.message)
    plaintext = open_sealed(sent.private_key, b"voicebox/1 pairing" + digest + transcript, second)
    _checked_box(plaintext[32:], b"callee" + digest + transcript, authority, now)
    new = _new_secret(binding, secret, plaintext[:32], second)
    return third_of(binding, new), new


def third_of(binding: FullBinding, new_secret: Secret) -> bytes:
    """Return `third`, by which the caller shows that it has the new secret: 32 octets."""
    return hmac.digest(new_secret.reveal(), b"voicebox/1 done" + binding.digest(), "sha256")


def check_third(binding: FullBinding, new_secret: Secret, third: bytes) -> None:
    """Check `third` as the callee; raises HandshakeError where the caller has another secret."""
    if not hmac.compare_digest(third_of(binding, new_secret), third):
        raise HandshakeError("the caller has another secret")


def _new_secret(binding: FullBinding, secret: Secret, seed: bytes, second: bytes) -> Secret:
    pseudo_random_key = hkdf_extract(secret.reveal(), seed + binding.keys.pseudo_random_key.reveal())
    return Secret(hkdf_expand(pseudo_random_key, b"voicebox/1 pair secret" + binding.digest() + sha256(second), SECRET_OCTETS))


def _with_length(certificate: bytes) -> bytes:
    return len(certificate).to_bytes(2, "big") + certificate


def _checked_box(octets: bytes, signed: bytes, authority: VerifiedAuthority, now: dt.datetime) -> VerifiedBox:
    """Read length u16, certificate, signature 64; check both."""
    length = int.from_bytes(octets[:2], "big")
    if length > MAX_CERTIFICATE_OCTETS or len(octets) != 2 + length + SIGNATURE_OCTETS:
        raise HandshakeError("a full handshake has the wrong length")
    box = verify_box(octets[2 : 2 + length], authority, now)
    try:
        box.public_key.verify(octets[2 + length :], signed)
    except InvalidSignature:
        raise HandshakeError("a full handshake's signature does not verify") from None
    return box
