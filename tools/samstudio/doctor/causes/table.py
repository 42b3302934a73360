"""The troubleshooting table: every cause the doctor can name, in the order of the chain.

`docs/troubleshooting.md` is generated from it (`python -m samstudio.doctor.docs`).
"""

from __future__ import annotations

from samstudio.doctor.cause import Cause
from samstudio.doctor.causes import backend, host, picture, project, studio, way
from samstudio.tunnel.failures import FAILURES as TUNNEL

CAUSES: tuple[Cause, ...] = (
    *(cause for part in (way, backend, studio, project, picture, host) for cause in vars(part).values()
      if isinstance(cause, Cause)),
    *TUNNEL,
)  # fmt: skip

#: What Label Studio's own attempt to reach the backend may say, most telling first.
SAID_BY_LABEL_STUDIO: tuple[Cause, ...] = (
    studio.GUARD_BLOCKS, way.PROXY, way.HTTPS_TO_HTTP, way.NAME_UNKNOWN, way.DROPPED, backend.HEALTH_SLOW,
    backend.BACKEND_AUTH_WRONG, backend.BACKEND_LOADING, backend.NOT_A_BACKEND, way.BACKEND_REFUSED,
)  # fmt: skip
#: What Label Studio may say of a click, once it counts the backend as connected.
SAID_OF_A_CLICK: tuple[Cause, ...] = (
    studio.GUARD_BLOCKS, way.PROXY, way.DROPPED, backend.BACKEND_AUTH_WRONG, backend.BACKEND_LOADING,
)  # fmt: skip
#: What a backend that failed to load may give as its reason.
SAID_BY_FAILED_BACKEND = (backend.DRIVER_OLD, backend.CUDA_MISSING, backend.CHECKPOINT_MISSING, backend.GPU_MEMORY)
#: What a backend may say of an image it could not fetch.
SAID_OF_AN_IMAGE = (
    picture.IMAGE_TOKEN, picture.IMAGE_RELATIVE, picture.IMAGE_LOCAL_FILE, picture.IMAGE_MISSING,
    picture.IMAGE_UNREACHABLE,
)  # fmt: skip
