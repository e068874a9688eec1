"""openssl's s_client and s_server as a phone's side of DTLS-SRTP: another library than the engine's. [io]"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pylibsrtp import Policy

from voicebox.sip.fingerprint import Fingerprint

LOCAL = "127.0.0.1"
LABEL = "EXTRACTOR-dtls_srtp"
WAIT_S = 20
PROFILES = {
    "SRTP_AES128_CM_SHA1_80": (16, 14, Policy.SRTP_PROFILE_AES128_CM_SHA1_80),
    "SRTP_AEAD_AES_128_GCM": (16, 12, Policy.SRTP_PROFILE_AEAD_AES_128_GCM),
    "SRTP_AEAD_AES_256_GCM": (32, 12, Policy.SRTP_PROFILE_AEAD_AES_256_GCM),
}
"""Octets of key and salt, and libsrtp's name, of each that a phone may want."""


def make_certificate(directory: Path) -> Path:
    """Make a phone's key and certificate in one file of PEM; skips the test where openssl is not installed."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    path, alone = directory / "phone.pem", directory / "phone.crt"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a phone", "-days", "2"]
    subprocess.run([program, "req", "-x509", *kind, "-keyout", path, "-out", alone], check=True, capture_output=True)
    path.write_text(path.read_text() + alone.read_text())
    return path


def fingerprint_of(certificate: Path, name: str = "sha-256") -> Fingerprint:
    """Return the fingerprint of what make_certificate() made."""
    der = ssl.PEM_cert_to_DER_cert(certificate.with_suffix(".crt").read_text())
    return Fingerprint(name, hashlib.new(name.replace("-", ""), der).digest())


class OpenSsl:
    """One side of a handshake, and what it said so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, profile: str) -> None:
        self._process, self._log, self._profile = process, log, profile

    def said(self, pattern: str) -> str:
        """Wait until it has said something; return what is between the parentheses."""
        ends = time.monotonic() + WAIT_S
        while (found := re.search(pattern, self._log.read_text("utf-8", "replace"))) is None:
            assert time.monotonic() < ends, self._log.read_text("utf-8", "replace")
            assert self._process.poll() is None, self._log.read_text("utf-8", "replace")
            time.sleep(0.02)
        return found[1]

    def keys(self) -> tuple[bytes, bytes]:
        """Return master key and salt of the side that said hello, and of the other. Spec: RFC 5764 §4.2."""
        key, salt, _ = PROFILES[self._profile]
        exported = bytes.fromhex(self.said(r"Keying material: ([0-9A-F]+)\n"))
        assert len(exported) == 2 * (key + salt)
        first, second = (exported[side * key :][:key] + exported[2 * key + side * salt :][:salt] for side in (0, 1))
        return first, second


@contextlib.contextmanager
def openssl(directory: Path, certificate: Path, profile: str, port: int, box_port: int | None) -> Iterator[OpenSsl]:
    """Run a phone's side at a port; box_port: where to say hello to, None: it waits for one."""
    key, salt, _ = PROFILES[profile]
    waits = ["s_server", "-accept", f"{LOCAL}:{port}", "-Verify", "1"]
    role = waits if box_port is None else ["s_client", "-connect", f"{LOCAL}:{box_port}", "-bind", f"{LOCAL}:{port}"]
    more = [
        "-dtls1_2",
        "-cert",
        str(certificate),
        "-key",
        str(certificate),
        "-use_srtp",
        profile,
        "-keymatexport",
        LABEL,
        "-keymatexportlen",
        str(2 * (key + salt)),
    ]
    log = directory / f"openssl-{role[0]}"
    with log.open("wb") as out, subprocess.Popen(["openssl", *role, *more], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            yield OpenSsl(process, log, profile)
        finally:
            process.kill()
