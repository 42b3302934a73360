"""The one exception a user ever sees.

SamstudioError            what was found, what was expected, the command that fixes it
├── labelstudio.LabelStudioError   Label Studio refused, or could not be reached
└── backend.BackendError           the SAM2 backend refused, or could not be reached
"""

from __future__ import annotations


class SamstudioError(Exception):
    """A failure that its reader can act on.

    Args:
        message: one sentence, what went wrong.
        found: what was seen.
        expected: what should have been seen.
        command: what to type to mend it.
        link: which link of the chain broke (`label-studio`, `token`, `ml-backend`, `mask`, …), when that is known.
    """

    def __init__(self, message: str, *, found: str = "", expected: str = "", command: str = "", link: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.expected = expected
        self.command = command
        self.link = link

    def fields(self) -> dict[str, str]:
        names = ("message", "found", "expected", "command", "link")
        return {name: value for name in names if (value := getattr(self, name))}

    def __str__(self) -> str:
        return "\n".join(
            [self.message, *(f"  {name + ':':10}{text}" for name, text in self.fields().items() if name != "message")]
        )
