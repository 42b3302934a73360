"""One set of environment names: what settings.py reads, what README, compose.yaml and the role offer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from sam2_backend import settings as backend_settings

BACKEND = Path(__file__).parents[2]
ROLE = BACKEND.parent / "roles" / "sam2_backend" / "vars" / "main.yml"
TUTORIAL = {
    *("DEVICE", "MODEL_CONFIG", "MODEL_CHECKPOINT", "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "LOG_LEVEL", "WORKERS"),
    *("THREADS", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "MODEL_DIR", "PORT"),
}


def known() -> set[str]:
    """Names as settings.py reads them, with the `_FILE` form of secrets."""
    source = Path(backend_settings.__file__).read_text()
    names = set(re.findall(r'read\.\w+\("([A-Z_]+)"', source))
    return names | {f"{name}_FILE" for name in re.findall(r'read\.secret\("([A-Z_]+)"', source)}


def test_the_tutorial_names_are_known() -> None:
    assert known() >= TUTORIAL


def test_readme_names_every_setting() -> None:
    told = set(re.findall(r"`([A-Z][A-Z_]+)`", (BACKEND / "README.md").read_text()))
    assert known() <= told


def test_compose_offers_the_tutorial_names() -> None:
    service = yaml.safe_load((BACKEND / "compose.yaml").read_text())["services"]["sam2-backend"]
    assert set(service["environment"]) <= known()
    assert set(service["environment"]) >= TUTORIAL - {"MODEL_DIR", "PORT"}


def test_the_role_sets_only_what_is_read() -> None:
    given = set(yaml.safe_load(ROLE.read_text())["__sam2_backend_environment"])
    assert given - {"HOME"} <= known()


def test_defaults_are_usable_and_values_are_checked() -> None:
    settings = backend_settings.from_environment({})
    assert settings.port == 9090
    assert settings.model_checkpoint == "demo"
    assert "secret" not in repr(
        backend_settings.from_environment({"BASIC_AUTH_USER": "u", "BASIC_AUTH_PASS": "secret"})
    )
    with pytest.raises(backend_settings.SettingsError, match="PRECISION='half'"):
        backend_settings.from_environment({"PRECISION": "half"})
