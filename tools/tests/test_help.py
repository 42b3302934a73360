"""Every help text: rendered, in full sentences, with examples that the real parser takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from samstudio import playbooks
from samstudio.cli import app
from typer.testing import CliRunner

ROOT: Any = typer.main.get_command(app)


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb and every group of verbs, hidden ones too."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from verbs(below, (*words, name))


EVERY = list(verbs(ROOT))


def command_of(words: tuple[str, ...]) -> Any:
    command = ROOT
    for word in words:
        command = command.commands[word]
    return command


LEAVES = [words for words in EVERY if not hasattr(command_of(words), "commands")]


def shown(words: tuple[str, ...], **context: Any) -> str:
    ran = CliRunner().invoke(app, [*words, "--help"], **context)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def examples(words: tuple[str, ...]) -> list[str]:
    _, _, below = (command_of(words).help or "").partition("Example:\n")
    return [line.strip() for line in below.split("\n\n")[0].replace("\\\n", " ").splitlines() if line.strip()]


def parse(line: str) -> None:
    """Read a command line as the command itself does, without running it."""
    words = [word for word in shlex.split(line, comments=True) if word != "sudo"]
    assert words.pop(0) in ("samstudio", "./samstudio"), line
    command = ROOT
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    context = command.make_context(command.name, words)
    if context.args:
        playbooks.read(context.args)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_is_rendered_in_full_sentences(words: tuple[str, ...]) -> None:
    text = shown(words)
    assert text.startswith(" ".join(["Usage: samstudio", *words]))
    command = command_of(words)
    first = " ".join((command.help or "").split("\n\n")[0].split())
    assert re.fullmatch(r"[A-Z].*[.]", first), first
    for parameter in command.params:
        told = getattr(parameter, "help", None)
        if told is not None and not getattr(parameter, "hidden", False) and parameter.name not in HELP_OF_OTHERS:
            assert told.endswith("."), (parameter.name, told)


@pytest.mark.parametrize("columns", [70, 80])
@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_no_width_tears_an_option_or_a_word_apart(words: tuple[str, ...], columns: int) -> None:
    """What is between two blanks in the narrow help is so in the wide one, too."""
    wide, narrow = (shown(words, terminal_width=width).split() for width in (1000, columns))
    assert set(narrow) - set(wide) == set()


#: typer's own
HELP_OF_OTHERS = ("install_completion", "show_completion", "help")


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_verb_has_examples_that_it_understands(words: tuple[str, ...]) -> None:
    lines = examples(words)
    assert lines, "no example"
    assert "Example:\n    " in shown(words)
    for line in lines:
        assert " ".join(words) in line
        parse(line)


def test_an_example_that_nobody_can_type_is_noticed() -> None:
    for line in ("samstudio register --projekt 3", "samstudio prewarm three", "samstudio backends drain"):
        with pytest.raises(Exception, match=r"option|valid|Missing"):
            parse(line)
    with pytest.raises(SystemExit):
        parse("./samstudio deploy --limt gpu1 --no-such-option")
