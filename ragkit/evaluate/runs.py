"""All evaluation runs in one SQLite file: what was run, on what, and a record for each question.

A record is written in its own transaction as soon as the question is done, so that a run that was killed goes on where
it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ragkit.errors import RagkitError
from ragkit.evaluate.record import Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, suite TEXT NOT NULL, began TEXT NOT NULL, ended TEXT, config_hash TEXT NOT NULL,
    data_hash TEXT NOT NULL, index_hash TEXT NOT NULL, seed INTEGER NOT NULL, questions INTEGER NOT NULL,
    details TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS records (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, position INTEGER NOT NULL, id TEXT NOT NULL,
    record BLOB NOT NULL, PRIMARY KEY (run, position)
);
"""

_LATEST_FIRST = "ORDER BY began DESC, id DESC"

DEFAULT_FILE = Path(".ragkit/evaluation.sqlite")


@dataclass(frozen=True, slots=True)
class Run:
    """One run. The hashes say what was measured: config, questions with labels, and the indexed documents.

    `details` holds the suite, the resolved config without secrets, and the versions of the packages.
    """

    id: str
    suite: str
    began: str
    ended: str | None
    config_hash: str
    data_hash: str
    index_hash: str
    seed: int
    questions: int
    details: dict[str, Any]


class Runs:
    """The file, made if it is not there and `create` says so. Raises RagkitError for a file of something else, and when
    there is none."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if not create and not path.exists():
            raise RagkitError(f"there are no runs in {path} yet", mend="run: ragkit eval run --suite FILE")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise RagkitError(
                f"{path} is no file of evaluation runs ({error})", mend="name another with --runs"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def begin(
        self,
        *,
        suite: str,
        config_hash: str,
        data_hash: str,
        index_hash: str,
        seed: int,
        questions: int,
        details: dict[str, Any],
    ) -> Run:
        """Start a run; its id begins with the time, so that ids sort by it."""
        now = datetime.now(UTC)
        run = Run(
            id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
            suite=suite,
            began=now.isoformat(timespec="seconds"),
            ended=None,
            config_hash=config_hash,
            data_hash=data_hash,
            index_hash=index_hash,
            seed=seed,
            questions=questions,
            details=details,
        )
        self._db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, NULL, ?, ?, ?, ?, ?, ?)",
            (
                run.id,
                suite,
                run.began,
                config_hash,
                data_hash,
                index_hash,
                seed,
                questions,
                json.dumps(details, default=str),
            ),
        )
        return run

    @contextmanager
    def lease(self, run_id: str) -> Generator[None]:
        """Let one process at a time work on a run; it ends with the process, however that ends.

        Raises RagkitError while another works on it. The lock is a file beside that of the runs, gone with the lease.
        """
        path = self.path.with_name(f"{self.path.name}-{run_id}.lock")
        while True:
            with path.open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise RagkitError(
                        f"run {run_id} is still going in another process",
                        mend="wait for it to end, or leave --resume out to begin another",
                    ) from None
                # Another may have taken the file away between the opening and the lock.
                if _is_at(lock, path):
                    try:
                        yield
                    finally:
                        path.unlink(missing_ok=True)
                    return

    def add(self, run_id: str, position: int, record: Record) -> None:
        """Keep the record of the question at this position (from 0)."""
        packed = zlib.compress(record.model_dump_json().encode("utf-8", "surrogatepass"), 6)
        self._db.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (run_id, position, record.case.id, packed)
        )

    def describe(self, run_id: str, details: dict[str, Any]) -> None:
        """Replace the details of a run."""
        self._db.execute("UPDATE runs SET details = ? WHERE id = ?", (json.dumps(details, default=str), run_id))

    def finish(self, run_id: str) -> None:
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self._db.execute("UPDATE runs SET ended = ? WHERE id = ?", (ended, run_id))

    def done(self, run_id: str) -> set[int]:
        """Positions of the questions that have a record."""
        return {row[0] for row in self._db.execute("SELECT position FROM records WHERE run = ?", (run_id,))}

    def records(self, run_id: str) -> Iterator[Record]:
        """The records in the order of the questions."""
        rows = self._db.execute("SELECT record FROM records WHERE run = ? ORDER BY position", (run_id,))
        return (Record.model_validate_json(zlib.decompress(row[0])) for row in rows)

    def all(self) -> list[Run]:
        """Every run, the latest first."""
        return self._runs(_LATEST_FIRST)

    def find(self, wanted: str) -> Run:
        """A run by its id, by the beginning of one, or "last". Raises RagkitError for none or several."""
        found = self.all()[:1] if wanted == "last" else self._runs("WHERE id GLOB ? ORDER BY id", f"{_plain(wanted)}*")
        exact = [run for run in found if run.id == wanted]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if len(found) > 1:
            raise RagkitError(f"{wanted} may be {', '.join(run.id for run in found[:5])}", mend="write more of it")
        known = [run.id for run in self.all()[:5]]
        mend = f"the latest are {', '.join(known)}" if known else "run: ragkit eval run --suite FILE"
        raise RagkitError(f"there is no run {wanted} in {self.path}", mend=mend)

    def unfinished(self, *, suite: str, config_hash: str, data_hash: str, index_hash: str) -> Run | None:
        """The latest run of the same things that did not end."""
        found = self._of_same(suite, config_hash, data_hash, index_hash)
        return next((run for run in found if run.ended is None), None)

    def latest(self, *, suite: str, config_hash: str, data_hash: str, index_hash: str) -> Run | None:
        """The latest run of the same things, whether it ended or not."""
        return next(iter(self._of_same(suite, config_hash, data_hash, index_hash)), None)

    def like(self, run: Run) -> list[Run]:
        """The other runs of the same suite's name, config and documents, whatever they asked; the latest first."""
        condition = "WHERE suite = ? AND config_hash = ? AND index_hash = ? AND id != ?"
        return self._runs(f"{condition} {_LATEST_FIRST}", run.suite, run.config_hash, run.index_hash, run.id)

    def _of_same(self, *same: str) -> list[Run]:
        condition = "WHERE suite = ? AND config_hash = ? AND data_hash = ? AND index_hash = ?"
        return self._runs(f"{condition} {_LATEST_FIRST}", *same)

    def _runs(self, condition: str, *values: str) -> list[Run]:
        columns = "id, suite, began, ended, config_hash, data_hash, index_hash, seed, questions, details"
        rows: list[Any] = self._db.execute(f"SELECT {columns} FROM runs {condition}", values).fetchall()
        return [Run(*row[:9], details=json.loads(row[9])) for row in rows]


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an opened file is the one that has this path now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _plain(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum() or sign == "-")
