"""How a relay that is not in the list is known where it connects: its certificate of DTLS holds its descriptor with its vouchers.

A peer's pin is that of its key, so a certificate of the same key may say more. In DTLS 1.3 nobody on the way sees it. NOT here: whether the vouchers suffice (network.py),
making such a certificate (relay_state.py). Pure. Spec: PROTOCOL.md §10.8.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from voicebox.circuits.descriptor import VerifiedDescriptor, parse_descriptor
from voicebox.errors import FileProblem

DESCRIPTOR_EXTENSION = ObjectIdentifier("2.25.96614275331884092118843391213437812873")
"""From the arc of UUIDs, which needs no registration (ITU-T X.667 §7)."""
MAX_OCTETS = 8_192


def descriptor_shown(certificate: bytes) -> VerifiedDescriptor | None:
    """Return the descriptor in a certificate (DER), its own signature checked; None where there is none that could be read."""
    if len(certificate) > MAX_OCTETS:
        return None
    try:
        found = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_oid(DESCRIPTOR_EXTENSION)
    except Exception:  # noqa: BLE001 - the library raises a dozen types on malformed input, and all of them mean the same here
        return None
    if not isinstance(found.value, x509.UnrecognizedExtension):
        return None
    try:
        return parse_descriptor(found.value.value.decode("utf-8", "replace"), "certificate")
    except FileProblem:
        return None
