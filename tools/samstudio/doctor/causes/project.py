"""The project: its labeling config, its record of the backend, the webhook beside that."""

from __future__ import annotations

from samstudio.doctor.cause import Cause

NO_PROJECT = Cause(
    "no-project", "project", ("There is no project",),
    "There is no project {project} to look at.",
    "samstudio register, or samstudio doctor --project ID",
)  # fmt: skip
BY_HAND = "open project {project} in Label Studio, Settings, Labeling Interface, Code; there "
CONFIG_NO_IMAGE = Cause(
    "config-no-image", "label-config", ("the labeling config has no <Image>", "the labeling config is not XML"),
    "The labeling config of project {project} has no image: {problem}.",
    "make a project for images, and leave this one as it is: {register_new}",
)  # fmt: skip
CONFIG_NO_SMART = Cause(
    "config-no-smart", "label-config", ("no smart control",),
    "The labeling config of project {project} has no smart control, so a click asks no model.",
    BY_HAND + 'write smart="true" into a <KeyPointLabels> or <RectangleLabels>, or {addition}',
)  # fmt: skip
CONFIG_NO_OUTPUT = Cause(
    "config-no-output", "label-config", ("nowhere to put a mask",),
    "The labeling config of project {project} has no control that can hold a mask.",
    BY_HAND + "{addition}",
)  # fmt: skip
CONFIG_LABELS = Cause(
    "config-labels-differ", "label-config", ("the labels do not match",),
    "In the labeling config of project {project} the smart controls and the masks have different labels: {problem}.",
    BY_HAND + "{addition}",
)  # fmt: skip
RECORD_MISSING = Cause(
    "record-missing", "ml-record", (),
    "No ML backend is connected to project {project}.",
    "{register}", mends=True,
)  # fmt: skip
RECORD_URL_WRONG = Cause(
    "record-url-wrong", "ml-record", (),
    "Label Studio is told to find the backend at {url}; it is at {backend_url}.",
    "{register}", mends=True,
)  # fmt: skip
RECORD_TUNNEL_STALE = Cause(
    "record-tunnel-stale", "ml-record", ("ERR_NGROK_3200", "ERR_NGROK_3004"),
    "Label Studio uses a former address of the tunnel, {url}; now it is {backend_url}.",
    "{register}", mends=True,
)  # fmt: skip
RECORD_DISCONNECTED = Cause(
    "record-disconnected", "ml-record", ("Disconnected",),
    "Label Studio says {state} of the backend at {url}: {said}.",
    "{register}", mends=True,
)  # fmt: skip
WEBHOOK = Cause(
    "webhook-stale", "webhook", (),
    "The webhook of project {project} is not the backend's ({found}): new images are not embedded ahead of the click.",
    "{register}", mends=True,
)  # fmt: skip
INTERACTIVE_OFF = Cause(
    "interactive-off", "interactive",
    ("Model is not set to be used for interactive preannotations",),
    "Interactive preannotations are off for the backend of project {project}, so clicks go nowhere.",
    "{register}", mends=True,
)  # fmt: skip
