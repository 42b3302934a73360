"""How commands speak: text for people, one JSON object for roles, errors that say what to do."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from samstudio.errors import SamstudioError

#: Wide enough that nothing is wrapped where no person reads at a terminal.
PIPED_WIDTH = 4096

out = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, soft_wrap=True)
err = Console(stderr=True, width=None if sys.stderr.isatty() else PIPED_WIDTH, soft_wrap=True)

#: How this command was called, where that is not simply `samstudio`.
CALLED_AS = "SAMSTUDIO_CALLED_AS"


def typed(text: str) -> str:
    """A text with its `samstudio …` commands as they have to be typed here."""
    return re.sub(r"(?<![\w./-])samstudio(?= [a-z-])", lambda _: os.environ.get(CALLED_AS, "samstudio"), text)


def say(text: str) -> None:
    """What is being done, for a person who waits; `--quiet` silences it."""
    if not err.quiet:
        err.print(f"[dim]{escape(text)}[/]")


def bar() -> Progress:
    """On a terminal: how far something is, its rate (the field `rate`), and the time that is left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, disable=not sys.stderr.isatty())


@contextmanager
def byte_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """How far something of so many bytes is; what is given is told how many more are through."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)


def emit(result: Mapping[str, Any], *, as_json: bool, human: Callable[[], None]) -> None:
    """Print `result` as exactly one line of JSON, or let `human` print it."""
    if as_json:
        typer.echo(json.dumps(result, default=str))
    else:
        human()


def show_error(error: SamstudioError, *, as_json: bool = False) -> None:
    """An error's sentences on stderr, and `{"changed": …, "error": {…}}` on stdout where JSON was asked for."""
    if as_json:
        typer.echo(json.dumps({"changed": error.changed, "error": error.fields()}))
    loud = Console(stderr=True, width=err.width, soft_wrap=True)
    loud.print(f"[bold red]error[/] {escape(typed(error.message))}")
    for name, text in error.fields().items():
        if name != "message":
            loud.print(f"  [dim]{name + ':':10}[/]{escape(typed(text))}")
