"""`voicebox cert check`: say whose device or service a certificate is. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_text
from voicebox.contacts.device_cert import VerifiedDevice, revoked_in, verify_device
from voicebox.contacts.device_certs import load_register
from voicebox.contacts.identity import VerifiedAuthority, verify_authority
from voicebox.contacts.revoked import Revoked
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HandshakeError, UsageError

OWN = "this box's owner"
MAX_OCTETS = 65_536
MAX_CRL_OCTETS = 262_144


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox cert check`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the certificate, PEM")
    parser.add_argument("--crl", type=Path, metavar="FILE", help="the newest list of revoked certificates that its owner gave you")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Look for the contact whose authority issued it. Raises UsageError where there is none, or it is not good."""
    now, store = dt.datetime.now(dt.UTC), StateDirectory(home_of(args))
    pem = load_text(args.file, "Give a certificate, PEM.", MAX_OCTETS).encode()
    whose, said, authority, device, told = _owner(pem, store, now)
    if whose == OWN and any(entry.serial == device.serial and entry.revoked is not None for entry in load_register(store)):
        raise UsageError("It is of this box's owner, and was revoked.")
    if told is not None and device.serial in told.serials:
        raise UsageError(f"It is of {whose}, and was revoked: their box said so.")
    listed = "nothing is known of revocations without a list: --crl FILE" if told is None else "not among those that their box said were revoked"
    if args.crl is not None:
        when = revoked_in(load_text(args.crl, "Give a list of revoked certificates, PEM.", MAX_CRL_OCTETS).encode(), authority, device.serial)
        if when is not None:
            raise UsageError(f"It is of {whose}, and was revoked on {when:%Y-%m-%d}.")
        listed = "the list does not have it"
    print(f"{device.name} of {whose} ({said}), good until {device.until:%Y-%m-%d}; {listed if whose != OWN else 'not revoked'}")
    return 0


def _owner(pem: bytes, store: StateDirectory, now: dt.datetime) -> tuple[str, str, VerifiedAuthority, VerifiedDevice, Revoked | None]:
    """Return whose a certificate is, how sure it is who that is, what was checked, and what the owner's box told. Raises UsageError with what is wrong."""
    contacts = store.load_contacts(now)
    known = [(contact.petname, contact.trust.value, contact.card.authority, contact.revoked) for contact in contacts if contact.open]
    known.append((OWN, "yours", verify_authority(store.load_identity(now).authority_certificate, now), None))
    problems = []
    for whose, said, authority, told in known:
        try:
            return whose, said, authority, verify_device(pem, authority, now), told
        except HandshakeError as problem:
            problems.append(str(problem))
    other = [problem for problem in problems if "somebody else" not in problem and "signature" not in problem]
    raise UsageError(f"{(other or ['No contact with whom there are calls issued it, nor did you'])[0]}.")
