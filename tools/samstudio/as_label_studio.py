"""Python that runs as Label Studio, in its own container: for what none of its addresses offers."""

from __future__ import annotations

from collections.abc import Mapping
from subprocess import CompletedProcess

#: how such a program begins: Label Studio's models can be used from here on
ENTER = """
import importlib.util, os, sys
sys.path.insert(0, importlib.util.find_spec("label_studio").submodule_search_locations[0])
os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.label_studio"
import django
django.setup()
"""


def command(container: str, *words: str, settings: Mapping[str, str] | None = None) -> list[str]:
    """Python's, with the environment of Label Studio; launch.sh brings the secrets into it.

    Args:
        words: `-`, for a program on stdin, or `-c` and the program.
        settings: more of the environment, and no secrets.
    """
    told = [word for name, value in (settings or {}).items() for word in ("--env", f"{name}={value}")]
    return ["docker", "exec", "--interactive", *told, container, "/bin/sh", "/samstudio/launch.sh", "python3", *words]


def last_words(ended: CompletedProcess[str]) -> str:
    return " ".join(f"{ended.stdout} {ended.stderr}".split()[-60:])
