"""The Label Studio that runs before an upgrade, as its container tells; and `deployment.yml` made to say it again."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import yaml

from samstudio import containers, files
from samstudio.backup import service
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - read, not listened on


@dataclass(frozen=True)
class Older:
    image: str
    version: str
    #: how the tools reach it
    url: str
    #: whether a click worked before the upgrade, and has to work after it
    clicked: bool = False


def running(deployment: Deployment) -> Older:
    """What is there now; a deploy has written the new one into `deployment.yml` already.

    Raises:
        SamstudioError: there is no container, it has another kind of database than the new one, or the engine refused.
    """
    told = containers.named(deployment.label_studio.container, tags="label_studio").attrs
    image, url = str(told["Config"]["Image"]), deployment.label_studio.url
    for published in (told["HostConfig"]["PortBindings"] or {}).values():
        listens = published[0]["HostIp"]
        url = f"http://{'127.0.0.1' if listens in _EVERYWHERE else listens}:{published[0]['HostPort']}"
    kind = "sqlite" if {"DJANGO_DB=default"}.isdisjoint(told["Config"]["Env"]) else "postgresql"
    if kind != deployment.database.kind:
        raise SamstudioError(
            "Label Studio and its kind of database cannot be exchanged at once; nothing was changed.",
            found=f"label_studio_database={deployment.database.kind}, and a Label Studio with {kind}",
            expected=f"label_studio_database={kind}, for this one deploy",
            command=f"./samstudio deploy -e label_studio_database={kind}",
        )
    tagged = re.search(r":(\d[\w.]*)-", image)
    at = replace(deployment.label_studio, url=url, version=tagged[1] if tagged else image)
    return Older(image, service.version(replace(deployment, label_studio=at)), url)


def at(deployment: Deployment, older: Older) -> Deployment:
    """The deployment with the older Label Studio in it."""
    return replace(deployment, label_studio=replace(deployment.label_studio, version=older.version, url=older.url))


def describe(deployment: Deployment, older: Older) -> None:
    """Have `deployment.yml` say which Label Studio is there, and where; the next deploy writes it anew."""
    path = deployment.config_dir / "deployment.yml"
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    told["label_studio"] = {**told.get("label_studio", {}), "version": older.version, "url": older.url}
    heading = "# Written by samstudio rollback; a deploy overwrites it.\n"
    files.write(path, heading + yaml.safe_dump(told, sort_keys=False, allow_unicode=True), mode=0o644)
