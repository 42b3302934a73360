"""The certificate that the TLS proxy serves: whose it is, how long it is good, and what is wrong with it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime, timezone

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
    kind: str
    domain: str
    #: as openssl writes it
    issuer: str
    #: UTC, ISO 8601
    ends: str
    #: in days, less than 0 for one that has ended
    left: float
    #: in days, from its beginning to its end
    lifetime: float
    #: whether it is for this domain
    fits: bool

    @property
    def ended(self) -> bool:
        return self.left <= 0

    @property
    def soon(self) -> bool:
        """It ends soon, and nobody seems to care."""
        return self.left < (SOON_DAYS if self.kind == "file" else self.lifetime * LATE_PART)

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
        return read(secured.getpeercert(binary_form=True) or b"", tls)


def read(der: bytes, tls: TlsSettings) -> Certificate:
    """
    Raises:
        ValueError: this is no certificate, or there is no openssl to read it.
    """
    argv = [
        "openssl",
        "x509",
        "-inform",
        "DER",
        "-noout",
        "-startdate",
        "-enddate",
        "-issuer",
        "-checkhost",
        tls.domain,
    ]
    try:
        done = subprocess.run(argv, input=der, capture_output=True, timeout=SECONDS, check=False)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    said = done.stdout.decode(errors="replace")
    told = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if not {"notBefore", "notAfter", "issuer"} <= told.keys():
        raise ValueError(done.stderr.decode(errors="replace").strip() or "openssl said nothing of it")
    begins, ends = (ssl.cert_time_to_seconds(told[name]) for name in ("notBefore", "notAfter"))
    return Certificate(
        kind=tls.kind,
        domain=tls.domain,
        issuer=told["issuer"].strip(),
        ends=datetime.fromtimestamp(ends, timezone.utc).isoformat(),
        left=(ends - time.time()) / DAY,
        lifetime=(ends - begins) / DAY,
        fits="does match certificate" in said,
    )
