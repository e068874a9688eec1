"""The settings of a box and of a relay, and the one table of options that files, command line and status read.

NOT here: YAML (load.py). Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any, TypeVar

from voicebox.config.phones import NOBODY as NO_PHONE
from voicebox.config.phones import Network, PhonesElsewhere, parse_phone_elsewhere, phones_elsewhere
from voicebox.errors import UsageError

Word = TypeVar("Word", bound=Enum)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port, in numbers."""

    address: str = field(repr=False)
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


NOBODY = "none"
"""As the user of a trunk: not given."""


@unique
class Profile(Enum):
    """How much a box sends, always: its number of circuits at 50 cells a second each, or one at 25."""

    HOME = "home"
    DSL = "dsl"
    LAN = "lan"
    METERED = "metered"

    @property
    def circuits(self) -> int:
        """Return how many standing circuits the profile has."""
        return {Profile.HOME: 2, Profile.DSL: 1, Profile.LAN: 8, Profile.METERED: 1}[self]

    @property
    def is_metered(self) -> bool:
        """Return whether its circuits have a cell in every second slot only."""
        return self is Profile.METERED


@unique
class RelaySwitch(Enum):
    """Whether a box relays for others too."""

    ASK = "ask"
    """It looks whether it could, and says so."""
    ON = "on"
    OFF = "off"


@unique
class Doh(Enum):
    """What becomes of DNS over HTTPS with known resolvers while interception is on."""

    ALLOW = "allow"
    REFUSE = "refuse"
    """To devices of the LAN."""
    REFUSE_HERE = "refuse-here"
    """To programs of this machine too."""


def parse_network(text: str) -> Network | None:
    """Read an IP address or network in numbers, or none. Raises UsageError."""
    try:
        return None if text == "none" else ipaddress.ip_network(text)
    except ValueError:
        raise UsageError("should be none, or an IP address or network in numbers, for example 192.0.2.53 or 192.0.2.0/24") from None


def parse_endpoint(text: str) -> Endpoint:
    """Read ADDRESS:PORT or [V6]:PORT. Raises UsageError."""
    wrong = "should be ADDRESS:PORT in numbers, for example 192.168.1.10:5060"
    host, port = _host_and_port(text, wrong)
    try:
        return Endpoint(parse_address(host), port)
    except UsageError:
        raise UsageError(wrong) from None


def _host_and_port(text: str, wrong: str) -> tuple[str, int]:
    """Split HOST:PORT, where what has colons stands in brackets. wrong: what is said where it is none. Raises UsageError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (":" in bare) != host.startswith("[") or not _is_port(port):
        raise UsageError(wrong)
    return bare, int(port)


def parse_address(text: str) -> str:
    """Read an IP address in numbers. Raises UsageError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError("should be an IP address in numbers, for example 192.168.1.10") from None


def parse_socks(text: str) -> Endpoint | None:
    """Read ADDRESS:PORT, or none. Raises UsageError."""
    return None if text == "none" else parse_endpoint(text)


def parse_port(text: str) -> int:
    """Read a port. Raises UsageError."""
    if not _is_port(text):
        raise UsageError("should be a port: a number from 1 to 65535")
    return int(text)


