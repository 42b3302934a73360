"""The TLS proxy's own CA is trusted from the folder that --config-dir names, and from no other."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from samstudio.deployment import CONFIG_DIR_VARIABLE, INTERNAL_CA

from tools.tests.commands import invoke


class Handler(BaseHTTPRequestHandler):
    """The two addresses of Label Studio that need no sign-in."""

    def do_GET(self) -> None:
        known = {"/health/": {"status": "UP"}, "/api/version": {"release": "1.23.2"}}
        self.send_response(200 if self.path in known else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(known.get(self.path, {})).encode())

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server with a certificate of its own CA: its address, and the CA's file."""
    folder = tmp_path_factory.mktemp("tls")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "samstudio test CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(certificate.public_bytes(pem))
    (folder / "key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", folder / "ca.crt"
    server.shutdown()
    server.server_close()


def described(folder: Path, url: str, ca: Path | None) -> Path:
    folder.mkdir()
    backend = {"url": "http://127.0.0.1:9", "internal_url": "http://127.0.0.1:9"}
    (folder / "deployment.yml").write_text(json.dumps({"label_studio": {"url": url}, "backend": backend}))
    if ca:
        (folder / INTERNAL_CA).write_bytes(ca.read_bytes())
    return folder


def test_the_ca_beside_the_named_deployment_is_trusted(
    proxy: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, ca = proxy
    with_ca, without = described(tmp_path / "with", url, ca), described(tmp_path / "without", url, None)
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, str(without))
    _, status = invoke(with_ca, "status")
    assert status["label_studio"].get("version") == "1.23.2", status["label_studio"]
    monkeypatch.setenv(CONFIG_DIR_VARIABLE, str(with_ca))
    _, status = invoke(without, "status")
    assert "CERTIFICATE_VERIFY_FAILED" in status["label_studio"]["error"]["found"]
