"""What systemd would do with units that run a box: does one end the box's keeper with it?

Files are put together as systemd does it: of several units of one name that of the first folder counts, files that add to it (`NAME.d/*.conf`, those of its
template and `service.d` too) are taken from all folders by their names, of the same name the first; an empty value takes back what was said. NOT here: a running systemd.
Spec: systemd.unit(5), systemd.kill(5).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from voicebox.doctor.findings import UNIT_HINT, Finding, Grade
from voicebox.doctor.reading import files_in, text_of

SYSTEM_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
USER_FOLDERS = ("/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")

Folders = Sequence[Path]
"""Those of one manager, the first of them the strongest."""


def unit_folders() -> tuple[Folders, Folders]:
    """Return where units of the machine lie, and where those of this user."""
    try:
        own: Folders = (Path("~/.config/systemd/user").expanduser(),)
    except RuntimeError:  # who has no home has no units there
        own = ()
    return tuple(map(Path, SYSTEM_FOLDERS)), (*own, *map(Path, USER_FOLDERS))


def look_at_units(managers: Iterable[Folders]) -> Finding:
    """Return whether a unit that runs a box ends its keeper with it: all but KillMode=process does."""
    units = [unit for folders in managers for unit in _units(folders)]
    modes = [unit.get("KillMode", ["control-group"])[-1] for unit in units if any(_runs_a_box(line) for line in unit.get("ExecStart", ()))]
    if all(mode == "process" for mode in modes):
        return Finding("keeper", Grade.GOOD, "it outlives the box, and keeps the ports of its links taken" if modes else "no systemd unit here runs a box")
    said = "a systemd unit ends it with the box, so that this machine then answers a guard's packets with errors"
    return Finding("keeper", Grade.PROBLEM, said, f"{UNIT_HINT}: KillMode=process.")


def _runs_a_box(command: str) -> bool:
    words = [Path(word).name for word in command.split()]
    return ("voicebox", "run") in itertools.pairwise(words)


def _units(folders: Folders) -> list[dict[str, list[str]]]:
    """Return the settings of the units of one manager: what was said of each name, in order."""
    return [_settings([path, *_additions(folders, name)]) for name, path in _first(folders, "*.service").items()]


def _additions(folders: Folders, name: str) -> list[Path]:
    stem, at, _ = name.removesuffix(".service").partition("@")
    places = (f"{name}.d", *([f"{stem}@.service.d"] if at else []), "service.d")
    first = _first([folder / place for place in places for folder in folders], "*.conf")
    return [first[file] for file in sorted(first)]


def _first(folders: Folders, pattern: str) -> dict[str, Path]:
    """Return files by name, of several of one name that of the first folder."""
    first: dict[str, Path] = {}
    for folder in folders:
        for path in files_in(folder, pattern):
            first.setdefault(path.name, path)
    return first


def _settings(files: Iterable[Path]) -> dict[str, list[str]]:
    """Return what files say in [Service]. What cannot be read says nothing."""
    said: dict[str, list[str]] = {}
    for file in files:
        section = ""
        for line in text_of(file).replace("\\\n", " ").splitlines():
            name, equals, value = (part.strip() for part in line.partition("="))
            if line.startswith("["):
                section = line.strip()
            elif equals and section == "[Service]" and not line.lstrip().startswith(("#", ";")):
                said[name] = [*said.get(name, ()), value] if value else []
    return {name: values for name, values in said.items() if values}
