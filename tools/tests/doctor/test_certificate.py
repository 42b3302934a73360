"""How long the certificate is good that browsers are shown: real certificates, served by a real TLS server."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from samstudio import certificate, status
from samstudio.deployment import Deployment, TlsSettings
from samstudio.doctor.link import Known, Result, Status
from samstudio.doctor.links.certificate import check_certificate
from samstudio.doctor.pair import Pair
from samstudio.labelstudio.own_records import OwnRecords
from samstudio.watching import collect

from tools.tests.doctor.produced import produces
from tools.tests.servers import free_port
from tools.tests.test_roles import ROOT, ansible

DOMAIN = "label.example.com"
Serve = Callable[..., Pair]
#: from before now to after it; the doctor must not depend on how long a test takes
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves a certificate; gives the deployed pair behind it."""
    servers: list[ThreadingHTTPServer] = []

    def begin(kind: str, began: timedelta, ends: timedelta, name: str = DOMAIN) -> Pair:
        certified(tmp_path, began, ends, name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
        server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return pair(tmp_path, TlsSettings(DOMAIN, kind, port=server.server_port))

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def certified(folder: Path, began: timedelta, ends: timedelta, name: str) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a CA of tests")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - began)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "certificate").write_bytes(made.public_bytes(pem))
    (folder / "key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))


def pair(folder: Path, tls: TlsSettings) -> Pair:
    url = "http://127.0.0.1:1"
    return Pair(url, url, url, url, own_records=OwnRecords(folder / "records"), studio_container="studio", tls=tls)


def watched(of: Pair, folder: Path) -> tuple[bool, list[str]]:
    """Whether the alert CertificateEnds is to come, which compares a figure with the time; and what is said then."""
    assert of.tls
    samples, wrong = collect._certificates(Deployment(config_dir=folder, tls=of.tls))
    (moment,) = [each.value for each in samples if each.name == collect.WRONG_FROM]
    return moment < time.time(), wrong


def shown(of: Pair, folder: Path) -> dict[str, object]:
    assert of.tls
    found = status._certificate(Deployment(config_dir=folder, tls=of.tls))
    assert found
    return found


@pytest.mark.parametrize(
    ("kind", "began", "ends", "good"),
    [
        ("file", 344 * DAY, 22 * DAY, True),
        ("file", 345 * DAY, 20 * DAY, False),
        ("acme", 74 * DAY, 16 * DAY, True),
        ("acme", 76 * DAY, 14 * DAY, False),
        ("internal", 9 * HOUR, 3 * HOUR, True),
        ("internal", 11 * HOUR, 1 * HOUR, False),
    ],
)
def test_it_is_told_in_time_whatever_kind_it_is(
    serve: Serve, tmp_path: Path, kind: str, began: timedelta, ends: timedelta, good: bool
) -> None:
    of = serve(kind, began, ends)
    result, told = check_certificate(of, Known()), shown(of, tmp_path)
    assert result.status is (Status.OK if good else Status.WARN)
    assert (told["kind"], told["domain"], told["wrong"] == "") == (kind, DOMAIN, good)
    assert told["days_left"] == pytest.approx(ends / DAY, abs=0.2)
    assert "a CA of tests" in str(told["issuer"])
    assert watched(of, tmp_path) == (not good, [] if good else [f"certificate label-studio: {told['wrong']}"])


@produces("certificate-ends")
def test_one_that_is_not_renewed(serve: Serve) -> Result:
    of = serve("acme", 89 * DAY, DAY)
    result = check_certificate(of, Known())
    assert result.cause
    assert "docker logs --tail 50 label-studio-tls" in result.cause.explain(result.facts)[1]
    return result


@produces("certificate-ended")
def test_one_that_has_ended(serve: Serve, tmp_path: Path) -> Result:
    of = serve("file", 400 * DAY, -5 * DAY)
    assert shown(of, tmp_path)["wrong"] == "it ended 5 days ago"
    assert watched(of, tmp_path) == (True, ["certificate label-studio: it ended 5 days ago"])
    result = check_certificate(of, Known())
    assert result.status is Status.FAIL
    assert result.cause
    assert "samstudio_certificate" in result.cause.explain(result.facts)[1]
    return result


@produces("certificate-name")
def test_one_of_another_name(serve: Serve, tmp_path: Path) -> Result:
    of = serve("file", DAY, 90 * DAY, "labels.example.com")
    assert shown(of, tmp_path)["wrong"] == f"it is not for {DOMAIN}"
    assert watched(of, tmp_path) == (True, [f"certificate label-studio: it is not for {DOMAIN}"])
    return check_certificate(of, Known())


@produces("certificate-missing")
def test_none_at_all(tmp_path: Path) -> Result:
    of = pair(tmp_path, TlsSettings(DOMAIN, "acme", port=free_port("127.0.0.1")))
    told = shown(of, tmp_path)
    assert "none is served" in str(told["wrong"])
    assert told["days_left"] is None
    assert watched(of, tmp_path)[0]
    return check_certificate(of, Known())


def test_without_a_proxy_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    assert status._certificate(Deployment(config_dir=tmp_path)) is None
    of = replace(pair(tmp_path, TlsSettings()), tls=None)
    assert check_certificate(of, Known()).status is Status.SKIPPED


def test_one_in_a_file_is_read_for_whatever_it_is(tmp_path: Path) -> None:
    certified(tmp_path, 345 * DAY, 20 * DAY, "labels.example.com")
    found = certificate.in_file(tmp_path / "certificate")
    assert (found.fits, found.soon, found.kind) == (True, True, "file")
    assert found.end - found.begin == pytest.approx(365 * certificate.DAY, abs=2)


def test_what_is_no_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.crt").write_text("nothing")
    with pytest.raises(ValueError, match=r"x\.crt: \w"):
        certificate.in_file(tmp_path / "x.crt")
    with pytest.raises(FileNotFoundError):
        certificate.in_file(tmp_path / "y.crt")


PLAY = """
- hosts: label_studio_hosts
  gather_facts: false
  roles: [samstudio]
  tasks:
    - ansible.builtin.template: {src: "{{ template }}", dest: "{{ made }}/own", mode: "0644"}
    - ansible.builtin.include_role: {name: tls_proxy, tasks_from: precheck}
      vars: &acme {tls_proxy_acme: true, tls_proxy_acme_email: admin@example.com}
    - ansible.builtin.template: {src: "{{ template }}", dest: "{{ made }}/acme", mode: "0644"}
      vars: *acme
    - ansible.builtin.include_role: {name: tls_proxy, tasks_from: precheck}
      vars: {tls_proxy_acme: true, samstudio_certificate: /c.pem, samstudio_certificate_key: /k.pem}
"""


def test_the_proxy_asks_an_acme_ca_where_it_is_told_to(tmp_path: Path) -> None:
    template = ROOT / "roles" / "tls_proxy" / "templates" / "Caddyfile.j2"
    (tmp_path / "play.yml").write_text(PLAY)
    given = {"samstudio_domain": DOMAIN, "template": str(template), "made": str(tmp_path)}
    done = ansible("-i", str(ROOT / "inventory" / "local"), "play.yml", "-e", json.dumps(given), cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert "a certificate is either given or asked for" in " ".join(done.stdout.split())
    words = ("acme_ca https://acme-v02.api.letsencrypt.org/directory", "email admin@example.com", "tls internal")
    own, acme = ((tmp_path / name).read_text() for name in ("own", "acme"))
    assert [each in own for each in words] == [False, False, True]
    assert [each in acme for each in words] == [True, True, False]
