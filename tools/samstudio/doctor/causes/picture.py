"""A task's image, a click on it, and how long that took."""

from __future__ import annotations

from samstudio.doctor.cause import Cause

NO_TASK = Cause(
    "no-task", "image", (),
    "Project {project} has no task with an image, so there is nothing to click.",
    "samstudio samples draw && samstudio register",
)  # fmt: skip
IMAGE_TOKEN = Cause(
    "image-token-refused", "image",
    ("refused the personal access token", "refused the image (HTTP 401)", "refused the image (HTTP 403)",
     "401 Client Error: Unauthorized for url: …/data/", "…/api/token/refresh/",
     "403 Client Error: Forbidden for url: …/data/"),
    "Label Studio refuses the backend's own token (legacy tokens off, an expired token, or that of another server).",
    "deployed: samstudio token rotate, which also brings the new token to the backend; by hand: make a personal access "
    "token, give it to the backend as LABEL_STUDIO_API_KEY and restart it",
)  # fmt: skip
IMAGE_RELATIVE = Cause(
    "image-no-host", "image",
    ("No connection adapters were found for", "whose address is not known: set LABEL_STUDIO_URL",
     "Invalid URL '/data/…No scheme supplied", "is neither a URL nor a Label Studio path"),
    "The task's image address has no host, and the backend does not know Label Studio's.",
    "set LABEL_STUDIO_URL={label_studio_url} (scheme included) for the backend and restart it",
)  # fmt: skip
IMAGE_LOCAL_FILE = Cause(
    "image-local-files", "image",
    ("The local file … cannot be read", "No such file or directory: '/data/…", "404 …/data/local-files/",
     "Label Studio has no image at /data/local-files"),
    "The image is a local file that is not where the backend or Label Studio look: not mounted, or another "
    "LOCAL_FILES_DOCUMENT_ROOT.",
    "mount one folder into both, LOCAL_FILES_DOCUMENT_ROOT its parent in both; deployed: ./samstudio deploy",
)  # fmt: skip
IMAGE_MISSING = Cause(
    "image-missing", "image",
    ("404 Client Error: Not Found for url: …/data/upload/", "Label Studio has no image at",
     "500 Server Error: …/data/upload/", "404 Client Error"),
    "There is no such image on the server the backend asks: a deleted upload, or LABEL_STUDIO_URL of another server.",
    "open the task in Label Studio; compare LABEL_STUDIO_URL of the backend with {label_studio_url}",
)  # fmt: skip
IMAGE_UNREACHABLE = Cause(
    "image-host-unreachable", "image",
    ("Cannot connect to Label Studio at", "Cannot connect to The image host", "did not deliver the image within",
     "Failed to establish a new connection", "Max retries exceeded with url"),
    "The backend cannot connect to where the image lies: localhost inside a container, a wrong port, or a firewall.",
    "set LABEL_STUDIO_URL={label_studio_url} for the backend and restart it",
)  # fmt: skip
IMAGE_FAILED = Cause(
    "image-failed", "image", (),
    "The backend cannot use the image of task {task}: {said}.",
    "docker logs --tail 50 {container}",
)  # fmt: skip
CLICK_FAILED = Cause(
    "click-failed", "click",
    ("Incorrect response from ML service", "results field must be a list with at least one item"),
    "A click through Label Studio came back without a prediction: {said}.",
    "docker logs --tail 50 {container}",
)  # fmt: skip
CLICK_EMPTY = Cause(
    "click-empty", "click", (),
    "A click in the middle of the image of task {task} returned no mask; that may be right for that image.",
    "samstudio click, which clicks drawn objects whose masks are known",
)  # fmt: skip
SLOW = Cause(
    "click-slow", "latency", (),
    "The click took {milliseconds} ms ({detail}).",
    "samstudio prewarm {project}; on a host with a GPU see the gpu link",
)  # fmt: skip
