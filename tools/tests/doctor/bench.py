"""A healthy pair to break: a real Label Studio (shared), a project with a real image, a backend of its own."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from samstudio import labeling_configs
from samstudio.doctor.pair import Pair
from samstudio.labelstudio import LabelStudio, connect, ml_backends, projects
from samstudio.labelstudio.own_records import OwnRecords
from samstudio.labelstudio.session import sign_in
from samstudio.labelstudio.tokens import obtain

from tools.tests import stand_in_backend
from tools.tests.doctor.fetching_backend import Backend
from tools.tests.label_studio import RunningLabelStudio

USER, PASSWORD = stand_in_backend.USER, stand_in_backend.PASSWORD
IMAGE = "scene_1.png"


@dataclass
class Studio:
    """A running Label Studio with a personal access token of its admin."""

    server: RunningLabelStudio
    token: str
    connection: LabelStudio

    @classmethod
    def of(cls, server: RunningLabelStudio) -> Studio:
        with sign_in(server.url, server.email, server.password) as session:
            token, _ = obtain(session)
        return cls(server, token, connect(server.url, token))

    def sql(self, statement: str, *values: object) -> list[Any]:
        """What no API allows: a record as an older version, or an upgrade, would have left it."""
        with sqlite3.connect(self.server.folder / "data" / "label_studio.sqlite3", timeout=20) as database:
            return database.execute(statement, values).fetchall()


@dataclass
class Bench:
    studio: Studio
    backend: Backend
    tmp: Path
    stack: ExitStack
    project: int = 0
    record: int = 0
    #: what `samstudio doctor` is told
    pair: Pair = field(init=False)

    def __post_init__(self) -> None:
        server = self.studio.server
        trouble = self.backend.trouble
        trouble.label_studio_url, trouble.api_key = server.url, self.studio.token
        made = projects.create(self.studio.connection, "Doctor", labeling_configs.read("quick_start"))
        self.project = int(made.id or 0)
        self.pair = Pair(
            label_studio=server.url,
            backend=self.backend.url,
            wanted=self.backend.url,
            studio_internal=server.url,
            user=USER,
            password=PASSWORD,
            token=self.studio.token,
            project=self.project,
            data=self.tmp,
            tunnel_state=self.tmp / "tunnel.json",
            own_records=OwnRecords(self.tmp / "records.json"),
        )

    def tell(self, **changes: Any) -> None:
        self.pair = replace(self.pair, **changes)

    def upload(self, image: Path) -> None:
        """A task as a person's upload makes it: its image lies at /data/upload/."""
        with image.open("rb") as file:
            answer = self.studio.connection.http.post(
                f"/api/projects/{self.project}/import", files={"file": (image.name, file, "image/png")}
            )
        answer.raise_for_status()

    def task(self, address: str) -> None:
        self.studio.connection.sdk.tasks.create(project=self.project, data={"image": address})

    def connect(self) -> None:
        wanted = ml_backends.Wanted(self.backend.url, "SAM2", USER, PASSWORD)
        self.record = ml_backends.ensure(self.studio.connection, self.project, wanted)["id"]
        self.pair.own_records.remember(self.pair.label_studio, self.record)

    def connect_behind_the_guard(self) -> None:
        """A record from before the guard: registered, then Label Studio was upgraded."""
        self.studio.sql(
            "INSERT INTO ml_mlbackend (state, is_interactive, url, title, auth_method, basic_auth_user, "
            "basic_auth_pass, timeout, created_at, updated_at, auto_update, project_id) "
            "VALUES ('CO', 1, ?, 'SAM2', 'BASIC_AUTH', ?, ?, 100, datetime('now'), datetime('now'), 1, ?)",
            self.backend.url,
            USER,
            PASSWORD,
            self.project,
        )

    def edit_record(self, **columns: object) -> None:
        for name, value in columns.items():
            self.studio.sql(f"UPDATE ml_mlbackend SET {name} = ? WHERE id = ?", value, self.record)

    def config(self, xml: str) -> None:
        projects.set_config(self.studio.connection, self.project, xml)
