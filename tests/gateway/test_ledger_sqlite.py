"""The ledger's file: refused where it cannot be one, brought up to date, sound after a kill."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.errors import RagkitError
from ragkit.gateway.ledger import NOBODY, Call, Ledger
from ragkit.types import CostLine
from tests.gateway.test_ledger import spawn


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RagkitError, match="cannot be used"):
        Ledger(tmp_path / "file" / "l.sqlite")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but text that is long enough to be looked at" * 20)
    with pytest.raises(RagkitError, match="cannot be used"):
        Ledger(tmp_path / "notes.txt")


@pytest.mark.integration
def test_a_kill_leaves_a_sound_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    worker = spawn(path, 4, 100_000, 10**12)
    assert worker.stdout is not None
    for _ in range(20):
        worker.stdout.readline()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TABLE lines (call INTEGER NOT NULL, position INTEGER NOT NULL, stage TEXT NOT NULL, model TEXT NOT"
            " NULL, nano_usd INTEGER, input_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, output_tokens"
            " INTEGER NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (call, position))"
        )
        db.execute("INSERT INTO lines VALUES (99, 0, 'generate', 'm', 7, 1, 0, 1, '')")
        db.commit()
    for _ in range(2):
        with closing(Ledger(path)) as ledger:
            ledger.settle(Call(NOBODY, "t", "c", [CostLine("generate", 5, endpoint="a", saved_nano_usd=3)]))
    with closing(Ledger(path)) as ledger:
        rows = list(ledger.rows("SELECT nano_usd, endpoint, saved_nano_usd FROM lines ORDER BY nano_usd"))
    assert rows[-1] == (7, "", 0)
    assert set(rows[:-1]) == {(5, "a", 3)}
