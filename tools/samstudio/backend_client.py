"""The SAM2 backend as the tools see it: readiness, status, and images to embed ahead of the first click."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from samstudio.errors import SamstudioError
from samstudio.labelstudio.client import detail, http_client


class BackendError(SamstudioError):
    """The backend refused or could not be reached.

    Args:
        status: the HTTP status, None when no answer came.
    """

    def __init__(self, message: str, *, status: int | None = None, **fields: str) -> None:
        super().__init__(message, **fields)
        self.status = status


@dataclass(frozen=True)
class Backend:
    """A connection; `samstudio.backend_client.connect` makes it."""

    url: str
    http: httpx.Client

    def health(self) -> dict[str, Any]:
        """`{"status": "UP" | "LOADING" | "FAILED", …}`; not ready is an answer here, not an error."""
        with _errors(self.url, "ask whether it is ready"):
            answer = self.http.get("/health")
            if answer.status_code not in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
                answer.raise_for_status()
            return dict(answer.json())

    def status(self) -> dict[str, Any]:
        """State, model, engine, versions, cache, queue, last click, projects, last errors."""
        with _errors(self.url, "ask for its status"):
            return dict(self.http.get("/status").raise_for_status().json())

    def predict(self, project: int, label_config: str, task: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
        """What Label Studio asks when somebody clicks, and the one prediction in the answer."""
        body = {"project": str(project), "label_config": label_config, "tasks": [task], "params": {"context": context}}
        with _errors(self.url, "click"):
            return dict(self.http.post("/predict", json=body).raise_for_status().json()["results"][0])

    def masks(self, asked: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
        """Masks for the boxes of some tasks: a report for each, as the backend's `TaskMasks` describes it.

        Args:
            seconds: after which the backend answers with what it has.
        """
        timeout = httpx.Timeout(seconds + 30.0, connect=5.0)
        with _errors(self.url, "have masks made of boxes"):
            answer = self.http.post("/masks", json=asked, timeout=timeout).raise_for_status()
            return list(answer.json()["results"])

    def prewarm(self, project: int, label_config: str, tasks: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Ask for the images of some tasks (`{"id", "data"}`) to be embedded: `{"accepted", "already"}`."""
        body = {"project": project, "label_config": label_config, "tasks": list(tasks)}
        with _errors(self.url, "hand it images to embed"):
            return dict(self.http.post("/prewarm", json=body).raise_for_status().json())

    def prewarm_progress(self, project: int) -> dict[str, Any]:
        """`{"total", "done", "failed", "rate" (images/s), "errors"}`."""
        with _errors(self.url, "ask how far it is"):
            return dict(self.http.get("/prewarm", params={"project": project}).raise_for_status().json())


@contextmanager
def connect(url: str, user: str, password: str) -> Iterator[Backend]:
    with http_client(url, auth=httpx.BasicAuth(user, password), timeout=httpx.Timeout(30.0, connect=5.0)) as client:
        yield Backend(url, client)


@contextmanager
def _errors(url: str, action: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        unauthorised = status == httpx.codes.UNAUTHORIZED
        raise BackendError(
            f"Could not {action}: the backend refused.",
            status=status,
            link="backend-auth" if unauthorised else "backend",
            found=f"{status} {detail(error.response)} ({error.request.url})",
            expected="the basic auth it was started with" if unauthorised else "an answer",
            command="./samstudio deploy --tags sam2_backend" if unauthorised else "samstudio doctor",
        ) from error
    except (httpx.TransportError, ValueError) as error:
        raise BackendError(
            f"Could not {action}: no answer from a SAM2 backend.",
            link="backend",
            found=f"{url}: {str(error) or type(error).__name__}",
            expected="the SAM2 backend listening there",
            command="samstudio doctor",
        ) from error
