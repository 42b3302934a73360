"""URLs as they are written down."""

from __future__ import annotations

from samstudio.addresses import normalise
from samstudio.doctor.causes import LOCALHOST_IN_CONTAINER, NAME_WITHOUT_DOT, URL_UNUSABLE
from samstudio.doctor.finding import Blame
from samstudio.doctor.patient import Examination


def settings(x: Examination) -> str:
    """Each URL has a scheme and a host, and none that a container uses means the container itself."""
    patient = x.patient
    inside = {patient.wanted: patient.studio_container, patient.studio_internal: patient.backend_container}
    for url in (patient.label_studio, patient.backend, *inside):
        try:
            address = normalise(url, keep_path=True)
        except ValueError as error:
            raise Blame(URL_UNUSABLE, error, url=url, reason=error) from error
        container = inside.get(url, "")
        if container and address.is_loopback:
            raise Blame(
                LOCALHOST_IN_CONTAINER, f"deployment.yml: {url}", url=url, host=address.host, container=container
            )
    host = normalise(patient.wanted).host
    if not {".", ":"} & set(host) and host != "localhost":
        raise Blame(NAME_WITHOUT_DOT, patient.wanted, url=patient.wanted, host=host)
    return f"Label Studio {patient.label_studio}, backend {patient.backend}"
