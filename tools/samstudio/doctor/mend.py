"""What `samstudio doctor --fix` may do by itself: mend Label Studio's own record of the backend, and nothing else."""

from __future__ import annotations

from samstudio.doctor.causes.table import CAUSES
from samstudio.doctor.patient import Examination
from samstudio.errors import SamstudioError
from samstudio.labelstudio import ml_backends

MENDABLE = frozenset(cause.id for cause in CAUSES if cause.mends)
TITLE = "SAM2"


def mend(x: Examination) -> list[str]:
    """Mend what is safe to mend; returns what was done, in words."""
    wrong = [finding.cause for finding in x.findings if finding.cause in MENDABLE]
    if not wrong:
        return []
    if x.studio is None or x.project is None:
        return ["nothing: Label Studio's record cannot be reached before the links above it hold"]
    if not x.patient.password:
        return [
            "nothing: Label Studio's record holds the backend's basic auth, and there is no password to write into it"
        ]
    record = ml_backends.Wanted(x.patient.wanted, TITLE, x.patient.user, x.patient.password)
    try:
        return list(ml_backends.ensure(x.studio, int(x.project.id), record)["did"])
    except SamstudioError as error:
        return [f"tried to mend {', '.join(wrong)}, but: {error.message} {error.found}"]
