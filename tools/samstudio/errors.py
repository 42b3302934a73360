"""The one exception a user ever sees, and the exit codes of every verb.

SamstudioError            what was found, what was expected, the command that fixes it
├── WrongCommandLine               an option's value cannot be used; nothing was done
├── NothingToLookAt                there was nothing to check, so nothing is proven
├── labelstudio.LabelStudioError   Label Studio refused, or could not be reached
└── backend_client.BackendError    the SAM2 backend refused, or could not be reached
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How every verb ends."""

    DONE = 0
    FAILED = 1
    WRONG_COMMAND_LINE = 2
    NOTHING_TO_LOOK_AT = 3


EXIT_CODES: Mapping[ExitCode, str] = {
    ExitCode.DONE: "Done; or everything that was looked at is healthy.",
    ExitCode.FAILED: "Something failed, or something that was looked at is not healthy.",
    ExitCode.WRONG_COMMAND_LINE: "The command line is wrong; nothing was done.",
    ExitCode.NOTHING_TO_LOOK_AT: "There was nothing to look at, so nothing is proven.",
}


class SamstudioError(Exception):
    """A failure that its reader can act on.

    Args:
        message: one sentence, what went wrong.
        found: what was seen.
        expected: what should have been seen.
        command: what to type to mend it.
        link: which link of the chain broke (`label-studio`, `token`, `ml-backend`, `mask`, …), when that is known.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, found: str = "", expected: str = "", command: str = "", link: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.expected = expected
        self.command = command
        self.link = link
        #: whether something was changed before it failed
        self.changed = False

    def fields(self) -> dict[str, str]:
        names = ("message", "found", "expected", "command", "link")
        return {name: value for name in names if (value := getattr(self, name))}

    def __str__(self) -> str:
        return "\n".join(
            [self.message, *(f"  {name + ':':10}{text}" for name, text in self.fields().items() if name != "message")]
        )


class WrongCommandLine(SamstudioError):
    """An option or argument cannot be used; nothing was done."""

    exit_code = ExitCode.WRONG_COMMAND_LINE


class NothingToLookAt(SamstudioError):
    """There was nothing to check: no project, no task, no click. Never healthy."""

    exit_code = ExitCode.NOTHING_TO_LOOK_AT


def explained(error: Exception, command: str) -> SamstudioError:
    """Any exception as a sentence.

    Args:
        command: what was typed, `samstudio` first.
    """
    if isinstance(error, SamstudioError):
        return error
    if isinstance(error, PermissionError):
        return SamstudioError(
            "You may not do this as the user you are.",
            found=str(error),
            expected="the user who owns it; what was deployed belongs to root",
            command=f"sudo {command}",
        )
    if isinstance(error, OSError):
        return SamstudioError("The operating system refused.", found=str(error) or type(error).__name__)
    return SamstudioError(
        "samstudio met something that it does not know how to handle; this is a mistake of its own.",
        found=f"{type(error).__name__}: {error}",
        command=f"{command.replace('samstudio', 'samstudio --traceback', 1)}   # shows where; please report that",
    )
