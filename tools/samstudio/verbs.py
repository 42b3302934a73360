"""What all verbs have in common: sections of the help, options that each takes, and the one place where errors end."""

from __future__ import annotations

import functools
import inspect
import logging
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from samstudio import output
from samstudio.errors import EXIT_CODES, explained

EVERYDAY = "Everyday"
CONNECTING = "Connecting Label Studio to the model"
FLEETS = "Fleets, and hosts without a network"
SECRETS = "Secrets"
SCRIPTS = "For scripts"
SECTIONS = (EVERYDAY, CONNECTING, FLEETS, SECRETS, SCRIPTS)

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
HelpFormatter: Any = typer.Context.formatter_class
#: stands for a hyphen while help is wrapped, which breaks lines at hyphens
JOINED = "\N{NON-BREAKING HYPHEN}"
#: keys of a context's `meta`, which all contexts of one command line share
JSON, TRACEBACK, TYPED = "samstudio.json", "samstudio.traceback", "samstudio.typed"

EPILOG = "\n\n".join(
    (
        "\b\nExit codes:\n" + "\n".join(f"  {code.value}  {means}" for code, means in EXIT_CODES.items()),
        "samstudio VERB --help explains a verb and shows an example of it.",
    )
)


class _Unhyphenated(HelpFormatter):  # type: ignore[misc]
    """Wraps at blanks alone: an option whose end stands on the next line can be neither read nor copied."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", JOINED))

    def write_dl(self, rows: Sequence[tuple[str, str]], *arguments: Any, **options: Any) -> None:
        super().write_dl([(name, text.replace("-", JOINED)) for name, text in rows], *arguments, **options)

    def getvalue(self) -> str:
        return str(super().getvalue()).replace(JOINED, "-")


class _Context(typer.Context):
    formatter_class = _Unhyphenated


class Verb(TyperCommand):
    context_class = _Context


class Verbs(TyperGroup):
    """A group of verbs that lists them by section, and ends every error as a message and an exit code."""

    context_class = _Context

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.parent is None:
            ctx.meta[TYPED] = list(args)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        shown = [(name, command) for name, command in self.commands.items() if not command.hidden]
        for section in dict.fromkeys([*SECTIONS, *(_section(command) for _, command in shown)]):
            rows = [(name, _first_sentence(command)) for name, command in shown if _section(command) == section]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if ctx.parent is not None or hasattr(error, "show"):  # the outermost group ends it; typer shows its own
                raise
            if isinstance(error, BrokenPipeError):
                raise typer.Exit(1) from error
            if ctx.meta.get(TRACEBACK):
                traceback.print_exception(error, file=sys.stderr)
            told = explained(error, shlex.join(["samstudio", *ctx.meta.get(TYPED, ())]))
            output.show_error(told, as_json=bool(ctx.meta.get(JSON)))
            raise typer.Exit(told.exit_code) from error


def _section(command: Any) -> str:
    return str(getattr(command, "rich_help_panel", None) or "Verbs")


def _first_sentence(command: Any) -> str:
    text = " ".join((command.short_help or command.help or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".") + "."


def remember_json(context: typer.Context, wanted: bool) -> bool:
    """The callback of `--json`: an error is told as JSON then, too."""
    if wanted:
        context.meta[JSON] = True
    return wanted


def _quiet(wanted: bool) -> bool:
    output.err.quiet = wanted or output.err.quiet
    return wanted


def _verbose(wanted: bool) -> bool:
    if wanted:
        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("httpx").setLevel(logging.INFO)
    return wanted


def _traceback(context: typer.Context, wanted: bool) -> bool:
    if wanted:
        context.meta[TRACEBACK] = True
    return wanted


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=_quiet, help="Show results and errors, and no progress.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", callback=_verbose, help="Show each request that is made as well.")
]
Traceback = Annotated[
    bool, typer.Option("--traceback", callback=_traceback, help="Show where in the program an error came from.")
]
EVERYWHERE: dict[str, Any] = {"quiet": Quiet, "verbose": Verbose, "traceback": Traceback}


def group(name: str, help: str) -> typer.Typer:
    """A group of verbs; its help ends with a full stop."""
    return typer.Typer(
        name=name, cls=Verbs, help=help, no_args_is_help=True, rich_markup_mode=None, context_settings=SETTINGS
    )


def verb(
    app: typer.Typer, function: Callable[..., Any], *, name: str | None = None, section: str = "", hidden: bool = False
) -> None:
    """Add a verb that takes the options which every verb takes."""
    app.command(name, cls=Verb, rich_help_panel=section or None, hidden=hidden)(_accepting_everywhere(function))


def _accepting_everywhere(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        return function(*arguments, **{name: value for name, value in options.items() if name not in EVERYWHERE})

    signature = inspect.signature(function, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in EVERYWHERE.items()
    ]
    parameters: Sequence[inspect.Parameter] = [*signature.parameters.values(), *added]
    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    del wrapped.__wrapped__
    return wrapped
