"""The pages name commands, files, headings, variables and keys that exist."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from rich.console import Console
from samstudio import cli, labeling_configs, summary
from samstudio.doctor.links import CHAIN

from tools.tests.test_deploying_verbs import SUMMARY

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for pattern in ("*.md", "docs/*.md", "*/README.md", "roles/*/README.md") for path in ROOT.glob(pattern)
)
#: In code blocks and in backticks, up to the end of the line, a closing backtick, a comment or another command.
COMMAND = re.compile(r"(?m)(?:^|`|&& )(?:\./)?samstudio ((?:[a-z][a-z-]*|-h|--help|--version)\b[^\n`#&;]*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def named(page: Path) -> list[str]:
    return [re.sub(r"[,.;:)]+(?= |$)", "", found).strip() for found in COMMAND.findall(page.read_text())]


def unknown(words: list[str]) -> str:
    """The first word of a command line that the command does not know, "" if it knows all."""
    command: Any = typer.main.get_command(cli.app)
    while words and hasattr(command, "commands"):
        word = words.pop(0)
        if word.startswith("-"):
            known = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
            return "" if word in known else word
        if word == "VERB":
            return ""
        if word not in command.commands:
            return word
        command = command.commands[word]
    if command.context_settings.get("ignore_unknown_options"):  # handed on to ansible-playbook
        return ""
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    return next((word for word in words if word.startswith("--") and word.partition("=")[0] not in known), "")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_named_commands_exist(page: Path) -> None:
    wrong = {line: word for line in named(page) if (word := unknown(line.split()))}
    assert wrong == {}


def test_commands_are_found_and_unknown_ones_are_told() -> None:
    assert len(named(ROOT / "README.md")) >= 10
    assert unknown(["deploy", "-e", "a=b", "--check"]) == ""
    assert unknown(["register", "--project", "3"]) == ""
    assert unknown(["register", "--nonsense"]) == "--nonsense"
    assert unknown(["no-such-verb"]) == "no-such-verb"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_files_exist(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_linked_headings_exist(page: Path) -> None:
    missing = []
    for link in LINK.findall(page.read_text()):
        target, _, heading = link.partition("#")
        if heading and "://" not in link:
            text = (page.parent / target if target else page).read_text()
            headings = {
                re.sub(r"[^\w -]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
                for line in text.splitlines()
                if line.startswith("#")
            }
            missing += [link] if heading not in headings else []
    assert missing == []


def test_the_readme_shows_the_panel_and_a_doctors_run_as_they_are() -> None:
    blocks = re.findall(r"(?ms)^```text\n(.*?)^```$", (ROOT / "README.md").read_text())
    panel, doctor = (str(block).splitlines() for block in blocks)
    drawn = io.StringIO()
    Console(file=drawn, width=120).print(summary.panel(SUMMARY))

    def names(lines: list[str]) -> list[str]:
        return [re.split(r"  +", line.strip("│╭╮╰╯─ "))[0] for line in lines]

    assert names(panel) == names(drawn.getvalue().splitlines())
    walked = [line.split()[1] for line in doctor if line.startswith(("ok ", "-  ", "FAIL ", "warn "))]
    assert walked == [link.name for link in CHAIN]


def test_variable_tables_are_in_step() -> None:
    script = ROOT / "docs" / "make" / "role_tables.py"
    ran = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}Run: python docs/make/role_tables.py"


def test_the_annotators_page_names_what_the_instructions_name() -> None:
    """Switches, buttons and keys: bold in the instructions, in asterisks or backticks on the page."""
    page = (ROOT / "docs" / "annotators.md").read_text()
    words = set(re.findall(r"<b>(.+?)</b>", labeling_configs.instructions())) - {"no mask comes"}
    assert {"Auto-Annotation", "M", "Alt", "Submit"} <= words
    assert [word for word in sorted(words) if f"*{word}*" not in page and f"`{word}`" not in page] == []
