"""Click one task after the other through Label Studio until a file appears; run on Label Studio's host.

usage: clicker.py TASKS STOP OUTCOMES
TASKS: task ids, comma-separated, all of the first drawn sample. OUTCOMES gets a line of JSON for each click.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

from samstudio import deployment, samples
from samstudio.errors import SamstudioError
from samstudio.labelstudio import connect, label_config, ml_backends, projects
from samstudio.labelstudio.prompts import prompt
from samstudio.secret_store import API_TOKEN, SecretStore
from samstudio.verification import decoded, interactive

found = deployment.load()
studio = connect(found.label_studio.url, SecretStore(found.secrets_dir).read(API_TOKEN))
project = projects.number_of(studio, found.project.title)
labels = label_config.parse(projects.by_id(studio, project).label_config or "")
record = int(ml_backends.records(studio, project)[0].id or 0)
shape = samples.load(found.images.host_root / samples.FOLDER)[0].shapes[0]
drawn = samples.mask(shape)
tasks, stop, outcomes = map(int, sys.argv[1].split(",")), Path(sys.argv[2]), Path(sys.argv[3])

with outcomes.open("w", buffering=1) as file:
    for task in itertools.cycle(tasks):
        if stop.exists():
            break
        started = time.time()
        try:
            context = {"result": prompt(labels, shape.click, (samples.WIDTH, samples.HEIGHT))}
            iou, error = samples.iou(decoded(interactive(studio, record, task, context), drawn.shape), drawn), ""
        except SamstudioError as failure:
            iou, error = 0.0, f"{failure.message} {failure.found}"
        file.write(json.dumps({"at": started, "task": task, "iou": iou, "error": error}) + "\n")
