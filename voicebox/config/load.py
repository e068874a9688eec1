"""Read box.yaml, relay.yaml and the accounts of phones: all problems at once, nothing half valid. [io: load_*]

NOT here: the options (model.py).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from voicebox.config.model import BOX_OPTIONS, NOBODY, RELAY_OPTIONS, BoxConfig, Option, RelayConfig, RelaySwitch, box_config, relay_config
from voicebox.errors import FileProblem, UsageError
from voicebox.positions import PositionedFile
from voicebox.sensitive import Secret

MAX_LIST = 16


def parse_options(text: str, file: str, options: tuple[Option, ...]) -> dict[str, Any]:
    """Return the parsed value of every option, by name. Raises ProblemsFound."""
    source = PositionedFile(text, file)
    nodes = _leaves(source, options)
    values: dict[str, Any] = {}
    for option in options:
        node = nodes.get(option.name)
        if node is not None:
            values[option.name] = _value(source, option, node)
        elif option.default is not None:
            parsed = option.parse(option.default)
            values[option.name] = [parsed] if option.many else parsed
        elif not source.problems:
            source.problem(source.root, option.name, "must be given", f"It is: {option.help}.")
    source.raise_problems()
    return values


def _leaves(source: PositionedFile, options: tuple[Option, ...]) -> dict[str, yaml.Node]:
    """Return the node of each option that the file sets."""
    sections = {option.name.partition(".")[0] for option in options if "." in option.name}
    top = source.mapping(source.root, "", {option.name.partition(".")[0] for option in options})
    leaves = {name: node for name, node in top.items() if name not in sections}
    for section in sorted(sections & set(top)):
        known = [option.name.partition(".")[2] for option in options if option.name.startswith(f"{section}.")]
        leaves |= {f"{section}.{name}": node for name, node in source.mapping(top[section], section, known).items()}
    return leaves


def _value(source: PositionedFile, option: Option, node: yaml.Node) -> Any:
    if option.many:
        items = source.sequence(node, option.name)
        if isinstance(node, yaml.SequenceNode) and not 1 <= len(items) <= MAX_LIST:
            source.problem(node, option.name, f"should be a list of 1 to {MAX_LIST}")
        return [_scalar(source, option, item) for item in items]
    return _scalar(source, option, node)


def _scalar(source: PositionedFile, option: Option, node: yaml.Node) -> Any:
    text = source.text(node, option.name)
    if text is None:
        return None
    try:
        return option.parse(text)
    except UsageError as problem:
        source.problem(node, option.name, str(problem), f"It is: {option.help}.")
        return None


def load_text(path: Path, hint: str, max_octets: int = 1 << 20) -> str:
    """Read a text file. Raises FileProblem."""
    try:
        if path.stat().st_size > max_octets:
            raise FileProblem(str(path), 0, "the file is far too long", hint)
        return path.read_text("utf-8")
    except OSError as error:
        raise FileProblem(str(path), 0, f"the file cannot be read ({error.strerror})", hint) from None
    except UnicodeDecodeError:
        raise FileProblem(str(path), 0, "the file is not UTF-8 text", hint) from None


def load_box(home: Path) -> BoxConfig:
    """Read the settings of a box. Raises FileProblem, ProblemsFound."""
    path = home / "box.yaml"
    config = box_config(parse_options(load_text(path, "Is this a box's directory? `voicebox init --home DIR` makes one."), str(path), BOX_OPTIONS))
    if wrong := _wrong_uplinks(config):
        raise FileProblem(str(path), 0, *wrong)
    if config.trunk is not None and config.trunk.user == NOBODY:
        raise FileProblem(str(path), 0, "trunk.user must be given beside trunk.server", "It is your user name at the provider.")
    if config.phones_elsewhere and all(ipaddress.ip_address(endpoint.address).is_loopback for endpoint in config.sip_listen):
        hint = "Add this machine's address in their network, or 0.0.0.0: a call begins by way of their provider, and goes on straight to the box."
        raise FileProblem(str(path), 0, "intercept.phones needs an address in sip.listen that those phones reach", hint)
    return config


def _wrong_uplinks(config: BoxConfig) -> tuple[str, str] | None:
    """Return what is wrong with the settings of uplinks, and what to do."""
    if not config.uplinks:
        return None
    if len(config.uplinks) > 2 or len(set(config.uplinks)) != len(config.uplinks):
        return "uplinks should be one or two interfaces, none twice", "Others carry nothing."
    if len(config.uplinks) == 2 and not config.uplinks_told:
        shown = "A second uplink shows each provider that a box is here and which guard it has, and whoever sees both lines that they are one household's."
        return "a second uplink needs the word that you know what it shows", f"{shown} `voicebox uplinks use` tells all of it; or write: uplinks_told: yes."
    if not ipaddress.ip_address(config.link_address).is_unspecified:
        return "uplinks and link_address both say where links leave from", "Give one of the two."
    if config.relay is RelaySwitch.ON:
        return "a box that relays for others has one uplink, that of its system", "Write relay: off, or no uplinks."
    return None


def load_secret(path: Path, hint: str) -> Secret:
    """Read a password that stands alone in a file. Raises FileProblem, also where others can read it."""
    text = load_text(path, hint).strip()
    if path.stat().st_mode & 0o077:
        raise FileProblem(str(path), 0, "others can read this file", "`chmod 600` it.")
    if not text:
        raise FileProblem(str(path), 0, "the file is empty", hint)
    return Secret(text.encode())


def load_relay(home: Path) -> RelayConfig:
    """Read the settings of a relay. Raises FileProblem, ProblemsFound."""
    path = home / "relay.yaml"
    hint = "Is this a relay's directory? `voicebox relay init --home DIR ...` makes one."
    return relay_config(parse_options(load_text(path, hint), str(path), RELAY_OPTIONS))


@dataclass(frozen=True, slots=True)
class KnownPhone:
    """What a box knows of a phone. transport: udp, tcp or tls; keying: how the keys of its sound are agreed on, sdes (in SDP) or dtls."""

    user: str
    password: Secret
    transport: str
    keying: str = "sdes"

    @property
    def dtls(self) -> bool:
        """Say whether it is offered DTLS-SRTP, and its sound is never in the clear."""
        return self.keying == "dtls"

    @property
    def clear(self) -> bool:
        """Say whether it may speak in the clear; else only over TLS."""
        return self.transport != "tls"


def load_phones(home: Path) -> list[KnownPhone]:
    """Read every phone of a box: phones/NAME.yaml, the file that the phone reads too. Raises FileProblem, ProblemsFound."""
    folder = home / "phones"
    found = []
    for path in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
        source = PositionedFile(load_text(path, "Delete the file, and make the phone anew with `voicebox phone add`."), str(path))
        nodes = source.mapping(source.root, "", ("server", "user", "password", "transport", "keying"))
        values = {key: source.text(node, key) or "" for key, node in nodes.items()}
        for name in ("user", "password"):
            if not source.problems and not values.get(name):
                source.problem(source.root, name, "is missing", "Delete the file, and make the phone anew with `voicebox phone add`.")
        transport = values.get("transport", "udp")
        if transport not in {"tls", "tcp", "udp"}:
            source.problem(nodes["transport"], "transport", "should be tls, tcp or udp")
        keying = values.get("keying", "sdes")
        if keying not in {"sdes", "dtls"}:
            source.problem(nodes["keying"], "keying", "should be sdes or dtls")
        source.raise_problems()
        found.append(KnownPhone(values["user"], Secret(values["password"].encode()), transport, keying))
    return found


def load_phone(home: Path, user: str) -> KnownPhone:
    """Read one phone of a box. Raises UsageError where there is none of that name, FileProblem, ProblemsFound."""
    for phone in load_phones(home):
        if phone.user == user:
            return phone
    raise UsageError("There is no phone of that name; `voicebox phone add` makes one.")


def load_users(home: Path) -> tuple[str, ...]:
    """Read the users of all phones of a box. Raises FileProblem, ProblemsFound."""
    return tuple(phone.user for phone in load_phones(home))
