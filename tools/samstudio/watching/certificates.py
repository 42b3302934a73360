"""From when until when certificates are valid: the one that people's browsers are shown, and those in files."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

from samstudio.errors import SamstudioError

SECONDS = 10


def served(address: str, name: str) -> tuple[float, float]:
    """Of the certificate that a server shows, valid or not.

    Args:
        address: HOST:PORT, where it listens.
        name: the host name that people type.

    Returns:
        its first and its last moment, in seconds since 1970.

    Raises:
        SamstudioError: no server shows one there.
    """
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is looked at, and nothing is sent
    try:
        with (
            socket.create_connection((host, int(port)), SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=name) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except OSError as error:
        raise SamstudioError(
            f"No certificate is shown for {name}.",
            link="tls-proxy",
            found=f"{address}: {error}",
            expected="the TLS proxy listening there",
            command="docker logs label-studio-tls",
        ) from error
    return _validity(ssl.DER_cert_to_PEM_cert(shown or b""), address)


def in_file(file: Path) -> tuple[float, float]:
    """Of the first certificate of a PEM file, as `served` gives it.

    Raises:
        SamstudioError: it cannot be read, or holds none.
    """
    try:
        return _validity(file.read_text(encoding="ascii", errors="replace"), str(file))
    except OSError as error:
        raise SamstudioError(f"{file} cannot be read.", found=str(error), expected="a certificate") from error


def _validity(pem: str, where: str) -> tuple[float, float]:
    asked = ["openssl", "x509", "-noout", "-startdate", "-enddate"]
    try:
        done = subprocess.run(asked, input=pem, capture_output=True, text=True, check=True, timeout=SECONDS)
        dates = dict(line.split("=", 1) for line in done.stdout.splitlines())
        return float(ssl.cert_time_to_seconds(dates["notBefore"])), float(ssl.cert_time_to_seconds(dates["notAfter"]))
    except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise SamstudioError(
            f"The certificate at {where} cannot be understood.",
            found=said[0] if said else type(error).__name__,
            expected="a certificate that openssl x509 understands",
            command=f"openssl x509 -noout -dates -in {where}",
        ) from error
