"""Annotations of a host's quick start, by its API and its token: made of real masks, or listed with a hash each.

annotations.py make COUNT | annotations.py list
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

from samstudio import deployment, samples, verification
from samstudio.commands.common import studio
from samstudio.labelstudio import LabelStudio, label_config, ml_backends, projects
from samstudio.labelstudio.prompts import prompt


def make(connection: LabelStudio, project: int, count: int) -> None:
    """Click an object through Label Studio, and submit its mask, as the editor does; one object after the other."""
    found = deployment.load(Path("/etc/samstudio"))
    config = label_config.parse(projects.by_id(connection, project).label_config or "")
    (record,) = ml_backends.records(connection, project)
    tasks = verification.sample_tasks(connection, project, config)
    scenes, size = samples.load(found.images.host_root / samples.FOLDER), (samples.WIDTH, samples.HEIGHT)
    drawn = [(scene.file, shape) for scene in scenes for shape in scene.shapes]
    for file, shape in itertools.islice(itertools.cycle(drawn), count):
        task = tasks[file]["id"]
        answer = verification.interactive(
            connection, int(record.id or 0), task, {"result": prompt(config, shape.click, size)}
        )
        body = {"result": answer["data"]["result"], "lead_time": 1.0}
        connection.http.post(f"/api/tasks/{task}/annotations/", json=body).raise_for_status()


def listed(connection: LabelStudio, project: int) -> dict[str, str]:
    found: dict[str, str] = {}
    answer = connection.http.get(f"/api/projects/{project}/export", params={"exportType": "JSON"})
    tasks: list[dict[str, Any]] = answer.raise_for_status().json()
    for each in (annotation for task in tasks for annotation in task["annotations"]):
        said = json.dumps([each["task"], each["completed_by"], each["created_at"], each["result"]], sort_keys=True)
        found[each["id"]] = hashlib.sha256(said.encode()).hexdigest()
    return found


def main() -> None:
    found = deployment.load(Path("/etc/samstudio"))
    with studio(found) as connection:
        project = projects.number_of(connection, found.project.title)
        if sys.argv[1] == "make":
            make(connection, project, int(sys.argv[2]))
        print(json.dumps(listed(connection, project)))


if __name__ == "__main__":
    main()
