"""The questions of a batch, and the file that their answers go to: a line each, on the disk as it is written."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ragkit.durable import write_whole
from ragkit.errors import ConfigError
from ragkit.evaluate.json_lines import bad_line, iter_lines, iter_objects

_MEND = "give a file of one question a line, or of one JSON object a line with `question`"


@dataclass(frozen=True, slots=True)
class BatchQuestion:
    """A question with the name that its answer is found by: its `id` in the file, or the number of its line."""

    id: str
    question: str


def read_questions(path: Path) -> list[BatchQuestion]:
    """The questions of a file: JSON lines with `question` and maybe `id` (`.jsonl`), or a question a line.

    Raises ParseError for a line that is neither, and for an id that stands there twice.
    """
    rows = _json_rows(path) if path.suffix == ".jsonl" else ((n, {"question": line}) for n, line in _lines(path))
    found: dict[str, BatchQuestion] = {}
    for number, row in rows:
        question, identity = row.get("question"), row.get("id", str(number))
        if not isinstance(question, str) or not question.strip():
            raise bad_line(path, number, "no question")
        if not isinstance(identity, str | int) or str(identity) in found:
            raise bad_line(path, number, f"id {identity!r:.60} is no text, or stands here twice")
        found[str(identity)] = BatchQuestion(str(identity), question.strip())
    return list(found.values())


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    return iter_objects(path, _MEND)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return iter_lines(path, _MEND)


class AnswersFile:
    """One answer a line, `{"id": ..., "question": ..., ...}`; one that failed has `error` and is asked again.

    A line that a killed run left half-written is dropped when the file is opened again. Raises ConfigError where
    another run has it open, and where it holds answers of another config or other questions.
    """

    def __init__(self, path: Path, config_hash: str, questions: list[BatchQuestion]) -> None:
        self.path = path
        self._config_hash = config_hash
        self.left = {question.id: question for question in questions}
        self.failed = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = path.with_name(f"{path.name}.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ConfigError(f"another run writes to {path}", mend="wait for it, or name another --out") from error
        try:
            self._take_up()
            self._file = path.open("ab")
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.close()

    def add(self, question: BatchQuestion, answer: dict[str, Any]) -> None:
        """An answer, on the disk when this returns."""
        self._append({"id": question.id, "question": question.question, **answer})
        del self.left[question.id]

    def add_error(self, question: BatchQuestion, said: str) -> None:
        """Why there is no answer. The question is asked again by the next run."""
        self._append({"id": question.id, "question": question.question, "error": said})
        self.failed += 1

    def _append(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _take_up(self) -> None:
        """Find what is answered already; keep no other line."""
        if not self.path.exists():
            return
        before = self.path.read_bytes()
        kept: list[bytes] = []
        for line in before[: before.rfind(b"\n") + 1].splitlines(keepends=True):
            with _readable(self.path):
                row: dict[str, Any] = json.loads(line)
                identity, question = str(row["id"]), str(row["question"])
            if "error" in row:
                continue
            if row.get("config_hash") != self._config_hash:
                raise ConfigError(
                    f"{self.path} holds answers under another config ({row.get('config_hash')})",
                    mend="name another --out, or move that file away",
                )
            asked = self.left.pop(identity, None)
            if asked is None or asked.question != question:
                raise ConfigError(
                    f"{self.path} holds an answer to another question under the id {identity!r:.60}",
                    mend="name another --out, or move that file away",
                )
            kept.append(line)
        after = b"".join(kept)
        if after != before:
            write_whole(self.path, after)


@contextmanager
def _readable(path: Path) -> Generator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no file of answers", mend="name another --out") from error
