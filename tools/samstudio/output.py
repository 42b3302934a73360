"""How commands speak: tables for people, one JSON object for roles, errors that say what to do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from samstudio.errors import SamstudioError

out = Console()
err = Console(stderr=True)

#: How this command was called, where that is not simply `samstudio`.
CALLED_AS = "SAMSTUDIO_CALLED_AS"


def typed(text: str) -> str:
    """A text with its `samstudio …` commands as they have to be typed here."""
    return re.sub(r"(?<![\w./-])samstudio(?= [a-z])", lambda _: os.environ.get(CALLED_AS, "samstudio"), text)


def emit(result: Mapping[str, Any], *, as_json: bool, human: Callable[[], None]) -> None:
    """Print `result` as exactly one line of JSON, or let `human` print it."""
    if as_json:
        typer.echo(json.dumps(result, default=str))
    else:
        human()


@contextmanager
def failures(*, as_json: bool = False) -> Iterator[None]:
    """Turn a SamstudioError into its message on stderr (and `{"error": …}` on stdout) and exit code 1."""
    try:
        yield
    except SamstudioError as error:
        if as_json:
            typer.echo(json.dumps({"changed": False, "error": error.fields()}))
        show_error(error)
        raise typer.Exit(1) from error


def show_error(error: SamstudioError) -> None:
    err.print(f"[bold red]error[/] {escape(error.message)}", soft_wrap=True)
    for name, text in error.fields().items():
        if name != "message":
            err.print(f"  [dim]{name + ':':10}[/]{escape(typed(text))}", soft_wrap=True)
