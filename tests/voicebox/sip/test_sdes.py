"""Keys of SRTP in SDP."""

from __future__ import annotations

import base64

import pytest

from voicebox.errors import SipError
from voicebox.sensitive import Secret
from voicebox.sip.sdes import Crypto, Suite, parse_crypto, serialise_crypto

KEY = base64.b64encode(bytes(range(30))).decode()


@pytest.mark.parametrize("suite", Suite)
def test_what_is_written_is_read_again(suite: Suite) -> None:
    crypto = Crypto(7, suite, Secret(bytes(range(suite.key_octets))))
    assert parse_crypto(serialise_crypto(crypto)) == crypto
    assert KEY[:8] not in repr(crypto)


@pytest.mark.parametrize(
    "text",
    [
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"1  AES_CM_128_HMAC_SHA1_80\tinline:{KEY}|2^20",  # RFC 4568 §9.2: a lifetime
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1048576 WSH=64",
        f"1 AES_CM_128_HMAC_SHA1_80 INLINE:{KEY} -KDF=x",
    ],
)
def test_lifetimes_and_hints_are_taken(text: str) -> None:
    assert parse_crypto(text) == Crypto(1, Suite.AES_CM_128_80, Secret(bytes(range(30))))


def test_padding_of_base64_may_be_left_out() -> None:
    padded = base64.b64encode(bytes(28)).decode()
    assert padded.endswith("==")
    assert parse_crypto(f"1 AEAD_AES_128_GCM inline:{padded}") == parse_crypto(f"1 AEAD_AES_128_GCM inline:{padded.rstrip('=')}") is not None


@pytest.mark.parametrize(
    "text",
    [
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|1:4",  # a key identifier in every packet
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTCP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNAUTHENTICATED_SRTP",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} KDR=5",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} FEC_ORDER=FEC_SRTP",
    ],
)
def test_what_is_not_spoken_is_passed_over(text: str) -> None:
    assert parse_crypto(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 {KEY}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-4]}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY[:-1]}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^20|x",
        f"1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
    ],
)
def test_malformed_ones_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SipError) as caught:
        parse_crypto(text)
    assert caught.value.status == 400
    assert KEY[:8] not in str(caught.value)
