"""The S3 storages of the project: ones that Label Studio's guard admits, and that it could use the last time."""

from __future__ import annotations

from typing import Any

from samstudio.addresses import normalise
from samstudio.causes import Cause
from samstudio.doctor.link import Known, Link, Result, broken, ok, skipped, warning
from samstudio.doctor.links.label_studio import guard_of
from samstudio.doctor.pair import Pair
from samstudio.labelstudio import s3
from samstudio.ssrf import DeployedGuard, blocking, resolved

STORAGE_GUARDED = Cause(
    "storage-guarded",
    ("URL resolves to a reserved network address (block:",),
    "Label Studio's SSRF guard refuses the S3 store at {endpoint} ({address}, banned: {blocked_by}), so images of the "
    "bucket {bucket} cannot be shown or clicked.",
    "write {admitting} into the inventory, beside what the list holds there, and ./samstudio deploy (it looks up the "
    "addresses of names anew)",
)
STORAGE_FAILED = Cause(
    "storage-failed",
    ("Debugging info is not available for s3 endpoints on domain",),
    "Label Studio could not use the S3 storage {storage} of project {project} the last time: {said}.",
    "samstudio storage add {project} --s3 {bucket}, with the options of the first time, which says why",
)


def check_storage(pair: Pair, known: Known) -> Result:
    """Label Studio may reach the S3 stores of the project, and could use them the last time it tried."""
    number, studio = int(known.project.id), known.label_studio()
    found = [each for role in (s3.SOURCE, s3.TARGET) for each in s3.storages(studio, number, role)]
    if not found:
        return skipped("the project has no S3 storage")
    guard = guard_of(pair, known.version)
    for storage in found:
        facts = {"storage": storage.id, "bucket": storage.bucket, "project": number}
        if isinstance(guard, DeployedGuard) and (refused := _refused(guard, storage)):
            return broken(STORAGE_GUARDED, f"{storage.s3endpoint}: {refused['blocked_by']}", **facts, **refused)
        if str(storage.status) == "failed":
            said = str(storage.traceback or "it did not say why").strip().rpartition("\n")[2]
            return warning(STORAGE_FAILED, said, said=said, **facts)
    return ok(", ".join(sorted({f"s3://{each.bucket}/{each.prefix or ''}" for each in found})))


def _refused(guard: DeployedGuard, storage: Any) -> dict[str, object]:
    """What a guard refuses of a storage's endpoint, if anything."""
    if not storage.s3endpoint or not guard.guards_webhooks:
        return {}
    try:
        addresses = resolved(normalise(storage.s3endpoint).host)
    except (OSError, ValueError):
        return {}
    blocked = {network: address for address in addresses for network in blocking(guard.effective, address)}
    if not blocked:
        return {}
    return {
        "endpoint": storage.s3endpoint,
        "address": ", ".join(sorted(set(blocked.values()))),
        "blocked_by": ", ".join(blocked),
        "admitting": s3.admitting(storage.s3endpoint),
    }


STORAGE = Link("storage", check_storage, needs=("project", "ssrf"), causes=(STORAGE_GUARDED, STORAGE_FAILED))
