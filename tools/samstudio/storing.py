"""`samstudio storage add`: a bucket of S3 as a project's source or target, tried first, made once and mended after."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samstudio.errors import SamstudioError, WrongCommandLine
from samstudio.labelstudio import LabelStudio, LabelStudioError, projects, s3
from samstudio.secret_store import SecretStore

#: what S3's own tools read from the environment, and from their file
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
HINT = "install -m 0600 /dev/stdin s3-keys   # paste the file, Ctrl-D ends; then add --keys-file s3-keys"
SHAPE = "[default] with aws_access_key_id = … and aws_secret_access_key = … below it"


@dataclass
class _Outcome:
    did: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def add(
    studio: LabelStudio,
    project: int,
    bucket: s3.Bucket,
    keys: s3.Keys,
    roles: Iterable[str],
    *,
    renew_keys: bool = False,
    check: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Connect a bucket, and import its images.

    Every role is tried before anything is stored. A storage of that bucket, prefix and endpoint that is there already
    is used, and keeps its keys unless `renew_keys`.

    Returns:
        `changed`, `did`, `notes`, `project` (its id), `tasks_created` and `storages`, for each `id` (None with
        `check`, where there is none yet), `role`, `place` and `title`.

    Raises:
        LabelStudioError: Label Studio cannot use it; `changed` says whether something was done before.
    """
    projects.by_id(studio, project)
    wanted = list(roles)
    for role in wanted:
        say(f"trying {bucket} as {role}")
        s3.try_out(studio, project, bucket, keys, role)
    outcome, made, created = _Outcome(), [], 0
    try:
        for role in wanted:
            storage = _connect(studio, project, bucket, keys, role, outcome, renew_keys=renew_keys, check=check)
            if role == s3.SOURCE and storage is not None and not check:
                say(f"importing the images of {bucket}")
                created += _imported(studio, storage, bucket)
            made.append(
                {
                    "id": storage and storage.id,
                    "role": role,
                    "place": str(bucket),
                    "title": storage.title if storage else bucket.fields(role)["title"],
                }
            )
    except SamstudioError as error:
        error.changed = bool(outcome.did) and not check
        raise
    if created:
        outcome.did.append(f"imported {created} images")
    return {
        "changed": bool(outcome.did),
        "did": outcome.did,
        "notes": outcome.notes,
        "project": project,
        "tasks_created": created,
        "storages": made,
    }


def _imported(studio: LabelStudio, source: Any, bucket: s3.Bucket) -> int:
    try:
        return s3.sync(studio, source, bucket)
    except LabelStudioError as error:
        if error.link == "storage":  # the keys that were given did work a moment ago
            error.expected = (
                "keys in Label Studio that are as good as those that were given now, which may list the bucket"
            )
            error.command = "the same command with --renew-keys"
        raise


def _connect(
    studio: LabelStudio,
    project: int,
    bucket: s3.Bucket,
    keys: s3.Keys,
    role: str,
    outcome: _Outcome,
    *,
    renew_keys: bool,
    check: bool,
) -> Any | None:
    found = s3.existing(studio, project, bucket, role)
    if found is None:
        made = None if check else _created(studio, project, bucket, keys, role, outcome)
        outcome.did.append(f"connected {bucket} as {role}")
        return made
    changed = s3.differing(found, bucket, role)
    renewed = keys.fields() if renew_keys else {}
    if (changed or renewed) and not check:
        s3.update(studio, found, bucket, role, **changed, **renewed)
    outcome.did += [f"set {name} of the {role} to {value}" for name, value in changed.items()]
    if renew_keys:
        outcome.did.append(f"replaced the keys of the {role}")
    else:
        outcome.notes.append(f"{bucket} was {role} already and keeps its keys; --renew-keys replaces them")
    return found


def _created(studio: LabelStudio, project: int, bucket: s3.Bucket, keys: s3.Keys, role: str, outcome: _Outcome) -> Any:
    """Label Studio writes the annotations that there are into a new target; one that cannot be written is not kept."""
    made = s3.create(studio, project, bucket, keys, role)
    if role == s3.SOURCE:
        return made
    annotation = projects.any_annotation(studio, project)
    if annotation is None:
        outcome.notes.append(
            "there is no annotation yet, so nothing was written: whether the keys may write shows at the first"
        )
    elif not s3.holds(studio, project, bucket, keys, annotation):
        s3.remove(studio, made, role)
        raise s3.refused(bucket, f"annotation {annotation} is not there after Label Studio wrote it")
    return made


def keys_from(environment: Mapping[str, str], file: Path | None, ask: Callable[[str, bool], str] | None) -> s3.Keys:
    """The keys of a bucket, from a file, else from the environment, else from whoever sits at the terminal.

    Args:
        ask: told what for, and whether it must not be seen; None where nobody is there.

    Raises:
        SamstudioError: there are none, or half of them.
    """
    if file is not None:
        return _of_file(file)
    key_id, secret, session = (environment.get(name, "") for name in VARIABLES)
    if not key_id and not secret and ask is not None:
        return s3.Keys(ask("Access key ID", False), ask("Secret access key", True))
    if not key_id or not secret:
        missing = " and ".join(name for name in VARIABLES[:2] if not environment.get(name))
        raise SamstudioError(
            "The keys of the bucket are missing.",
            found=f"no --keys-file, and no {missing} in the environment",
            expected=f"both variables, or a file of mode 0600: {SHAPE}",
            command=HINT,
        )
    return s3.Keys(key_id, secret, session)


def _of_file(file: Path) -> s3.Keys:
    if not file.is_file():
        raise WrongCommandLine("There is no such file of keys.", found=str(file), expected=SHAPE, command=HINT)
    parser = configparser.ConfigParser(default_section="", interpolation=None)
    try:
        parser.read_string(SecretStore(file.parent).content(file.name))
        section = parser["default"]
        key_id, secret = section["aws_access_key_id"], section["aws_secret_access_key"]
    except (configparser.Error, KeyError) as error:
        # a parser's own words would show the line, which may be a key
        raise SamstudioError(
            "The file of keys cannot be used.",
            found=f"{file}: {type(error).__name__}",
            expected=SHAPE,
            command=HINT,
        ) from None
    return s3.Keys(key_id, secret, section.get("aws_session_token", ""))
