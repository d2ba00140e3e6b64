"""The cache in a file: whole after a kill, nobody else's to read, and begun anew where it is of another kind."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.gateway.cache_sqlite import SqliteStore
from ragkit.gateway.cache_store import Bounds, CacheFault
from tests.gateway.test_cache_store import ROOMY, entry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "c.sqlite", ROOMY)) as opened:
        yield opened


def test_what_is_taken_out_stands_nowhere_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with closing(SqliteStore(path, ROOMY)) as store:
        store.put("s", "k", entry("a secret question", "a secret answer"))
        assert store.clear() == 1
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.iterdir())


def test_the_file_is_nobody_elses_to_read(store: SqliteStore, tmp_path: Path) -> None:
    assert (tmp_path / "c.sqlite").stat().st_mode & 0o077 == 0


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_text("no database at all, but long enough to be read as one" * 20)
    with pytest.raises(CacheFault, match=r"c\.sqlite cannot be used .*; remove the file, or set cache\.path"):
        SqliteStore(tmp_path / "c.sqlite", ROOMY)


def test_a_file_of_another_format_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with closing(SqliteStore(path, ROOMY)) as store:
        store.put("s", "k", entry())
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with closing(SqliteStore(path, ROOMY)) as store:
        assert store.stats().entries == 0


def test_a_damaged_entry_is_dropped(store: SqliteStore, tmp_path: Path) -> None:
    store.put("s", "k", entry())
    with closing(sqlite3.connect(tmp_path / "c.sqlite")) as db:
        db.execute("UPDATE entries SET body = '{\"text\": 3'")
        db.commit()
    assert store.find("s", "k") is None
    assert store.stats().counts == {"unreadable": 1}


@pytest.mark.parametrize(
    "query",
    ["SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM entries", "DELETE FROM entries WHERE created < 5.0"],
)
def test_a_new_entry_does_not_read_the_others(store: SqliteStore, tmp_path: Path, query: str) -> None:
    store.put("s", "k", entry())
    with closing(sqlite3.connect(tmp_path / "c.sqlite")) as db:
        [plan] = db.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert "INDEX" in plan[-1]


_WRITES = """
import sys
from pathlib import Path
from tests.gateway.test_cache_store import entry
from ragkit.gateway.cache_sqlite import SqliteStore
from ragkit.gateway.cache_store import Bounds
store = SqliteStore(Path(sys.argv[1]), Bounds(40, 10_000_000, None))
print("open", flush=True)
number = 0
while True:
    number += 1
    store.put("s", str(number), entry(str(number), str(number) * 500))
    print(number, flush=True)
"""


@pytest.mark.integration
def test_a_kill_at_any_moment_leaves_whole_entries(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    done = 0
    for pause in (0.05, 0.11, 0.17):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITES, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        time.sleep(pause)
        writer.kill()
        told, _ = writer.communicate()
        done = int(told.splitlines()[-1]) if told.strip() else 0
        with closing(SqliteStore(path, Bounds(40, 10_000_000, None))) as store:
            kept = store.entries()
            assert len(kept) <= 40
            assert all(each.answer.text == each.question * 500 for each in kept)
            if done:
                assert store.find("s", str(done)) is not None
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
