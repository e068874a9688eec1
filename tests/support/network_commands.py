"""A network made by the commands that its people type, in this process."""

from __future__ import annotations

from pathlib import Path

from voicebox.circuits.terms import network_line
from voicebox.cli.main import main
from voicebox.cli.network_file import read_network


def make_network(file: Path, descriptors: list[Path], epoch_s: int = 3600) -> None:
    """Create a network with one voucher key, and vouch for its relays."""
    assert main(["network", "create", str(file), "--epoch", str(epoch_s)]) == 0
    vouch(file, descriptors)


def vouch(file: Path, descriptors: list[Path]) -> None:
    """Vouch for relays, which are admitted by that."""
    assert main(["relay", "vouch", "--network", str(file), *map(str, descriptors)]) == 0


def line_of(file: Path) -> str:
    """Return the line of a network."""
    return network_line(read_network(file).network_id)


def join_network(home: Path, file: Path) -> None:
    """Let a box or relay join."""
    assert main(["network", "join", line_of(file), str(file), "--home", str(home)]) == 0
