"""Import copies of the first drawn sample into the project; run on Label Studio's host. Prints the new tasks' ids.

usage: importer.py COUNT
"""

from __future__ import annotations

import json
import sys

from samstudio import deployment
from samstudio.labelstudio import connect, projects
from samstudio.secret_store import API_TOKEN, SecretStore

found = deployment.load()
with connect(found.label_studio.url, SecretStore(found.secrets_dir).read(API_TOKEN)) as studio:
    project = projects.number_of(studio, found.project.title)
    first = next(task for task in projects.tasks(studio, project) if "sample-1" in json.dumps(task["data"]))
    copies = [first["data"]] * int(sys.argv[1])
    answer = studio.http.post(f"/api/projects/{project}/import", params={"return_task_ids": True}, json=copies)
    print(json.dumps(answer.raise_for_status().json()["task_ids"]))
