"""Label Studio's tables in an empty database of PostgreSQL, made by its own migrations, in its own container."""

from __future__ import annotations

import subprocess

from samstudio import as_label_studio
from samstudio.backup.postgresql import USER
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError

SECONDS = 3600
PROGRAM = f"""{as_label_studio.ENTER}from django.core.management import call_command
call_command("migrate", interactive=False, verbosity=0)
"""


def make(deployment: Deployment, database: str) -> None:
    """
    Raises:
        SamstudioError: Label Studio's container cannot reach PostgreSQL, or its migrations failed.
    """
    argv = command(deployment, database)
    done = subprocess.run(argv, input=PROGRAM, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise SamstudioError(
            "Label Studio could not make its tables in PostgreSQL; nothing was moved.",
            link="database",
            found=as_label_studio.last_words(done) or "no word from it",
            expected=f"its migrations to run in {deployment.label_studio.container}",
            command=f"docker logs --tail 20 {deployment.database.container}",
        )


def command(deployment: Deployment, database: str) -> list[str]:
    """What runs a program, given on its stdin, as Label Studio on PostgreSQL; launch.sh brings the password."""
    settings = {
        "DJANGO_DB": "default",
        "POSTGRE_HOST": deployment.database.container,
        "POSTGRE_PORT": "5432",
        "POSTGRE_NAME": database,
        "POSTGRE_USER": USER,
        "PGSSLMODE": "disable",
    }
    return as_label_studio.command(deployment.label_studio.container, "-", settings=settings)
