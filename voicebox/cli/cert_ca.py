"""`voicebox cert ca`: write the certificate by which browsers know contacts' services over TLS. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.cli.network_file import write_public
from voicebox.config.load import load_box
from voicebox.contacts.local_authority_file import local_authority
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox cert ca`."""
    parser.add_argument("file", metavar="FILE", type=Path, help="where to write it, for example contacts.pem")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Write the certificate; it holds no key."""
    home = home_of(args)
    authority = local_authority(StateDirectory(home), load_box(home).suffixes, dt.datetime.now(dt.UTC))
    write_public(args.file.absolute(), authority.to_install.decode())
    print(
        f"Give {args.file} to your browsers and programs as a trusted authority for web sites (curl: --cacert). It is this box's own, and good for names that end in "
        f"{' or '.join(f'.{suffix}' for suffix in sorted(authority.suffixes))} and for no other. Who has this box's directory can make certificates for those."
    )
    return 0
