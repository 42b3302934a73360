"""What the roles promise about their variables; the hand-run backend takes the settings of the deployed one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio.gpu.compatibility import TORCH_BUILDS

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else {}


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_specified_and_every_specification_has_a_default(role: str) -> None:
    folder = ROOT / "roles" / role
    specified = read(folder / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {})
    defaults = read(folder / "defaults" / "main.yml") or {}
    required = {name for name, option in specified.items() if option.get("required")}
    assert set(specified) - required == set(defaults)


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_their_roles_name(role: str) -> None:
    folder = ROOT / "roles" / role
    names = {**(read(folder / "defaults" / "main.yml") or {}), **(read(folder / "vars" / "main.yml") or {})}
    assert [name for name in names if not name.lstrip("_").startswith(role)] == []


@pytest.mark.parametrize("role", ROLES)
def test_role_has_a_readme(role: str) -> None:
    assert f"# {role}" in (ROOT / "roles" / role / "README.md").read_text()


def test_compose_file_knows_every_setting_of_the_role() -> None:
    role = read(ROOT / "roles" / "sam2_backend" / "vars" / "main.yml")["__sam2_backend_environment"]
    service = read(ROOT / "backend" / "compose.yaml")["services"]["sam2-backend"]
    in_the_image = {"MODEL_DIR", "CACHE_DIR", "PORT", "HOME"}
    renamed = {name.removesuffix("_FILE") for name in role}
    assert renamed - in_the_image == set(service["environment"]) - {"WORKERS"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_compose_takes_the_torch_that_the_roles_would_take() -> None:
    index = read(ROOT / "roles" / "preflight" / "defaults" / "main.yml")["preflight_torch_index"]
    for file, build in {"compose.yaml": "cpu", "compose.gpu.yaml": TORCH_BUILDS[0].index}.items():
        service = read(ROOT / "backend" / file)["services"]["sam2-backend"]
        assert service["build"]["args"]["TORCH_INDEX_URL"] == f"${{TORCH_INDEX_URL-{index}/{build}}}"
