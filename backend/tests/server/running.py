"""A server process and the requests that Label Studio would send it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import requests

HERE = Path(__file__).parent
PACKAGE_ROOT = HERE.parent.parent
START_SECONDS = 180
REQUEST_SECONDS = 60

SPLIT_CONFIG = (
    '<View><Labels name="label" toName="image"><Label value="defect"/><Label value="scratch"/></Labels>'
    '<KeyPoint name="kp" toName="image" smart="true" smartOnly="true"/>'
    '<Rectangle name="rect" toName="image" smart="true" smartOnly="true"/>'
    '<Brush name="brush" toName="image" smart="false"/><Image name="image" value="$image"/></View>'
)


def labels_config(output: str = "BrushLabels") -> str:
    """The tutorial's style of config, with this output tag."""
    labels = '<Label value="defect"/><Label value="scratch"/>'
    return (
        f'<View><Image name="image" value="$image"/>'
        f'<KeyPointLabels name="kp" toName="image" smart="true">{labels}</KeyPointLabels>'
        f'<RectangleLabels name="rect" toName="image" smart="true">{labels}</RectangleLabels>'
        f'<{output} name="out" toName="image" smart="false">{labels}</{output}></View>'
    )


class Running:
    """One server process. `environment` is added to a bare one."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.auth: tuple[str, str] | None = None
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "HOME") if name in os.environ}
        packages = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
        program = ["-m", "sam2_backend"] if command == ["sam2_backend"] else [str(HERE / command[0]), *command[1:]]
        # A file, not a pipe: nobody reads while the server runs, and a full pipe would stop it.
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self.process = subprocess.Popen(
            [sys.executable, *program],
            env=kept | {"PYTHONPATH": packages, "PORT": str(self.port), "HOST": "127.0.0.1"} | environment,
            stderr=self._log_file,
            cwd=HERE,
        )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.log()}")
            try:
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.05)
        raise AssertionError("the server did not become ready")

    def wait_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                requests.get(f"{self.url}/health", timeout=5)
            except requests.ConnectionError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the server does not listen")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log()
        self._log_file.close()
        return self.process.wait()

    def log(self) -> str:
        """Everything on stderr so far, or all of it after `stop`."""
        if not self._log_file.closed:
            self._log_file.seek(0)
            self._log = self._log_file.read().decode()
            self._log_file.seek(0, os.SEEK_END)
        return self._log

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=REQUEST_SECONDS, auth=self.auth, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        if "data" not in options:
            options["json"] = body
        return requests.post(self.url + path, timeout=REQUEST_SECONDS, auth=self.auth, **options)

    def click(
        self, image: str, *regions: dict[str, Any], config: str = SPLIT_CONFIG, task: int = 1, project: str = "1.1"
    ) -> requests.Response:
        """One interactive request on one image."""
        tasks = [{"id": task, "data": {"image": image}}]
        return self.post("/predict", predict_body(tasks, list(regions), config, project))


def predict_body(
    tasks: list[dict[str, Any]], regions: list[dict[str, Any]] | None, config: str, project: str = "1.1"
) -> dict[str, Any]:
    """As `ml/api_connector.py` of Label Studio builds it."""
    context = None if regions is None else {"result": regions}
    return {
        "tasks": tasks,
        "project": project,
        "label_config": config,
        "params": {"login": None, "password": None, "context": context},
    }


def point(
    x: float, y: float, *, label: str = "defect", positive: bool = True, name: str = "p1", **more: Any
) -> list[dict[str, Any]]:
    """A keypoint of a split config: two items with one id. x, y in percent."""
    shared = {
        "id": name,
        "to_name": "image",
        "original_width": 128,
        "original_height": 96,
        "image_rotation": 0,
        "is_positive": positive,
        "origin": "manual",
        "value": {"x": x, "y": y, "width": 0.3, "labels": [label]},
        **more,
    }
    return [{**shared, "from_name": "kp", "type": "keypoint"}, {**shared, "from_name": "label", "type": "labels"}]


def labelled_point(x: float, y: float, *, label: str = "defect", name: str = "p1", **more: Any) -> dict[str, Any]:
    """A keypoint of a config with KeyPointLabels."""
    return {
        "id": name,
        "from_name": "kp",
        "to_name": "image",
        "type": "keypointlabels",
        "original_width": 128,
        "original_height": 96,
        "image_rotation": 0,
        "is_positive": True,
        "origin": "manual",
        "value": {"x": x, "y": y, "width": 0.3, "labels": [label], "keypointlabels": [label]},
        **more,
    }


def labelled_box(
    x: float, y: float, width: float, height: float, *, label: str = "defect", name: str = "r1", **more: Any
) -> dict[str, Any]:
    """A rectangle of a config with RectangleLabels; percent."""
    return {
        "id": name,
        "from_name": "rect",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 128,
        "original_height": 96,
        "image_rotation": 0,
        "origin": "manual",
        "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]},
        **more,
    }


def brush_mask(item: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A result item's RLE as (height, width), decoded by Label Studio's own SDK."""
    from label_studio_sdk.converter.brush import decode_rle

    flat = decode_rle(item["value"]["rle"])
    return flat.reshape(item["original_height"], item["original_width"], 4)[:, :, 3] > 0


def iou(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    union = np.logical_or(one, other).sum()
    return float(np.logical_and(one, other).sum() / union) if union else 1.0
