"""The containers of a deployment, by the engine's API; an engine that refuses is a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from samstudio.errors import SamstudioError

SECONDS = 120


@contextmanager
def engine_errors() -> Iterator[None]:
    """
    Raises:
        SamstudioError: the engine refused, or is not there.
    """
    try:
        yield
    except DockerException as error:
        raise SamstudioError(
            "The container engine refused.",
            link="engine",
            found=str(error),
            expected="to run as root, with Docker running",
            command="sudo docker version",
        ) from error


def engine() -> Any:
    return docker.from_env(timeout=SECONDS)


def named(name: str, *, tags: str) -> Any:
    """A container, running or not.

    Args:
        tags: of the deploy that brings it.

    Raises:
        SamstudioError: there is none of that name, or the engine refused.
    """
    with engine_errors():
        try:
            return engine().containers.get(name)
        except NotFound as error:
            raise SamstudioError(
                f"There is no container {name}.",
                link="containers",
                found="no such container",
                expected="what was deployed here",
                command=f"./samstudio deploy --tags {tags}",
            ) from error


def built(name: str) -> float:
    """When a container's image was built, in seconds since 1970.

    Raises:
        SamstudioError: there is no such container, or the engine refused.
    """
    with engine_errors():
        created = str(named(name, tags="label_studio").image.attrs["Created"])
    # RFC 3339 in UTC; its nanoseconds and its Z are nothing that Python 3.10 understands.
    return datetime.fromisoformat(f"{created[:19]}+00:00").timestamp()


def exists(name: str) -> bool:
    """
    Raises:
        SamstudioError: the engine refused.
    """
    return _found(name) is not None


def rename(name: str, new: str) -> None:
    """
    Raises:
        SamstudioError: the engine refused, or there is no such container.
    """
    with engine_errors():
        engine().containers.get(name).rename(new)


def remove(name: str, *, with_image: bool = False) -> None:
    """Remove a container, if it is there.

    Args:
        with_image: its image goes as well, unless another container is made of it.

    Raises:
        SamstudioError: the engine refused.
    """
    with engine_errors():
        if (container := _found(name)) is None:
            return
        image = container.attrs["Config"]["Image"]
        container.remove(force=True)
        if with_image:
            with contextlib.suppress(APIError):
                engine().images.remove(image)


def _found(name: str) -> Any:
    with engine_errors():
        try:
            return engine().containers.get(name)
        except NotFound:
            return None
