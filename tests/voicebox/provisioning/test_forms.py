"""An account in the forms that applications read."""

from __future__ import annotations

import configparser
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from voicebox.config.load import KnownPhone, parse_options
from voicebox.config.model import BOX_OPTIONS, Endpoint, box_config
from voicebox.errors import UsageError
from voicebox.provisioning.forms import Login, baresip_line, card, card_page, linphone_page, login_of, microsip_section
from voicebox.sensitive import Secret

PASSWORD = "abcdefghkmnpqrstuvwx"
SPACE = "{http://www.linphone.org/xsds/lpconfig.xsd}"


def login(transport: str = "tls", user: str = "desk", host: str = "192.0.2.10", keying: str = "sdes") -> Login:
    return Login(KnownPhone(user, Secret(PASSWORD.encode()), transport, keying), Endpoint(host, 5061), "voicebox")


def entries(page: str) -> dict[tuple[str, str], str]:
    root = ET.fromstring(page)
    assert root.tag == f"{SPACE}config"
    assert all(entry.get("overwrite") == "true" for entry in root.iter(f"{SPACE}entry"))
    return {(section.get("name") or "", entry.get("name") or ""): entry.text or "" for section in root for entry in section}


def test_linphone_is_given_tls_and_srtp() -> None:
    said = entries(linphone_page(login()))
    assert said["proxy_0", "reg_proxy"] == "<sip:192.0.2.10:5061;transport=tls>"
    assert said["proxy_0", "reg_identity"] == "sip:desk@192.0.2.10"
    assert (said["sip", "media_encryption"], said["sip", "media_encryption_mandatory"]) == ("srtp", "1")
    assert (said["auth_info_0", "username"], said["auth_info_0", "passwd"], said["auth_info_0", "realm"]) == ("desk", PASSWORD, "voicebox")
    assert (said["sip", "verify_server_certs"], said["sip", "verify_server_cn"]) == ("1", "1")
    assert said["misc", "file_transfer_server_url"] == said["sip", "rls_uri"] == ""
    assert entries(linphone_page(login(), any_certificate=True))["sip", "verify_server_certs"] == "0"


def test_a_phone_in_the_clear_is_not_told_to_protect() -> None:
    said = entries(linphone_page(login("udp")))
    assert (said["sip", "media_encryption"], said["proxy_0", "reg_proxy"]) == ("none", "<sip:192.0.2.10:5061;transport=udp>")
    assert "mediaenc" not in baresip_line(login("tcp"))
    assert "SRTP=\n" in microsip_section(login("udp"))
    assert "SRTP" not in card(login("udp"))


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_a_phone_for_dtls_is_told_so(transport: str) -> None:
    shaken = login(transport, keying="dtls")
    said = entries(linphone_page(shaken))
    assert (said["sip", "media_encryption"], said["sip", "media_encryption_mandatory"]) == ("dtls", "1")
    assert ";mediaenc=dtls_srtp;" in baresip_line(shaken)
    assert "DTLS-SRTP, mandatory" in card(shaken)
    assert ("box.pem" in card(shaken)) is (transport == "tls")
    with pytest.raises(UsageError, match="MicroSIP"):
        microsip_section(shaken)


def test_names_are_escaped_and_addresses_of_ipv6_stand_in_brackets() -> None:
    odd = login(user="a'b~(", host="2001:db8::1")
    said = entries(linphone_page(odd))
    assert said["auth_info_0", "username"] == "a'b~("
    assert said["proxy_0", "reg_identity"] == "sip:a'b~(@[2001:db8::1]"
    assert baresip_line(odd).startswith("<sip:a'b~(@[2001:db8::1]:5061;transport=tls>;")


def test_baresip_and_microsip() -> None:
    line = baresip_line(login())
    assert line.count("\n") == 1
    assert {"auth_user=desk", f"auth_pass={PASSWORD}", "mediaenc=srtp-mand"} <= set(line.strip().split(";"))
    parser = configparser.ConfigParser()
    parser.read_string(microsip_section(login()))
    account = parser["Account1"]
    assert (account["server"], account["username"], account["password"], account["transport"], account["SRTP"]) == (
        "192.0.2.10:5061",
        "desk",
        PASSWORD,
        "tls",
        "mandatory",
    )


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_cards_say_what_is_to_be_typed_and_that_no_help_comes() -> None:
    text, page = card(login(user="desk")), _Page()
    page.feed(card_page(login(user="desk")))
    for word in ("192.0.2.10:5061", "desk", PASSWORD, "tls", "No emergency calls"):
        assert word in text
        assert any(word in said for said in page.words)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not {"src", "href"} & {name for _, names in page.tags for name in names}, "it needs nothing from anywhere"


def test_where_a_phone_finds_the_box() -> None:
    config = box_config(parse_options("sip:\n  listen: ['0.0.0.0:5060']\n", "box.yaml", BOX_OPTIONS))
    phone = KnownPhone("desk", Secret(b"x"), "tls")
    with pytest.raises(UsageError, match="wildcard"):
        login_of(config, phone)
    assert login_of(config, KnownPhone("desk", Secret(b"x"), "udp")).server == Endpoint("0.0.0.0", 5060)
    config = box_config(parse_options("sip:\n  listen: ['192.0.2.10:5060']\n", "box.yaml", BOX_OPTIONS))
    assert login_of(config, phone).server == Endpoint("192.0.2.10", 5061)
