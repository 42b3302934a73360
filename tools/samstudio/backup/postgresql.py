"""Label Studio's PostgreSQL: dumped, loaded and counted by its own programs, in its own container."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from samstudio.backup import contents
from samstudio.backup.contents import Annotation, Contents
from samstudio.errors import SamstudioError

NAME = "label_studio"
USER = "label_studio"
#: the database that is connected to while others are renamed
MAINTENANCE = "postgres"
#: hands the password to PostgreSQL's program by its environment, inside of the container
PROGRAM = 'PGPASSWORD=$(cat /run/secrets/postgres_password) exec "$@"'
SHORT_SECONDS = 600
#: a dump, or loading one
LONG_SECONDS = 24 * 3600


@dataclass(frozen=True)
class PostgreSQL:
    """The server in a container of this host."""

    container: str

    def size(self) -> int:
        """The bytes that the database takes on its disk, more than a dump of it will."""
        return int(self.ask(f"SELECT pg_database_size('{NAME}')"))

    def dump(self, target: Path) -> None:
        """A consistent dump, compressed; nobody waits for it."""
        with target.open("wb") as file:
            target.chmod(0o600)
            self._run(["pg_dump", "--format=custom", f"--dbname={NAME}"], stdout=file, seconds=LONG_SECONDS)

    def load(self, file: Path, name: str) -> None:
        """Make another database of a dump, in place of one of that name."""
        self.create(name)
        with file.open("rb") as source:
            words = ["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={name}"]
            self._run(words, stdin=source, seconds=LONG_SECONDS)

    def look(self, name: str = NAME, upto: int | None = None) -> Contents:
        """What a database holds; read in several statements, so nobody should write into it meanwhile."""
        return contents.read(_Asked(self, name), upto)

    def counts(self) -> dict[str, int]:
        return contents.counts(_Asked(self, NAME))

    def written_since(self, moment: str, table: str) -> int:
        """How many rows of a table were made or changed after a moment (UTC, ISO 8601)."""
        asked = f"SELECT count(*) FROM {table} WHERE updated_at >= '{moment}'"  # noqa: S608 - ours
        return int(self.ask(asked, NAME))

    def create(self, name: str) -> None:
        """An empty database, in place of one of that name."""
        self.drop(name)
        self.ask(f"CREATE DATABASE {name} TEMPLATE template0")

    def exists(self, name: str) -> bool:
        return self.ask(f"SELECT count(*) FROM pg_database WHERE datname = '{name}'") == "1"  # noqa: S608 - ours

    def drop(self, name: str) -> None:
        self.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def duplicate(self, name: str) -> None:
        """Copy the database within the server; whoever is connected to it is sent away."""
        self.drop(name)
        self._send_away(NAME)
        self.ask(f"CREATE DATABASE {name} TEMPLATE {NAME}")

    def rename(self, *pairs: tuple[str, str]) -> None:
        """Rename databases, all of them or none; whoever is connected to one is sent away."""
        self._send_away(*(name for pair in pairs for name in pair))
        renames = "; ".join(f"ALTER DATABASE {old} RENAME TO {new}" for old, new in pairs)
        self.ask(f"BEGIN; {renames}; COMMIT")

    def _send_away(self, *databases: str) -> None:
        names = ", ".join(f"'{name}'" for name in databases)
        self.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({names})")  # noqa: S608

    def ask(self, statement: str, database: str = MAINTENANCE) -> str:
        """What a statement answers, without headings."""
        words = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        return self._run([*words, f"--dbname={database}", f"--command={statement}"]).strip()

    @contextmanager
    def rows(self, statement: str, database: str) -> Iterator[IO[str]]:
        """The lines that a COPY gives, as they come."""
        words = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={database}", "-c", statement]
        process = subprocess.Popen(self._argv(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        assert process.stdout
        assert process.stderr
        try:
            yield process.stdout
            said = process.stderr.read()
            if process.wait(SHORT_SECONDS):
                raise self._failed("psql", said)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stderr.close()

    def feed(self, script: Iterable[str], database: str) -> None:
        """Run a script with its COPYs' data in it, as it comes; the first error ends it."""
        words = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={database}"]
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            process = subprocess.Popen(
                self._argv(words), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, encoding="utf-8"
            )
            assert process.stdin
            try:
                with contextlib.suppress(BrokenPipeError), process.stdin as writing:
                    writing.writelines(script)
                if process.wait(LONG_SECONDS):
                    said.seek(0)
                    raise self._failed("psql", said.read())
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()

    def _argv(self, words: list[str]) -> list[str]:
        program, *rest = words
        named = [program, "--host=/tmp", f"--username={USER}", *rest]
        return ["docker", "exec", "--interactive", self.container, "sh", "-c", PROGRAM, "sh", *named]

    def _run(
        self, words: list[str], *, stdin: Any = subprocess.DEVNULL, stdout: Any = None, seconds: float = SHORT_SECONDS
    ) -> str:
        try:
            done = subprocess.run(
                self._argv(words),
                stdin=stdin,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError as error:
            raise self._failed(words[0], str(error)) from error
        if done.returncode:
            raise self._failed(words[0], done.stderr.decode(errors="replace"))
        return (done.stdout or b"").decode()

    def _failed(self, program: str, said: str) -> SamstudioError:
        return SamstudioError(
            f"{program} failed in the container {self.container}.",
            link="database",
            found=" ".join(said.split()[-60:]) or "no word from it",
            expected="the database of this deployment, running and with room on its disk",
            command=f"docker logs --tail 20 {self.container}; df -h /var/lib/samstudio",
        )


@dataclass(frozen=True)
class _Asked:
    server: PostgreSQL
    database: str

    def count(self, table: str) -> int:
        return int(self.server.ask(f'SELECT count(*) FROM "{table}"', self.database))  # noqa: S608 - ours

    def annotations(self) -> Iterator[Annotation]:
        row = f"json_build_array({', '.join(contents.COLUMNS)})"
        # A quote and a delimiter that JSON never holds unescaped: each line is the JSON itself.
        form = r"FORMAT csv, QUOTE e'\x01', DELIMITER e'\x02'"
        statement = f"COPY (SELECT {row} FROM task_completion ORDER BY id) TO STDOUT ({form})"  # noqa: S608 - ours
        with self.server.rows(statement, self.database) as lines:
            for line in lines:
                yield json.loads(line)
