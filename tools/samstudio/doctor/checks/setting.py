"""URLs as they are written down."""

from __future__ import annotations

from samstudio.addresses import normalise
from samstudio.doctor.causes.way import (
    IPV6_ADDRESS,
    LOCALHOST_ELSEWHERE,
    LOCALHOST_IN_CONTAINER,
    NAME_WITHOUT_DOT,
    URL_UNUSABLE,
)
from samstudio.doctor.finding import Blame
from samstudio.doctor.patient import Examination
from samstudio.doctor.sides import url_from_elsewhere


def settings(x: Examination) -> str:
    """Each URL has a scheme and a host, and none that a container uses means the container itself."""
    patient = x.patient
    inside = {patient.wanted: patient.studio_container, patient.studio_internal: patient.backend_container}
    for url in (patient.label_studio, patient.backend, *inside):
        try:
            address = normalise(url, keep_path=True)
            address.host.encode("idna")  # as every client does before it looks a name up
        except ValueError as error:
            raise Blame(URL_UNUSABLE, error, url=url, reason=error) from error
        container = inside.get(url, "")
        if container and address.is_loopback:
            raise Blame(
                LOCALHOST_IN_CONTAINER, f"deployment.yml: {url}", url=url, host=address.host, container=container
            )
    backend, studio = normalise(patient.wanted), normalise(patient.label_studio, keep_path=True)
    host = backend.host
    if patient.by_hand and backend.is_loopback and not studio.is_loopback:
        reachable = url_from_elsewhere(backend.port, studio.host)
        evidence = f"backend {backend.url}, Label Studio {studio.url}"
        raise Blame(LOCALHOST_ELSEWHERE, evidence, url=backend.url, host=host, reachable=reachable)
    if ":" in host:
        raise Blame(IPV6_ADDRESS, patient.wanted, url=patient.wanted, port=backend.port)
    if "." not in host and host != "localhost":
        raise Blame(NAME_WITHOUT_DOT, patient.wanted, url=patient.wanted, host=host)
    return f"Label Studio {patient.label_studio}, backend {patient.backend}"
