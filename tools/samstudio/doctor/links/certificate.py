"""The certificate that browsers are shown, of whatever kind it is."""

from __future__ import annotations

from typing import Any

from samstudio import certificate
from samstudio.causes import Cause
from samstudio.doctor.link import Known, Link, Result, broken, ok, skipped, warning
from samstudio.doctor.pair import Pair

#: by kind: how another one comes
WAYS = {
    "file": "put another one where samstudio_certificate and samstudio_certificate_key point, then: "
    "./samstudio deploy --tags tls_proxy",
    "acme": "docker logs --tail 50 {container}   # says why it is not renewed; the CA has to reach {domain}",
    "internal": "docker restart {container}; docker logs --tail 50 {container}",
}

CERTIFICATE_ENDED = Cause(
    "certificate-ended",
    ("certificate has expired", "NET::ERR_CERT_DATE_INVALID", "SEC_ERROR_EXPIRED_CERTIFICATE"),
    "The certificate of {domain} has ended ({ends}): browsers let nobody in.",
    "{way}",
)
CERTIFICATE_ENDS = Cause(
    "certificate-ends",
    (),
    "The certificate of {domain} ends soon ({ends}).",
    "{way}",
)
CERTIFICATE_NAME = Cause(
    "certificate-name",
    ("certificate is not valid for", "NET::ERR_CERT_COMMON_NAME_INVALID", "SSL_ERROR_BAD_CERT_DOMAIN"),
    "The certificate that is served is not for {domain}.",
    "{way}",
)
CERTIFICATE_MISSING = Cause(
    "certificate-missing",
    ("tlsv1 alert internal error", "ERR_SSL_PROTOCOL_ERROR", "SSL_ERROR_INTERNAL_ERROR_ALERT"),
    "The TLS proxy shows no certificate for {domain}.",
    "docker ps --all --filter name={container}; docker logs --tail 50 {container}",
)


def check_certificate(pair: Pair, _: Known) -> Result:
    """People's browsers are shown a certificate that is good for a while."""
    tls = pair.tls
    if tls is None or not tls.domain:
        return skipped("no TLS proxy was deployed")
    known: dict[str, Any] = {"domain": tls.domain, "container": tls.container}
    try:
        found = certificate.served(tls)
    except (OSError, ValueError) as error:
        return broken(CERTIFICATE_MISSING, f"{tls.address}:{tls.port}: {error}", **known)
    facts: dict[str, Any] = {**known, "ends": found.ends, "way": WAYS[found.kind].format_map(known)}
    seen = f"{found.remaining}, of {found.issuer}"
    if not found.fits:
        return broken(CERTIFICATE_NAME, seen, **facts)
    if found.ended:
        return broken(CERTIFICATE_ENDED, seen, **facts)
    return warning(CERTIFICATE_ENDS, seen, **facts) if found.soon else ok(seen)


CERTIFICATE = Link(
    "certificate",
    check_certificate,
    causes=(CERTIFICATE_ENDED, CERTIFICATE_ENDS, CERTIFICATE_NAME, CERTIFICATE_MISSING),
)
