"""A certificate that the TLS proxy serves, or of a file: whose it is, how long it is good, what is wrong with it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from samstudio.deployment import TlsSettings

SECONDS = 10.0
DAY = 86400.0
#: People need time to get another one.
SOON_DAYS = 21.0
#: Caddy renews its own when a third of their lifetime is left (https://caddyserver.com/docs/automatic-https); half of
#: that third later, renewing does not work.
LATE_PART = 1 / 6


@dataclass(frozen=True)
class Certificate:
    #: "acme" and "internal" are renewed by the proxy, "file" by people
    kind: str
    #: what it has to be for, "" for whatever it is
    domain: str
    #: as openssl writes it
    issuer: str
    #: its first and its last moment, in seconds since 1970
    begin: float
    end: float
    #: whether it is for this domain
    fits: bool

    @property
    def ends(self) -> str:
        """UTC, ISO 8601."""
        return datetime.fromtimestamp(self.end, timezone.utc).isoformat()

    @property
    def left(self) -> float:
        """In days, less than 0 for one that has ended."""
        return (self.end - time.time()) / DAY

    @property
    def ended(self) -> bool:
        return self.left <= 0

    @property
    def soon(self) -> bool:
        """It ends soon, and nobody seems to care."""
        return time.time() > self._soon_from

    @property
    def wrong_from(self) -> float:
        """From when on `wrong` says something, in seconds since 1970; 0 for always."""
        return self._soon_from if self.fits else 0.0

    @property
    def _soon_from(self) -> float:
        return self.end - (SOON_DAYS * DAY if self.kind == "file" else (self.end - self.begin) * LATE_PART)

    @property
    def remaining(self) -> str:
        """How long it is still good, or since when it is not, in words."""
        days = abs(self.left)
        shown = f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"
        return f"ended {shown} ago" if self.ended else f"good for {shown}"

    @property
    def wrong(self) -> str:
        """In words; "" where nothing is."""
        if not self.fits:
            return f"it is not for {self.domain}"
        return f"it {self.remaining}" if self.ended else f"it is {self.remaining} only" if self.soon else ""


def served(tls: TlsSettings) -> Certificate:
    """Ask the proxy as a browser would. Nobody's word is taken for the certificate: it is looked at, not trusted.

    Raises:
        OSError: nothing answers, or there is no certificate yet.
        ValueError: it cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((tls.address, tls.port), timeout=SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=tls.domain) as secured,
    ):
        der = secured.getpeercert(binary_form=True) or b""
    return _read(ssl.DER_cert_to_PEM_cert(der).encode(), tls.kind, tls.domain)


def in_file(file: Path) -> Certificate:
    """The first certificate of a PEM file, for whatever it is.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no certificate that can be.
    """
    try:
        return _read(file.read_bytes(), "file", "")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _read(pem: bytes, kind: str, domain: str) -> Certificate:
    argv = ["openssl", "x509", "-noout", "-startdate", "-enddate", "-issuer"]
    asked = ["-checkhost", domain] if domain else []
    try:
        done = subprocess.run([*argv, *asked], input=pem, capture_output=True, timeout=SECONDS, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise ValueError(str(error)) from error
    said = done.stdout.decode(errors="replace")
    told = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if not {"notBefore", "notAfter", "issuer"} <= told.keys():
        raise ValueError(done.stderr.decode(errors="replace").strip() or "openssl said nothing of it")
    begin, end = (float(ssl.cert_time_to_seconds(told[name])) for name in ("notBefore", "notAfter"))
    fits = not domain or "does match certificate" in said
    return Certificate(kind, domain, told["issuer"].strip(), begin, end, fits)
