"""`samstudio exchange begin` and `prove`: what role label_studio does before and after it makes another container."""

from __future__ import annotations

from typing import Any

from samstudio import lock
from samstudio.commands.common import AsJson, deployment_here, studio
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.output import emit, out, say
from samstudio.verbs import group, verb

app = group("exchange", "Sets Label Studio aside for another one, and proves that one; a deploy does both.")
HERE = {"expected": "to run on the host of Label Studio", "command": "./samstudio deploy"}


def begin(as_json: AsJson = False) -> None:
    """Stops Label Studio, and keeps its container and its database: samstudio rollback brings them back.

    The next Label Studio works on a copy of the database.

    \b
    Example:
      sudo samstudio exchange begin
    """
    from samstudio.backup import upgrade

    found = deployment_here(**HERE)
    with lock.held(found.config_dir, "exchange begin"):
        begun = upgrade.begin(found, _clicked, say)
    was = begun.older
    assert was
    result = {"changed": True, "image": was.image, "version": was.version, "holds": str(begun.contents)}
    emit(result, as_json=as_json, human=lambda: out.print(f"set aside: Label Studio {was.version}"))


def prove(as_json: AsJson = False) -> None:
    """Waits for Label Studio after an exchange, compares every annotation, and clicks if a click worked before.

    Nothing is taken back if that fails: samstudio rollback does.

    \b
    Example:
      sudo samstudio exchange prove
    """
    from samstudio.backup import upgrade

    found = deployment_here(**HERE)
    with lock.held(found.config_dir, "exchange prove"):
        proven = upgrade.prove(found, lambda: _click(found), say)
    said = "No exchange is under way."
    if proven:
        said = f"Label Studio {found.label_studio.version} shows what was there before: {proven.contents}."
    result = {"changed": bool(proven), "said": said, "notes": proven.notes if proven else []}
    emit(result, as_json=as_json, human=lambda: out.print(said))


def _clicked(found: Deployment) -> bool:
    try:
        return _click(found) is not None
    except SamstudioError as error:
        say(f"no click works before the exchange: {error.message}")
        return False


def _click(found: Deployment) -> dict[str, Any] | None:
    from samstudio import verification

    with studio(found) as connection:
        return verification.click_quick_start(connection, found, say)


verb(app, begin)
verb(app, prove)
