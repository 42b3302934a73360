"""`samstudio storage add`"""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from samstudio.commands.common import (
    AsJson,
    Check,
    LabelStudioUrl,
    ProjectNumber,
    TokenFile,
    deployment_of,
    mended,
    studio,
)
from samstudio.output import emit, out, say, typed
from samstudio.verbs import group, verb

app = group("storage", "Connects a bucket of S3 or MinIO to a project, for its images and its annotations.")


class Role(str, Enum):
    """What a bucket is to a project."""

    SOURCE = "source"
    TARGET = "target"
    BOTH = "both"


def add(
    project: ProjectNumber,
    bucket: Annotated[str, typer.Option("--s3", metavar="BUCKET", help="The bucket's name.")],
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="Where another store than Amazon's listens, such as MinIO.")
    ] = "",
    prefix: Annotated[str, typer.Option(metavar="PREFIX", help="Only what lies below it. Default: everything.")] = "",
    region: Annotated[str, typer.Option(metavar="NAME", help="The bucket's region. Default: us-east-1.")] = "",
    role: Annotated[
        Role, typer.Option("--as", help="Read images from it, write annotations into it, or both.")
    ] = Role.SOURCE,
    presign: Annotated[
        bool,
        typer.Option(
            "--presign/--proxy",
            help="Browsers fetch images from the store itself, by a link that is good for a minute; or, by default, "
            "Label Studio hands them on.",
        ),
    ] = False,
    keys_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A 0600 file with the keys, as AWS's tools have it. Default: $AWS_ACCESS_KEY_ID and "
            "$AWS_SECRET_ACCESS_KEY, or a question.",
        ),
    ] = None,
    renew_keys: Annotated[
        bool, typer.Option("--renew-keys", help="Replace the keys of a storage that is there already.")
    ] = False,
    label_studio_url: LabelStudioUrl = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
    check: Check = False,
) -> None:
    """Connects a bucket of S3, or of a store that speaks its protocol, to a project, and imports its images.

    Label Studio tries the bucket first, and nothing is stored if that fails. Run it again: it finds the storage that
    is there, and imports the images that are new. Into a target, Label Studio writes each annotation that is submitted.
    A store on a private address has to be admitted by Label Studio's guard; the error says which line does that.

    \b
    Example:
      samstudio storage add 3 --s3 microscopy --prefix plates/2026 --keys-file s3-keys
      samstudio storage add 3 --s3 microscopy --endpoint http://minio.lab.example:9000 --as both
    """
    from samstudio import storing
    from samstudio.labelstudio import s3

    found = deployment_of(label_studio_url=label_studio_url)
    place = s3.Bucket(
        bucket, prefix.strip("/"), mended(endpoint, "--endpoint", 80) if endpoint else "", region, presign
    )
    keys = storing.keys_from(os.environ, keys_file, _ask if sys.stdin.isatty() and not as_json else None)
    roles = [s3.SOURCE, s3.TARGET] if role is Role.BOTH else [role.value]
    with studio(found, token_file) as connection:
        result = storing.add(connection, project, place, keys, roles, renew_keys=renew_keys, check=check, say=say)
    emit(result, as_json=as_json, human=lambda: _show(result))


def _ask(what: str, hidden: bool) -> str:
    return str(typer.prompt(what, hide_input=hidden, err=True)).strip()


def _show(result: dict[str, Any]) -> None:
    for line in result["did"] or ["nothing to do"]:
        out.print(f"  {escape(line)}")
    for note in result["notes"]:
        out.print(f"  [yellow]note[/] {escape(typed(note))}")


verb(app, add)
