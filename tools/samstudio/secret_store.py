"""Secrets as files: one a file, 0600, in a 0700 folder, made once, and replaced by `samstudio secrets rotate` alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from samstudio import files
from samstudio.errors import SamstudioError

#: 24 random bytes: 192 bits, 32 URL-safe characters; within ngrok's and PostgreSQL's limits for passwords.
PASSWORD_BYTES = 24

GENERATED: Mapping[str, Callable[[], str]] = {
    "label_studio_admin_password": lambda: secrets.token_urlsafe(PASSWORD_BYTES),
    "label_studio_secret_key": lambda: secrets.token_urlsafe(48),
    "backend_basic_auth_password": lambda: secrets.token_urlsafe(PASSWORD_BYTES),
    "postgres_password": lambda: secrets.token_urlsafe(PASSWORD_BYTES),
}

#: obtained from Label Studio, not generated
API_TOKEN = "label_studio_api_token"  # noqa: S105 - a file's name
ADMIN_PASSWORD = "label_studio_admin_password"  # noqa: S105
BACKEND_PASSWORD = "backend_basic_auth_password"  # noqa: S105
SECRET_KEY = "label_studio_secret_key"  # noqa: S105
POSTGRES_PASSWORD = "postgres_password"  # noqa: S105

#: beside a secret while it is replaced: the value that comes next
NEXT = ".next"
#: of a further administrator, with the address behind it
ADMINISTRATORS_PASSWORD = "label_studio_password_of_"  # noqa: S105
#: an address that Label Studio's sign-in takes, which knows lower case alone, and that is a file's name
EMAIL = re.compile(r"[a-z0-9][a-z0-9._%+-]*@[a-z0-9-]+(\.[a-z0-9-]+)+")


def administrators_password(email: str) -> str:
    """The name of a further administrator's password."""
    return f"{ADMINISTRATORS_PASSWORD}{email}"


@dataclass(frozen=True)
class SecretStore:
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def exists(self, name: str) -> bool:
        """
        Raises:
            PermissionError: the folder is another user's, so nobody can tell.
        """
        return self.path(name).exists()

    def names(self) -> list[str]:
        """What a deployment has, and each further administrator's password."""
        found = sorted(path.name for path in self.folder.glob(f"{ADMINISTRATORS_PASSWORD}*"))
        return [*GENERATED, API_TOKEN, *found]

    def read(self, name: str) -> str:
        """The secret's value without its trailing newline; of several, the first, which is the one that is used.

        Raises:
            SamstudioError: missing, empty, or readable by group or others.
        """
        return self.content(name).splitlines()[0]

    def content(self, name: str) -> str:
        """All that a secret's file holds. The backend's password has a second line while it is replaced: the next one.

        Raises:
            SamstudioError: missing, empty, or readable by group or others.
        """
        path = self.path(name)
        try:
            _check_mode(path)
            value = path.read_text(encoding="utf-8").strip("\r\n")
        except FileNotFoundError as error:
            raise SamstudioError(
                f"Secret {name} is missing.",
                found=f"no file {path}",
                expected="a file of mode 0600",
                command="samstudio token ensure" if name == API_TOKEN else "samstudio secrets ensure",
            ) from error
        except PermissionError as error:
            raise _forbidden(name, error) from error
        if not value.strip():
            raise SamstudioError(
                f"Secret {name} is empty.",
                found=f"{path} holds nothing",
                expected="the value this deployment was made with; a new one would not match what it guards",
                command=f"restore {path} from a backup, or, if nothing uses it yet: "
                f"rm {path} && samstudio {'token' if name == API_TOKEN else 'secrets'} ensure",
            )
        return value

    def write(self, name: str, value: str) -> None:
        """Replace a secret at once: the file is whole, old or new, whenever the machine stops."""
        self.make_folder()
        files.write(self.path(name), value + "\n", mode=0o600)

    def next(self, name: str) -> str:
        """The value that replaces a secret, kept until `settle`: of a rotation that was cut off, else a new one."""
        if not self.exists(name + NEXT):
            self.write(name + NEXT, GENERATED[name]())
        return self.read(name + NEXT)

    def settle(self, name: str) -> None:
        """The next value is the secret's from here on."""
        self.path(name + NEXT).replace(self.path(name))
        files.settle(self.folder)

    def drop_next(self, name: str) -> None:
        """The secret stays what it is."""
        self.path(name + NEXT).unlink(missing_ok=True)

    def unfinished(self) -> list[str]:
        """The secrets whose rotation was cut off; none where the folder is another user's, for nobody can tell."""
        with contextlib.suppress(OSError):
            begun = [name for name in GENERATED if self.exists(name + NEXT)]
            two = self.exists(BACKEND_PASSWORD) and "\n" in self.path(BACKEND_PASSWORD).read_text().strip()
            return begun + [BACKEND_PASSWORD] * two
        return []

    def make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except PermissionError as error:
            raise SamstudioError(
                f"{self.folder} cannot be made.",
                found=str(error),
                expected="to run as root",
                command="sudo samstudio secrets ensure",
            ) from error
        _check_mode(self.folder)

    def ensure(self, *, check: bool = False) -> list[str]:
        """Generate what is missing, one caller at a time.

        Returns:
            the names that were (or, with `check`, would be) generated.

        Raises:
            SamstudioError: a secret is there and empty or open to others. Nothing is written then.
        """
        if check:
            return self._missing()
        self.make_folder()
        with self._locked():
            missing = self._missing()
            for name in missing:
                self.write(name, GENERATED[name]())
        return missing

    def _missing(self) -> list[str]:
        if self.folder.exists():
            _check_mode(self.folder)
        missing = [name for name in GENERATED if not self.exists(name)]
        for name in GENERATED:
            if name not in missing:
                self.read(name)
        return missing

    @contextmanager
    def _locked(self) -> Iterator[None]:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _forbidden(name: str, error: OSError) -> SamstudioError:
    return SamstudioError(
        f"Secret {name} cannot be read.",
        found=str(error),
        expected="to run as the user who owns the secrets: root, where samstudio was deployed",
        command="sudo samstudio …",
    )


def _check_mode(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    expected = 0o700 if path.is_dir() else 0o600
    if mode & 0o077:
        raise SamstudioError(
            f"{path} is open to others.",
            found=f"mode {mode:04o}",
            expected=f"mode {expected:04o}",
            command=f"chmod {expected:04o} {path}   # and, if others may have read it, replace what it guards",
        )
