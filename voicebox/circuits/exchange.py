"""The password-authenticated key exchange of a meeting, with its confirmation, and what is sealed under its key.

SPAKE2 over Ed25519's group as the library `spake2` makes it (Abdalla, Pointcheval: Simple password-based encrypted key exchange protocols, 2005; its transcript is older
than RFC 9382's). Each side names its role and C of the call that carries the meeting, so that messages of another call, network or role give another key.
What is shown goes with a proof that its sender has the key, so a wrong password is told from a right one before anything is opened; whoever has guessed
wrong has learnt that and no more. The library is not made for constant time: its computations on a box last a few milliseconds, and what a
network sees of them leaves in the next slot.

NOT here: who says what when (meeting.py), passwords (contacts/words.py). Pure but for the randomness of the element. Spec: PROTOCOL.md §8.8.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from voicebox.circuits.kdf import hkdf_expand, hkdf_extract
from voicebox.errors import Bug, HandshakeError
from voicebox.sensitive import Secret

ELEMENT_OCTETS = 33
PROOF_OCTETS, TAG_OCTETS = 32, 16
PADDED_OCTETS = 4096
SHOWN_OCTETS = PROOF_OCTETS + PADDED_OCTETS + TAG_OCTETS
MAX_TEXT_OCTETS = PADDED_OCTETS - 3
_NONCE = bytes(12)
"""Each key seals once."""


@dataclass(frozen=True, slots=True)
class ExchangeKeys:
    """What one side has once the other's element came. transcript: both elements."""

    ours: Secret
    theirs: Secret
    our_seal: Secret
    their_seal: Secret
    transcript: bytes = field(repr=False)

    def show(self, word: int, text: str) -> bytes:
        """Return our proof and what is sealed for the other: an octet and a text, padded. 4 144 octets."""
        octets = text.encode()
        if len(octets) > MAX_TEXT_OCTETS:
            raise Bug("a card that is too long to be shown")
        proof = _proof(self.ours, self.transcript)
        inside = bytes([word]) + len(octets).to_bytes(2, "big") + octets
        return proof + ChaCha20Poly1305(self.our_seal.reveal()).encrypt(_NONCE, inside.ljust(PADDED_OCTETS, b"\0"), proof)

    def see(self, shown: bytes) -> tuple[int, str]:
        """Check the other's proof, and open what it shows. Raises HandshakeError: the other has another password, or stands between."""
        proof, sealed = shown[:PROOF_OCTETS], shown[PROOF_OCTETS:]
        if len(shown) != SHOWN_OCTETS or not hmac.compare_digest(proof, _proof(self.theirs, self.transcript)):
            raise HandshakeError("the proof of a meeting does not verify")
        try:
            inside = ChaCha20Poly1305(self.their_seal.reveal()).decrypt(_NONCE, sealed, proof)
        except InvalidTag:
            raise HandshakeError("what was shown at a meeting does not open") from None
        length = int.from_bytes(inside[1:3], "big")
        if length > MAX_TEXT_OCTETS or any(inside[3 + length :]) or not inside[3 : 3 + length].isascii():
            raise HandshakeError("what was shown at a meeting is no text")
        return inside[0], inside[3 : 3 + length].decode("ascii")


class Exchange:
    """One side of one exchange. element: what is said to the other side, 33 octets. binding: C of the call (PROTOCOL.md §8.4)."""

    def __init__(self, password: Secret, binding: bytes, *, accepting: bool) -> None:
        self._binding, self._accepting = binding, accepting
        side = SPAKE2_A if accepting else SPAKE2_B
        self._spake = side(password.reveal(), idA=b"voicebox/1 accepter" + binding, idB=b"voicebox/1 inviter" + binding)
        self.element: bytes = self._spake.start()

    def finish(self, element: bytes) -> ExchangeKeys:
        """Take the other side's element; once. Raises HandshakeError where it is none of the group, or our own."""
        if len(element) != ELEMENT_OCTETS:
            raise HandshakeError("an element of a meeting has the wrong length")
        try:
            key: bytes = self._spake.finish(element)
        except (SPAKEError, NotOnCurve, ValueError):
            raise HandshakeError("an element of a meeting is none of its group") from None
        keys = hkdf_expand(hkdf_extract(b"voicebox/1 meeting", key), self._binding, 128)
        accepter, inviter, accepter_seal, inviter_seal = (Secret(keys[at : at + 32]) for at in range(0, 128, 32))
        if self._accepting:
            return ExchangeKeys(accepter, inviter, accepter_seal, inviter_seal, self.element + element)
        return ExchangeKeys(inviter, accepter, inviter_seal, accepter_seal, element + self.element)


def _proof(key: Secret, transcript: bytes) -> bytes:
    return hmac.digest(key.reveal(), transcript, "sha256")
