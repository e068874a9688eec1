"""The file of a box's invitations: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from voicebox.circuits.invitation_file import KeptInvitation, parse_invitations, serialise_invitations
from voicebox.errors import FileProblem

ONE = KeptInvitation(3, "ab" * 32, "kettle rocket violin", 7_000_000, "robert", True, 1, 2, "card\n", "Bob", False)
FIELDS = asdict(ONE)


def test_what_is_written_is_read_and_does_not_show_itself() -> None:
    kept = [ONE, replace(ONE, place=4, password="häuser", card="", settled=True)]
    assert parse_invitations(serialise_invitations(kept), "invitations") == kept
    assert parse_invitations(serialise_invitations([]), "invitations") == []
    for private in ("ab" * 32, "kettle", "robert", "Bob", "card"):
        assert private not in repr(ONE)


@pytest.mark.parametrize(
    "said",
    [
        {},
        [7],
        [FIELDS | {"secret": "ab" * 31}],
        [FIELDS | {"secret": "AB" * 32}],
        [FIELDS | {"wrong_tries": True}],
        [FIELDS | {"wrong_tries": "1"}],
        [FIELDS | {"more": 1}],
        [{name: value for name, value in FIELDS.items() if name != "meetings"}],
    ],
    ids=["no list", "no object", "short", "capitals", "a truth", "a text", "one more", "one less"],
)
def test_what_is_no_list_of_invitations_is_told(said: object) -> None:
    with pytest.raises(FileProblem, match="no invitations"):
        parse_invitations(json.dumps(said).encode(), "invitations")


@pytest.mark.parametrize("octets", [b"", b"\xff", b"[", b"[" * 100_000], ids=["empty", "no text", "cut off", "deep"])
def test_what_is_no_json_is_told(octets: bytes) -> None:
    with pytest.raises(FileProblem, match="no invitations"):
        parse_invitations(octets, "invitations")