def _is_port(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= 5 and 0 < int(text) <= 65_535


def parse_switch(text: str) -> bool:
    """Read yes or no. Raises UsageError."""
    if text not in {"yes", "no"}:
        raise UsageError("should be yes or no")
    return text == "yes"


def one_of(words: type[Word]) -> Callable[[str], Word]:
    """Return what reads one of these words; it raises UsageError."""

    def parse(text: str) -> Word:
        try:
            return words(text)
        except ValueError:
            raise UsageError(f"should be one of: {', '.join(each.value for each in words)}") from None

    return parse


def parse_suffix(text: str) -> str:
    """Read a suffix of names, without its first dot. Raises UsageError."""
    labels = text.lower().split(".")
    if len(text) > 64 or not all(label and len(label) <= 63 and label.isascii() and label.replace("-", "a").isalnum() for label in labels):
        raise UsageError("should be a suffix of names, for example privacy")
    return text.lower()


def parse_role(text: str) -> str:
    """Read a relay's role. Raises UsageError."""
    if text not in {"guard", "junction"}:
        raise UsageError("should be guard or junction")
    return text


def parse_digest(text: str) -> str:
    """Read the name of a digest algorithm. Raises UsageError."""
    if text not in {"md5", "sha-256"}:
        raise UsageError("should be md5 or sha-256")
    return text


def parse_word(text: str) -> str:
    """Read a short text. Raises UsageError."""
    if not 0 < len(text) <= 64 or not text.isprintable() or text != text.strip():
        raise UsageError("should be a short text")
    return text


def parse_uplink(text: str) -> str:
    """Read the name of an interface, or any. Raises UsageError."""
    if not re.fullmatch(r"[A-Za-z0-9_.:@+-]{1,15}", text) or text in {".", ".."}:
        raise UsageError("should be any, or the name of an interface of this machine, for example eth0")
    return text


def parse_server(text: str) -> tuple[str, int] | None:
    """Read HOST:PORT, by name or by address in numbers, or none. Raises UsageError."""
    if text == "none":
        return None
    wrong = "should be none, or HOST:PORT, for example sip.example.org:5061"
    host, port = _host_and_port(text, wrong)
    if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", host):
        raise UsageError(wrong)
    return host, port


def parse_transport(text: str) -> str:
    """Read a transport of SIP. Raises UsageError."""
    if text not in {"tls", "tcp", "udp"}:
        raise UsageError("should be tls, tcp or udp")
    return text


def parse_account(text: str) -> str:
    """Read a user's name at a provider. Raises UsageError."""
    if not re.fullmatch(r"[A-Za-z0-9\-_.!~*'()+]{1,64}", text):
        raise UsageError("should be 1 to 64 letters, digits and -_.!~*'()+")
    return text


def parse_circuits(text: str) -> int:
    """Read how many circuits a relay takes at most. Raises UsageError."""
    if not text.isdecimal() or len(text) > 6 or not 1 <= int(text) <= 65_536:
        raise UsageError("should be a number from 1 to 65536")
    return int(text)


def parse_cap(text: str) -> int | None:
    """Read a cap in whole units, or none. Raises UsageError."""
    if text == "none":
        return None
    if not text.isdecimal() or not text.isascii() or len(text) > 7 or int(text) == 0:
        raise UsageError("should be none, or a number from 1 to 9999999")
    return int(text)


@dataclass(frozen=True, slots=True)
class Option:
    """One line of the table. name: dotted path in the file; default: as it would be written, None where it must be given; many: a list."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    help: str
    many: bool = False


BOX_OPTIONS = (
    Option(
        "profile",
        one_of(Profile),
        "home",
        "home: two circuits, 245 kbit/s each way, always; dsl: one circuit, 122 kbit/s, and no spare; lan: eight, 979 kbit/s, for an office; metered: one at half the rate, 61 kbit/s, "
        "whose sound takes 20 ms longer, repairs no losses, and is coarser where phones have no Opus",
    ),
    Option("guards", parse_word, "any", "any: guards are drawn at random and kept; or the names of operators, whose guards alone are used", many=True),
    Option(
        "prefer",
        parse_word,
        "nobody",
        "nobody; or the names of operators whose guards are drawn first, such as your own or a contact's: a relay that few use shows who uses it",
        many=True,
    ),
    Option(
        "middle",
        parse_switch,
        "no",
        "yes: one relay more in each circuit, so that a junction does not see your guards; sound takes longer by that relay and its wire",
    ),
    Option("link_address", parse_address, "0.0.0.0", "local address from which the links to the guards leave"),  # noqa: S104 - outgoing sockets
    Option(
        "uplinks",
        parse_uplink,
        "any",
        "any: links leave as the system sends; or the names of one or two interfaces, over which alone they leave, one guard's over each. `voicebox uplinks use` sets it, and goes before this",
        many=True,
    ),
    Option(
        "uplinks_told",
        parse_switch,
        "no",
        "yes: I know what a second uplink shows: each provider that a box is here and which guard it has, and whoever sees both lines that they are one household's",
    ),
    Option("sip.listen", parse_endpoint, "127.0.0.1:5060", "where softphones find the box, over UDP and TCP; over TLS at the next port", many=True),
    Option("sip.realm", parse_word, "voicebox", "the realm of the phones' passwords; a change makes all of them invalid"),
    Option(
        "sip.digest",
        parse_digest,
        "md5",
        "how phones show that they know their password: md5, which every phone can; sha-256; or both, asked for in this order (some phones give up at sha-256, "
        "also beside md5)",
        many=True,
    ),
    Option("suffix", parse_suffix, "privacy", "what contacts' names end in; the first is the one shown", many=True),
    Option("dialplan", parse_word, "dialplan.yaml", "the dial plan, beside this file"),
    Option("probe", parse_switch, "yes", "yes: your contacts may measure how a call to you would sound, without ringing, at most twelve times an hour each"),
    Option(
        "relay",
        one_of(RelaySwitch),
        "ask",
        "ask: look whether others could reach this machine, and say that it could relay for them; on: relay, in a process of its own, by the settings in relay/relay.yaml; "
        "off: neither",
    ),
    Option(
        "trunk.server",
        parse_server,
        "none",
        "none; or HOST:PORT of an ordinary SIP provider, for numbers that the dial plan gives to `trunk`. NOTHING protects such calls: the provider knows you, whom you call, when, and every word",
    ),
    Option("trunk.transport", parse_transport, "tls", "tls, with sound by SRTP; tcp or udp: both in the clear, all the way"),
    Option("trunk.user", parse_account, NOBODY, "your user name there"),
    Option("trunk.password_file", parse_word, "trunk.password", "a file beside this one that holds your password there, and that nobody else can read"),
    Option("trunk.authority", parse_word, "system", "system; or a PEM file beside this one: who vouches for the provider's certificate"),
    Option(
        "trunk.register",
        parse_switch,
        "no",
        "yes: the provider is told where the box is, from its start on, as some want before they take calls; no: it hears of the box when you call",
    ),
    Option(
        "socks",
        parse_socks,
        "none",
        "none; or where programs of this machine find a SOCKS5 proxy that leads to contacts' services, and nowhere else: 127.0.0.1:1080",
    ),
    Option(
        "http_proxy",
        parse_socks,
        "none",
        "none; or where programs of this machine find the same as an HTTP proxy, for those that know no SOCKS5: 127.0.0.1:8118",
    ),
    Option(
        "names.listen",
        parse_socks,
        "none",
        "none; or where this machine's resolver asks for names of contacts, over UDP and TCP: 127.0.0.1:5354. Nothing else is answered there; `voicebox doctor` says how to point the resolver at it",
        many=True,
    ),
    Option(
        "names.ports",
        parse_port,
        "80",
        "ports at which programs of this machine find contacts by name from the first moment, without interception; those that a contact offers follow once its box has said so. Below 1024 the system has to allow it",
        many=True,
    ),
    Option(
        "intercept.modules",
        parse_word,
        "all",
        "all: those that come with the box, dns, http, sip, tcp and udp; or the names of protocol modules in the order in which they are asked, also of those that others made (INTERCEPTION.md)",
        many=True,
    ),
    Option(
        "intercept.doh",
        one_of(Doh),
        "allow",
        "allow; refuse: devices at the gateway are refused DNS over HTTPS with known public resolvers, so that they ask as the others do, and names of contacts do not leave; refuse-here: programs of this machine too. Read when interception is switched on",
    ),
    Option(
        "intercept.resolvers",
        parse_network,
        "none",
        "none; or addresses and networks of more such resolvers than the box knows",
        many=True,
    ),
    Option(
        "intercept.phones",
        parse_phone_elsewhere,
        NO_PHONE,
        "nobody; or which phones that are registered with another provider may call your contacts, by dialling their names there: here, for programs of this machine, addresses, networks. "
        "An address is no password: whoever has it calls as you",
        many=True,
    ),
    Option("intercept.sip_port", parse_port, "5060", "the port of such providers, to which a phone says what it dials in the clear"),
    Option(
        "page",
        parse_endpoint,
        "127.0.0.1:5080",
        "where a browser finds the box's page: on this machine alone, or at an address of sip.listen, then over TLS, with the certificate that phones install",
    ),
    Option("realtime", parse_switch, "yes", "ask the system for real-time scheduling, where it is allowed"),
)

RELAY_OPTIONS = (
    Option("listen", parse_endpoint, None, "address and UDP port that boxes and other relays connect to"),
    Option("role", parse_role, None, "guard: boxes connect here; junction: circuits end and are spliced here"),
    Option("operator", parse_word, None, "who runs it; nobody uses two relays of one operator on a path"),
    Option("listed", parse_switch, "yes", "no: relays and boxes do not hear of it from it; whoever has its card uses it"),
    Option("max_circuits", parse_circuits, "4096", "how many circuits are taken at most"),
    Option("limit.mbit_s", parse_cap, "none", "none, or Mbit/s that all links together may use in each direction: fewer circuits are taken then"),
    Option("limit.gb_month", parse_cap, "none", "none, or GB a month, in and out together: once reached, no circuits are taken from the next epoch on"),
    Option("realtime", parse_switch, "yes", "ask the system for real-time scheduling, where it is allowed"),
)


@dataclass(frozen=True, slots=True)
class TrunkConfig:
    """The settings of a trunk. transport: tls, tcp or udp; password_file, authority: names of files beside box.yaml, authority None for the system's."""

    host: str = field(repr=False)
    port: int
    transport: str
    user: str = field(repr=False)
    password_file: str
    authority: str | None
    registers: bool


@dataclass(frozen=True, slots=True)
class BoxConfig:
    """The settings of a box, whole and valid."""

    profile: Profile
    guards: frozenset[str] = field(repr=False)
    """Whose guards may be used; empty for anybody's."""
    prefer: frozenset[str] = field(repr=False)
    """Whose guards are drawn first; empty for nobody's."""
    middle: bool
    link_address: str = field(repr=False)
    uplinks: tuple[str, ...]
    """Interfaces over which alone links leave; empty for as the system sends."""
    uplinks_told: bool
    sip_listen: tuple[Endpoint, ...] = field(repr=False)
    sip_realm: str
    sip_digest: tuple[str, ...]
    """Each once, the stronger first (RFC 8760 §2.4)."""
    suffixes: tuple[str, ...]
    dialplan: str
    probe: bool
    relay: RelaySwitch
    trunk: TrunkConfig | None
    socks: Endpoint | None = field(repr=False)
    http_proxy: Endpoint | None = field(repr=False)
    names_listen: tuple[Endpoint, ...] = field(repr=False)
    """Where names of contacts are answered for; empty for nowhere."""
    names_ports: tuple[int, ...]
    intercept_modules: tuple[str, ...]
    intercept_doh: Doh
    intercept_resolvers: tuple[Network, ...] = field(repr=False)
    phones_elsewhere: PhonesElsewhere
    """Which phones that are registered elsewhere may call contacts."""
    sip_port: int
    """Of SIP servers elsewhere."""
    page_listen: Endpoint = field(repr=False)
    realtime: bool

    @property
    def tls_listen(self) -> tuple[Endpoint, ...]:
        """Return where phones find the box over TLS: the next port of each address that is one, for a certificate cannot name a wildcard."""
        return tuple(Endpoint(each.address, each.port + 1) for each in self.sip_listen if not ipaddress.ip_address(each.address).is_unspecified)

    @property
    def tls_addresses(self) -> tuple[str, ...]:
        """Return the addresses that the certificate for phones names."""
        return tuple(sorted({endpoint.address for endpoint in self.tls_listen}))


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """The settings of a relay, whole and valid."""

    listen: Endpoint
    role: str
    operator: str = field(repr=False)
    listed: bool
    max_circuits: int
    mbit_s: int | None
    gb_month: int | None
    realtime: bool


def box_config(values: dict[str, Any]) -> BoxConfig:
    """Make the settings of a box from parsed options."""
    return BoxConfig(
        values["profile"],
        frozenset(values["guards"]) - {"any"},
        frozenset(values["prefer"]) - {"nobody"},
        values["middle"],
        values["link_address"],
        tuple(each for each in values["uplinks"] if each != "any"),
        values["uplinks_told"],
        tuple(values["sip.listen"]),
        values["sip.realm"],
        tuple(sorted(set(values["sip.digest"]), reverse=True)),
        tuple(values["suffix"]),
        values["dialplan"],
        values["probe"],
        values["relay"],
        _trunk_config(values),
        values["socks"],
        values["http_proxy"],
        tuple(each for each in values["names.listen"] if each is not None),
        tuple(dict.fromkeys(values["names.ports"])),
        tuple(values["intercept.modules"]),
        values["intercept.doh"],
        tuple(each for each in values["intercept.resolvers"] if each is not None),
        phones_elsewhere(values["intercept.phones"]),
        values["intercept.sip_port"],
        values["page"],
        values["realtime"],
    )


def _trunk_config(values: dict[str, Any]) -> TrunkConfig | None:
    server = values["trunk.server"]
    if server is None:
        return None
    authority = None if values["trunk.authority"] == "system" else values["trunk.authority"]
    return TrunkConfig(
        server[0], server[1], values["trunk.transport"], values["trunk.user"], values["trunk.password_file"], authority, values["trunk.register"]
    )


def relay_config(values: dict[str, Any]) -> RelayConfig:
    """Make the settings of a relay from parsed options."""
    return RelayConfig(
        values["listen"],
        values["role"],
        values["operator"],
        values["listed"],
        values["max_circuits"],
        values["limit.mbit_s"],
        values["limit.gb_month"],
        values["realtime"],
    )


def check_given(options: tuple[Option, ...], values: dict[str, list[str]]) -> None:
    """Check values from a command line before they are written to a file. Raises UsageError that names the option."""
    for option in options:
        for value in values.get(option.name, ()):
            try:
                option.parse(value)
            except UsageError as problem:
                raise UsageError(f"{option.name}: {problem}.") from None


def example_file(options: tuple[Option, ...], values: dict[str, list[str]], title: str) -> str:
    """Return a commented file. Options with a value in `values` are set, the others stand as comments with their default."""
    lines = [f"# {title}", ""]
    section = ""
    for option in options:
        head, _, leaf = option.name.rpartition(".")
        indent = "  " if head else ""
        if head != section:
            section = head
            if head:
                lines.append(f"{head}:")
        given = values.get(option.name)
        written = given if given is not None else [option.default or ""]
        text = f"[{', '.join(_quoted(value) for value in written)}]" if option.many else _quoted(written[0])
        lines += [f"{indent}# {option.help}", f"{indent}{leaf}: {text}", ""]
    return "\n".join(lines[:-1]) + "\n"


def with_option(text: str, name: str, value: str) -> str:
    """Return the text of a file with another value of one option, which is in a line of its own or not in the file. Raises UsageError where it is written in another way."""
    leaf = name.rpartition(".")[2]
    changed, count = re.subn(rf"(?m)^([ ]*{leaf}:).*$", lambda found: f"{found[1]} {_quoted(value)}", text)
    if count > 1 or (count == 0 and "." in name):
        raise UsageError(f"{name} is not where `voicebox init` writes it. Set it to {value} by hand.")
    return changed if count else f"{text.rstrip()}\n\n{leaf}: {_quoted(value)}\n"


def _quoted(value: str) -> str:
    plain = value.replace(".", "").replace("_", "").replace("-", "").isalnum()
    return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
