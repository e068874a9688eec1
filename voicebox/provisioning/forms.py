"""A phone's account in the forms that its application takes. Pure.

Linphone takes an XML page from a URL (lpconfig, as liblinphone's config files name their entries), baresip a line of its file `accounts`, MicroSIP a section of
MicroSIP.ini, people a card. Each says what the box expects: where the phone speaks TLS its sound is SRTP, where it is for DTLS that, and nothing else will do.
NOT here: who may fetch the page (tickets.py, server.py), the account's own file (config/account.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from voicebox.config.load import KnownPhone
from voicebox.config.model import BoxConfig, Endpoint
from voicebox.errors import UsageError

NO_EMERGENCY = "No emergency calls from this telephone: the box refuses them. Keep another one for those."
_NOT_ELSEWHERE = (("misc", "file_transfer_server_url"), ("misc", "log_collection_upload_server_url"), ("sip", "rls_uri"), ("net", "stun_server"))
"""Servers on the internet that Linphone would otherwise use by itself."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a phone needs to know. server: where it finds the box over its transport; realm: of its password; suffix: of contacts' names."""

    phone: KnownPhone
    server: Endpoint
    realm: str
    suffix: str = "privacy"

    @property
    def host(self) -> str:
        """Return the address as it stands in a URI."""
        return str(self.server).rpartition(":")[0]

    @property
    def password(self) -> str:
        """Return the password in clear."""
        return self.phone.password.reveal().decode()

    @property
    def private(self) -> bool:
        """Say whether it speaks TLS, and SRTP with it."""
        return not self.phone.clear

    @property
    def encryption(self) -> str:
        """Return what protects its sound, in the words of phones' menus; "" for nothing."""
        return "DTLS-SRTP" if self.phone.dtls else "SRTP" if self.private else ""


def login_of(config: BoxConfig, phone: KnownPhone) -> Login:
    """Return how a phone finds a box. Raises UsageError where it cannot."""
    listen = config.sip_listen if phone.clear else config.tls_listen
    if not listen:
        raise UsageError("TLS needs an address in sip.listen of box.yaml, not only a wildcard. Or give the phone --transport udp.")
    return Login(phone, listen[0], config.sip_realm, config.suffixes[0])


def linphone_page(login: Login, *, any_certificate: bool = False) -> str:
    """Return the page for Linphone's remote provisioning. any_certificate: let the phone talk to whoever answers at the address, since it cannot be given the box's certificate."""
    server = f"sip:{login.server};transport={login.phone.transport}"
    check = "0" if any_certificate else "1"
    entries = [
        ("sip", "media_encryption", {"": "none", "SRTP": "srtp", "DTLS-SRTP": "dtls"}[login.encryption]),
        ("sip", "media_encryption_mandatory", "1" if login.encryption else "0"),
        ("sip", "verify_server_certs", check),
        ("sip", "verify_server_cn", check),
        ("sip", "default_proxy", "0"),
        *((section, name, "") for section, name in _NOT_ELSEWHERE),
        ("proxy_0", "reg_proxy", f"<{server}>"),
        ("proxy_0", "reg_route", f"<{server};lr>"),
        ("proxy_0", "reg_identity", f"sip:{login.phone.user}@{login.host}"),
        ("proxy_0", "reg_expires", "300"),
        ("proxy_0", "reg_sendregister", "1"),
        ("proxy_0", "publish", "0"),
        ("proxy_0", "push_notification_allowed", "0"),
        ("auth_info_0", "username", login.phone.user),
        ("auth_info_0", "passwd", login.password),
        ("auth_info_0", "realm", login.realm),
        ("auth_info_0", "domain", login.host),
    ]
    sections = []
    for section in dict.fromkeys(section for section, _, _ in entries):
        lines = [f'    <entry name="{name}" overwrite="true">{escape(value)}</entry>' for of, name, value in entries if of == section]
        sections.append("\n".join([f'  <section name="{section}">', *lines, "  </section>"]))
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<config xmlns="http://www.linphone.org/xsds/lpconfig.xsd">'
    return "\n".join([head, *sections, "</config>"]) + "\n"


def baresip_line(login: Login) -> str:
    """Return a line of baresip's file `accounts`. Over TLS its `config` needs `sip_cafile`, and for protected sound `module srtp.so`, or `dtls_srtp.so` for DTLS."""
    protected = {"": "", "SRTP": ";mediaenc=srtp-mand", "DTLS-SRTP": ";mediaenc=dtls_srtp"}[login.encryption]
    user = f"<sip:{login.phone.user}@{login.server};transport={login.phone.transport}>"
    return f"{user};auth_user={login.phone.user};auth_pass={login.password};regint=300{protected};audio_codecs=opus/48000/2,pcma/8000/1,pcmu/8000/1\n"


def microsip_section(login: Login) -> str:
    """Return a section of MicroSIP.ini. Raises UsageError for an account of DTLS-SRTP, which it does not know."""
    if login.phone.dtls:
        raise UsageError("MicroSIP does not know DTLS-SRTP. Make its account with --keying sdes.")
    entries = {
        "label": login.phone.user,
        "server": str(login.server),
        "proxy": str(login.server),
        "domain": login.host,
        "username": login.phone.user,
        "password": login.password,
        "authID": login.phone.user,
        "displayName": "",
        "transport": login.phone.transport,
        "SRTP": "mandatory" if login.private else "",
        "registerRefresh": "300",
        "publish": "0",
        "ICE": "0",
        "allowRewrite": "0",
        "disableSessionTimer": "0",
    }
    return "[Account1]\n" + "".join(f"{name}={value}\n" for name, value in entries.items())


def _rows(login: Login) -> list[tuple[str, str]]:
    rows = [("server", str(login.server)), ("user", login.phone.user), ("password", login.password), ("transport", login.phone.transport)]
    if login.encryption:
        rows += [("sound", f"{login.encryption}, mandatory")]
    if login.private:
        rows += [("certificate", "box.pem, from `voicebox phone ca box.pem`")]
    return [*rows, ("to call", f"a name, or NAME.{login.suffix}; *43 gives back what you say")]


def card(login: Login) -> str:
    """Return a card to be printed, as text."""
    rows = _rows(login)
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join([f"Telephone {login.phone.user}", "", *(f"{name:{width}}{value}" for name, value in rows), "", NO_EMERGENCY]) + "\n"


def card_page(login: Login) -> str:
    """Return the same card as one page of HTML, which needs nothing from anywhere."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _rows(login))
    style = (
        "body{font:14pt sans-serif;margin:2em}table{border-collapse:collapse;border:1px solid}th,td{text-align:left;padding:.4em .8em;border-bottom:1px solid #bbb}"
        "td{font-family:monospace}"
    )
    name = escape(login.phone.user)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Telephone {name}</title><style>{style}</style></head>'
        f"<body><h1>Telephone {name}</h1><table>{rows}</table><p>{escape(NO_EMERGENCY)}</p></body></html>\n"
    )
