"""Writes the table of variables into each role's README, from its argument specification and its defaults.

`python docs/make/role_tables.py` rewrites them; `--check` only names those that are not in step, and exits 1.
The table stands between two comments; the words around it belong to whoever writes them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).parents[2] / "roles"
BEGIN, END = "<!-- variables: written by docs/make/role_tables.py -->", "<!-- end of variables -->"


def read(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    return found if isinstance(found, dict) else {}


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def default(option: dict[str, Any], name: str, defaults: dict[str, Any]) -> str:
    """How a default is shown: `–` is an empty one. A variable that must be given has none."""
    if option.get("required"):
        return "must be set"
    value = option.get("default", defaults.get(name))
    if value is None or value in ("", [], {}):
        return "–"
    shown = value if isinstance(value, str) else json.dumps(value)
    return f"`{cell(shown)}`"


def meaning(option: dict[str, Any]) -> str:
    described = option.get("description", "")
    text = cell(" ".join(described) if isinstance(described, list) else described)
    choices = [
        f"`{json.dumps(choice) if isinstance(choice, bool) else choice}`" for choice in option.get("choices", [])
    ]
    return f"{text} One of {', '.join(choices)}." if choices else text


def table(role: Path) -> str:
    """The variables of a role's entry points, a row for each, as Markdown."""
    entries = read(role / "meta" / "argument_specs.yml").get("argument_specs", {}).values()
    specified = {name: option for entry in entries for name, option in entry.get("options", {}).items()}
    defaults = read(role / "defaults" / "main.yml")
    rows = [
        f"| `{name}` | {option.get('type', 'str')} | {default(option, name, defaults)} | {meaning(option)} |"
        for name, option in specified.items()
    ]
    if not rows:
        return "This role has no variables."
    return "\n".join(["| variable | type | default | meaning |", "|---|---|---|---|", *rows])


def in_step(role: Path) -> str:
    """The role's README as it should be.

    Raises:
        ValueError: the README has no place for the table.
    """
    text = (role / "README.md").read_text(encoding="utf-8")
    place = re.compile(rf"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"{role.name}/README.md has no line {BEGIN!r} followed by {END!r}.")
    made = f"{BEGIN}\n{table(role)}\n{END}"
    return place.sub(lambda _: made, text, count=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a README is not in step")
    check = parser.parse_args().check
    stale = []
    for role in sorted(path for path in ROLES.iterdir() if path.is_dir()):
        path, wanted = role / "README.md", in_step(role)
        if path.read_text(encoding="utf-8") != wanted:
            stale.append(role.name)
            if not check:
                path.write_text(wanted, encoding="utf-8")
    for name in stale:
        sys.stdout.write(f"{'not in step' if check else 'written'}: roles/{name}/README.md\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
